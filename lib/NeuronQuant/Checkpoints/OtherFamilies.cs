namespace NeuronQuant.Checkpoints;

/// <summary>
/// Families that this library does not read, and what NxD Inference 2.28 has for each: whoever brings such a checkpoint learns whether the stop is
/// ours
/// or the release's. A name that is not here is refused without such knowledge.
/// </summary>
/// <remarks>
/// Source: nxdi at cd3abf3 (SDK 2.28), MODEL_TYPES of utils/constants.py, which inference_demo and the vLLM plugin go by, the classes under
/// src/neuronx_distributed_inference/models, and the folders of contrib/models. Experts: nxd v2.28.0, quantization/quantization_mappings.py:11-16
/// and quantization_config.py:70; the closed contribution is nxdi PR 35. Read, not run.
/// </remarks>
internal static class OtherFamilies
{
    private const string Experts =
        " It is a mixture of experts: in the graph an expert's weights are fused into one tensor of three dimensions, with scales "
        + "that this library does not write (expert_wise_per_channel_symmetric; the contribution for fp8, nxdi PR 35, was closed).";

    private enum Support
    {
        /// <summary>A class that MODEL_TYPES lists.</summary>
        Listed,

        /// <summary>A class in the package that MODEL_TYPES does not list.</summary>
        Unlisted,

        /// <summary>A contributed folder, beside the package.</summary>
        Contributed,

        /// <summary>Parts of a model, or nothing.</summary>
        None,
    }

    private static readonly Row[] Rows =
    [
        new("mixtral", "MixtralForCausalLM", "Mixtral", Support.Listed, "NeuronMixtralForCausalLM", true),
        new("dbrx", "DbrxForCausalLM", "DBRX", Support.Listed, "NeuronDbrxForCausalLM", true),
        new("qwen3_moe", "Qwen3MoeForCausalLM", "Qwen3-MoE", Support.Listed, "NeuronQwen3MoeForCausalLM", true),
        new("llama4", "Llama4ForConditionalGeneration", "Llama 4", Support.Listed, "NeuronLlama4ForCausalLM", true),
        new("llama4_text", "Llama4ForCausalLM", "Llama 4", Support.Unlisted, "NeuronLlama4TextForCausalLM", true),
        new("gpt_oss", "GptOssForCausalLM", "gpt-oss", Support.Listed, "NeuronGptOssForCausalLM", true),
        new("qwen2_moe", "Qwen2MoeForCausalLM", "Qwen2-MoE", Support.None, "", true),
        new("phimoe", "PhiMoEForCausalLM", "Phi-3.5-MoE", Support.Contributed, "Phi-3.5-MoE-instruct", true),
        new("deepseek_v2", "DeepseekV2ForCausalLM", "DeepSeek-V2", Support.None, "", true),
        new("deepseek_v3", "DeepseekV3ForCausalLM", "DeepSeek-V3", Support.None, "an attention module (models/deepseek) and no model", true),
        new("gemma", "GemmaForCausalLM", "Gemma", Support.Contributed, "gemma-2b-it", false),
        new("gemma2", "Gemma2ForCausalLM", "Gemma 2", Support.None, "", false),
        new("gemma3", "Gemma3ForConditionalGeneration", "Gemma 3", Support.Unlisted, "NeuronGemma3ForCausalLM", false),
        new("gemma3_text", "Gemma3ForCausalLM", "Gemma 3", Support.Unlisted, "NeuronGemma3ForCausalLM", false),
        new("phi", "PhiForCausalLM", "Phi", Support.Contributed, "phi-1_5", false),
        new("phi3", "Phi3ForCausalLM", "Phi-3", Support.Contributed, "Phi-3-mini-4k-instruct", false),
        new("mllama", "MllamaForConditionalGeneration", "Llama 3.2 Vision", Support.Listed, "NeuronMllamaForCausalLM", false),
        new("qwen2_vl", "Qwen2VLForConditionalGeneration", "Qwen2-VL", Support.Listed, "NeuronQwen2VLForCausalLM", false),
        new("qwen3_vl", "Qwen3VLForConditionalGeneration", "Qwen3-VL", Support.Listed, "NeuronQwen3VLForCausalLM", false),
        new("mistral3", "Mistral3ForConditionalGeneration", "Mistral Small 3.1", Support.Contributed, "Mistral-Small-3.1-24B-Instruct-2503", false),
        new("falcon", "FalconForCausalLM", "Falcon", Support.Contributed, "falcon-7b", false),
        new("gpt2", "GPT2LMHeadModel", "GPT-2", Support.Contributed, "gpt2", false),
        new("starcoder2", "Starcoder2ForCausalLM", "StarCoder2", Support.Contributed, "starcoder2-3b", false),
        new("granite", "GraniteForCausalLM", "Granite", Support.Contributed, "granite-3.1-8b-instruct", false),
        new("smollm3", "SmolLM3ForCausalLM", "SmolLM3", Support.Contributed, "SmolLM3-3B", false),
        new("olmo2", "Olmo2ForCausalLM", "OLMo 2", Support.Contributed, "OLMo-2-1124-7B", false),
    ];

    /// <summary>What is known of a family, as the first part of a remedy; empty when nothing is.</summary>
    /// <param name="type">model_type of config.json</param>
    /// <param name="architecture">the first of its architectures</param>
    public static string Known(string? type, string? architecture)
    {
        var row = Rows.FirstOrDefault(row => row.Type == type) ?? Rows.FirstOrDefault(row => row.Architecture == architecture);
        return row is null ? "" : $"{row}{(row.IsMixture ? Experts : "")} ";
    }

    private sealed record Row(string Type, string Architecture, string Name, Support Support, string Has, bool IsMixture)
    {
        public override string ToString() => Support switch
        {
            Support.Listed => $"{Name} is a family of NxD Inference 2.28 ({Has}), and not of this library.",
            Support.Unlisted =>
                $"{Name} has a class in NxD Inference 2.28, {Has}, that its list of model types leaves out; this library does not read it.",
            Support.Contributed =>
                $"{Name} is not in the package of NxD Inference 2.28; contrib/models/{Has} of its repository has one, and this library does not read it.",
            _ => $"{Name} is not a family of NxD Inference 2.28{(Has.Length > 0 ? $", which has {Has}" : "")}, nor of this library.",
        };
    }
}
