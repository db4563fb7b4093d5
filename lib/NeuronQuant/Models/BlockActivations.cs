namespace NeuronQuant.Models;

/// <summary>What one decoder block computed on its way forward: backward needs it, and whoever looks into a model does.</summary>
/// <remarks>
/// Every buffer is [rows, width] in C order, rows = sequences * length, and is used again by the next forward pass; it may be longer than
/// its rows. Queries and keys are kept after their rotation.
/// </remarks>
public sealed class BlockActivations
{
    /// <summary>Sequences of the last forward pass.</summary>
    public int Sequences { get; private set; }

    /// <summary>Tokens of each.</summary>
    public int Length { get; private set; }

    /// <summary>Rows in use: sequences * length.</summary>
    public int Rows => Sequences * Length;

    /// <summary>The block's input: [rows, hidden].</summary>
    public float[] Input { get; private set; } = [];

    /// <summary>Input of q, k and v: [rows, hidden].</summary>
    public float[] AttentionInput { get; private set; } = [];

    /// <summary>Queries, turned: [rows, heads * head size].</summary>
    public float[] Query { get; private set; } = [];

    /// <summary>Keys, turned: [rows, key-value heads * head size].</summary>
    public float[] Key { get; private set; } = [];

    /// <summary>Values: [rows, key-value heads * head size].</summary>
    public float[] Value { get; private set; } = [];

    /// <summary>Input of o: [rows, heads * head size].</summary>
    public float[] Mixed { get; private set; } = [];

    /// <summary>Input plus attention: [rows, hidden].</summary>
    public float[] Middle { get; private set; } = [];

    /// <summary>Input of gate and up: [rows, hidden].</summary>
    public float[] MlpInput { get; private set; } = [];

    /// <summary>Output of gate: [rows, intermediate].</summary>
    public float[] Gate { get; private set; } = [];

    /// <summary>Output of up: [rows, intermediate].</summary>
    public float[] Up { get; private set; } = [];

    /// <summary>Input of down: [rows, intermediate].</summary>
    public float[] Product { get; private set; } = [];

    internal float[] InputScales { get; private set; } = [];

    internal float[] MiddleScales { get; private set; } = [];

    internal float[] LogSums { get; private set; } = [];

    /// <summary>What a linear module of the block was given.</summary>
    /// <param name="type">name within the layer, such as mlp.up_proj</param>
    /// <exception cref="ModelException">there is no such linear module</exception>
    public float[] InputOf(string type) => type switch
    {
        "self_attn.q_proj" or "self_attn.k_proj" or "self_attn.v_proj" => AttentionInput,
        "self_attn.o_proj" => Mixed,
        "mlp.gate_proj" or "mlp.up_proj" => MlpInput,
        "mlp.down_proj" => Product,
        _ => throw new ModelException(type, "is no linear module of a decoder block; name one of ModuleName.LinearTypes."),
    };

    internal void Prepare(Checkpoints.ModelConfig config, int sequences, int length)
    {
        (Sequences, Length) = (sequences, length);
        int rows = Rows, hidden = config.HiddenSize, middle = config.IntermediateSize;
        if (InputScales.Length >= rows && LogSums.Length >= rows * config.HeadCount) return;
        (Input, AttentionInput, Middle, MlpInput) = (new float[rows * hidden], new float[rows * hidden], new float[rows * hidden], new float[rows * hidden]);
        (Query, Mixed) = (new float[rows * config.QuerySize], new float[rows * config.QuerySize]);
        (Key, Value) = (new float[rows * config.KeyValueSize], new float[rows * config.KeyValueSize]);
        (Gate, Up, Product) = (new float[rows * middle], new float[rows * middle], new float[rows * middle]);
        (InputScales, MiddleScales, LogSums) = (new float[rows], new float[rows], new float[rows * config.HeadCount]);
    }
}

/// <summary>Buffers of a backward pass, shared by all blocks since one follows another.</summary>
public sealed class BlockGradients
{
    internal float[] Hidden { get; private set; } = [];

    internal float[] Mixed { get; private set; } = [];

    internal float[] Query { get; private set; } = [];

    internal float[] Key { get; private set; } = [];

    internal float[] Value { get; private set; } = [];

    internal float[] Product { get; private set; } = [];

    internal float[] Gate { get; private set; } = [];

    internal void Prepare(Checkpoints.ModelConfig config, int rows)
    {
        if (Hidden.Length >= rows * config.HiddenSize) return;
        Hidden = new float[rows * config.HiddenSize];
        (Mixed, Query) = (new float[rows * config.QuerySize], new float[rows * config.QuerySize]);
        (Key, Value) = (new float[rows * config.KeyValueSize], new float[rows * config.KeyValueSize]);
        (Product, Gate) = (new float[rows * config.IntermediateSize], new float[rows * config.IntermediateSize]);
    }
}
