using NeuronQuant.Checkpoints;

namespace NeuronQuant.Models;

/// <summary>A decoder of the Llama kind (Llama, Mistral, Qwen2) in memory, in float32: embedding, blocks, norm and head.</summary>
/// <remarks>
/// For models that fit: 4 bytes a weight, as much again for gradients and twice that for AdamW. The head may be the embedding (tied), which
/// then gets both gradients. Computing a batch is <see cref="ModelPass"/>'s task, loading and saving <see cref="ModelFiles"/>'.
/// </remarks>
public sealed class LlamaModel
{
    /// <summary>A model whose parameters are zero; <see cref="Initialization"/> or <see cref="ModelFiles"/> fills them.</summary>
    /// <exception cref="ModelException">the config asks for something that this model does not compute</exception>
    public LlamaModel(ModelConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        CheckSupported(config);
        Config = config;
        Rotary = new RotaryEmbedding(config);
        Embedding = new Parameter("model.embed_tokens.weight", config.VocabularySize, config.HiddenSize);
        Blocks = [.. Enumerable.Range(0, config.LayerCount).Select(layer => new DecoderBlock(config, layer, Rotary))];
        Norm = new Parameter("model.norm.weight", 1, config.HiddenSize);
        Head = new Linear("lm_head", config.TieWordEmbeddings ? Embedding : new Parameter("lm_head.weight", config.VocabularySize, config.HiddenSize));
    }

    /// <summary>Sizes and options.</summary>
    public ModelConfig Config { get; }

    /// <summary>The rotary embedding of all blocks.</summary>
    public RotaryEmbedding Rotary { get; }

    /// <summary>Vectors of the tokens: [vocabulary, hidden].</summary>
    public Parameter Embedding { get; }

    /// <summary>The decoder layers.</summary>
    public IReadOnlyList<DecoderBlock> Blocks { get; }

    /// <summary>Weight of the last norm: [hidden].</summary>
    public Parameter Norm { get; }

    /// <summary>lm_head; its weight is the embedding itself in a tied model.</summary>
    public Linear Head { get; }

    /// <summary>All parameters once, in the order of a forward pass.</summary>
    public IEnumerable<Parameter> Parameters =>
        [Embedding, .. Blocks.SelectMany(block => block.Parameters), Norm, .. Config.TieWordEmbeddings ? [] : new[] { Head.Weight }];

    /// <summary>Number of weights, a tied head counted once.</summary>
    public long ParameterCount => Parameters.Sum(parameter => (long)parameter.Values.Length);

    /// <summary>Loads a model: see <see cref="ModelFiles.Load(string)"/>.</summary>
    public static LlamaModel Load(string path) => ModelFiles.Load(path);

    /// <summary>Saves the model as bf16: see <see cref="ModelFiles.Save"/>.</summary>
    public void Save(string folder, bool overwrite = false) => ModelFiles.Save(this, folder, overwrite);

    private static void CheckSupported(ModelConfig config)
    {
        if (config.HiddenActivation is not ("silu" or "swish"))
            throw new ModelException(config.File,
                $"hidden_act is \"{config.HiddenActivation}\", expected \"silu\": no other activation is computed here.");
        if (config.NotComputed is { } obstacle)
            throw new ModelException(config.File, $"{obstacle}. Quantizing, auditing and planning need none; to run it, choose another model or an endpoint.");
        if (config.QuantizationMethod is { } method)
            throw new ModelException(config.File,
                $"the model is quantized already ({method}), expected bf16, f16 or f32 weights: load the original checkpoint.");
        if ((long)config.VocabularySize * config.HiddenSize > Array.MaxLength || (long)config.IntermediateSize * config.HiddenSize > Array.MaxLength)
            throw new ModelException(config.File, "a weight has more than 2^31 values: this model is for sizes that fit one array.");
    }
}
