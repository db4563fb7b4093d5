using System.Collections.Immutable;

namespace NeuronQuant.Checkpoints;

/// <summary>What config.json says of a Llama, Mistral, Qwen2 or Qwen3 decoder, with the defaults of Hugging Face's transformers filled in.</summary>
/// <remarks>
/// Read by ModelConfigReader, which refuses what it does not understand; sizes are checked against each other there, so a forward pass
/// may rely on them. Left out: dropout, initialisation and pretraining fields, which do not change inference.
/// </remarks>
public sealed record ModelConfig
{
    /// <summary>The file that was read; for a config made by hand, a name for messages.</summary>
    public required string File { get; init; }

    /// <summary>Family, which decides names and biases.</summary>
    public required ModelFamily Family { get; init; }

    /// <summary>Width of the residual stream.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Width of the MLP.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>Number of decoder layers.</summary>
    public required int LayerCount { get; init; }

    /// <summary>Number of query heads.</summary>
    public required int HeadCount { get; init; }

    /// <summary>Number of key and value heads; divides <see cref="HeadCount"/>.</summary>
    public required int KeyValueHeadCount { get; init; }

    /// <summary>Width of a head; hidden / heads unless the file says otherwise (Mistral-Nemo: 128 instead of 160).</summary>
    public required int HeadSize { get; init; }

    /// <summary>Number of tokens in the vocabulary: rows of the embedding.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Longest sequence, in tokens.</summary>
    public required int MaxPositionEmbeddings { get; init; }

    /// <summary>Added to the mean square in RMSNorm.</summary>
    public required double RmsNormEpsilon { get; init; }

    /// <summary>Base of the rotary frequencies; 10,000 when the file has none.</summary>
    public double RopeTheta { get; init; } = 10_000;

    /// <summary>Llama 3's stretching of the rotary frequencies; null for none.</summary>
    public RopeScaling? RopeScaling { get; init; }

    /// <summary>Why a forward pass of this model is not computed here, such as another kind of rotary embedding; null when it is.</summary>
    public string? NotComputed { get; init; }

    /// <summary>Activation of the MLP's gate, as written: silu.</summary>
    public string HiddenActivation { get; init; } = "silu";

    /// <summary>True when lm_head is the embedding; the checkpoint then need not hold lm_head.weight.</summary>
    public bool TieWordEmbeddings { get; init; }

    /// <summary>True when q, k and v have a bias: always in Qwen2, never in Mistral, attention_bias in Llama and Qwen3.</summary>
    public bool HasQueryKeyValueBias { get; init; }

    /// <summary>True when each head of q and of k has a norm of its own: in Qwen3.</summary>
    public bool HasQueryKeyNorm { get; init; }

    /// <summary>True when o_proj has a bias: attention_bias in Llama and Qwen3, never elsewhere.</summary>
    public bool HasOutputBias { get; init; }

    /// <summary>True when gate, up and down have a bias: mlp_bias in Llama, never elsewhere.</summary>
    public bool HasMlpBias { get; init; }

    /// <summary>Positions that attention looks back, in tokens; null for all. See <see cref="SlidingWindowOf"/>.</summary>
    public int? SlidingWindow { get; init; }

    /// <summary>First layer with the window: 0, in Qwen2 max_window_layers.</summary>
    public int FirstSlidingLayer { get; init; }

    /// <summary>Token that starts a text; null for none.</summary>
    public int? BeginTokenId { get; init; }

    /// <summary>Tokens that end a text, by config.json and generation_config.json; may be several, may be none.</summary>
    public ImmutableArray<int> EndTokenIds { get; init; } = [];

    /// <summary>Token that fills a batch; null for none.</summary>
    public int? PadTokenId { get; init; }

    /// <summary>Type in which the weights were meant to be used (torch_dtype, since transformers 5 dtype); null when not said.</summary>
    public TensorType? WeightType { get; init; }

    /// <summary>quant_method of quantization_config, "unknown" when it has none; null for a model that is not quantized.</summary>
    public string? QuantizationMethod { get; init; }

    /// <summary>Width of all query heads together: the columns of o_proj.</summary>
    public int QuerySize => HeadCount * HeadSize;

    /// <summary>Width of all key heads together: the rows of k_proj and of v_proj.</summary>
    public int KeyValueSize => KeyValueHeadCount * HeadSize;

    /// <summary>Positions that a layer's attention looks back, itself included, in tokens; null for all.</summary>
    public int? SlidingWindowOf(int layer) => layer >= FirstSlidingLayer ? SlidingWindow : null;

    /// <summary>Reads a config.json.</summary>
    /// <exception cref="CheckpointException">The file is missing, or a field is missing, wrong or unknown to this library.</exception>
    public static ModelConfig Read(string path) => ModelConfigReader.Read(path);
}
