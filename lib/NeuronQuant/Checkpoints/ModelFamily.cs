namespace NeuronQuant.Checkpoints;

/// <summary>The decoder families whose forward pass, names and defaults this library knows.</summary>
/// <remarks>They differ in little: Qwen2 has a bias on q, k and v; Mistral has a sliding window unless told otherwise.</remarks>
public enum ModelFamily
{
    /// <summary>model_type llama, LlamaForCausalLM.</summary>
    Llama,

    /// <summary>model_type mistral, MistralForCausalLM; Mistral-Nemo is one, with heads narrower than hidden / heads.</summary>
    Mistral,

    /// <summary>model_type qwen2, Qwen2ForCausalLM; Qwen2.5 is one.</summary>
    Qwen2,

    /// <summary>model_type qwen3, Qwen3ForCausalLM: no bias unless told otherwise, and a norm for each head of q and k.</summary>
    Qwen3,
}
