using NeuronQuant.Checkpoints;

namespace NeuronQuant.Models;

/// <summary>One decoder layer: attention and MLP, each behind a norm and added to the residual stream.</summary>
/// <remarks>
/// middle = x + o(attention(rope(q(n)), rope(k(n)), v(n))) with n = norm(x);   y = middle + down(silu(gate(m)) * up(m)) with m = norm(middle)
/// A block stands alone: given its input and the gradient of its output it computes everything else, which is what tuning one block at
/// a time needs. Gradients of weights are computed for the parameters that have one, see <see cref="Parameter"/>.
/// </remarks>
public sealed class DecoderBlock
{
    private readonly ModelConfig _config;
    private readonly RotaryEmbedding _rotary;
    private readonly float _epsilon;

    /// <summary>A block whose parameters are zero.</summary>
    /// <param name="config">sizes of the model</param>
    /// <param name="layer">number of the layer</param>
    /// <param name="rotary">the model's rotary embedding, shared by its blocks</param>
    public DecoderBlock(ModelConfig config, int layer, RotaryEmbedding rotary)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(rotary);
        (_config, _rotary, Layer, _epsilon) = (config, rotary, layer, (float)config.RmsNormEpsilon);
        int hidden = config.HiddenSize, middle = config.IntermediateSize;
        bool bias = config.HasQueryKeyValueBias;
        InputNorm = Norm("input_layernorm");
        Query = Make("self_attn.q_proj", config.QuerySize, hidden, bias);
        Key = Make("self_attn.k_proj", config.KeyValueSize, hidden, bias);
        Value = Make("self_attn.v_proj", config.KeyValueSize, hidden, bias);
        Output = Make("self_attn.o_proj", hidden, config.QuerySize, config.HasOutputBias);
        MiddleNorm = Norm("post_attention_layernorm");
        Gate = Make("mlp.gate_proj", middle, hidden, config.HasMlpBias);
        Up = Make("mlp.up_proj", middle, hidden, config.HasMlpBias);
        Down = Make("mlp.down_proj", hidden, middle, config.HasMlpBias);
        Linears = [Query, Key, Value, Output, Gate, Up, Down];
    }

    /// <summary>Number of the layer.</summary>
    public int Layer { get; }

    /// <summary>Weight of the norm before attention: [hidden].</summary>
    public Parameter InputNorm { get; }

    /// <summary>q_proj</summary>
    public Linear Query { get; }

    /// <summary>k_proj</summary>
    public Linear Key { get; }

    /// <summary>v_proj</summary>
    public Linear Value { get; }

    /// <summary>o_proj</summary>
    public Linear Output { get; }

    /// <summary>Weight of the norm before the MLP: [hidden].</summary>
    public Parameter MiddleNorm { get; }

    /// <summary>gate_proj</summary>
    public Linear Gate { get; }

    /// <summary>up_proj</summary>
    public Linear Up { get; }

    /// <summary>down_proj</summary>
    public Linear Down { get; }

    /// <summary>The seven linear modules, in the order of a forward pass.</summary>
    public IReadOnlyList<Linear> Linears { get; }

    /// <summary>All parameters, in the order of a forward pass.</summary>
    public IEnumerable<Parameter> Parameters =>
        [InputNorm, .. Linears.Take(4).SelectMany(Of), MiddleNorm, .. Linears.Skip(4).SelectMany(Of)];

    /// <summary>Computes the block for sequences that are padded at their end to one length.</summary>
    /// <param name="x">[sequences * length, hidden]; kept in the activations as a copy</param>
    /// <param name="y">[sequences * length, hidden]; may be x</param>
    /// <param name="sequences">sequences</param>
    /// <param name="length">tokens of each</param>
    /// <param name="kept">filled with what backward needs</param>
    public void Forward(ReadOnlySpan<float> x, Span<float> y, int sequences, int length, BlockActivations kept)
    {
        ArgumentNullException.ThrowIfNull(kept);
        kept.Prepare(_config, sequences, length);
        int rows = kept.Rows, values = rows * _config.HiddenSize;
        x[..values].CopyTo(kept.Input);
        RmsNorm.Forward(kept.Input, InputNorm.Values, kept.AttentionInput, kept.InputScales, rows, _epsilon);
        Query.Forward(kept.AttentionInput, kept.Query, rows);
        Key.Forward(kept.AttentionInput, kept.Key, rows);
        Value.Forward(kept.AttentionInput, kept.Value, rows);
        _rotary.Apply(kept.Query, rows, _config.HeadCount, length);
        _rotary.Apply(kept.Key, rows, _config.KeyValueHeadCount, length);
        Attention.Forward(kept.Query, kept.Key, kept.Value, kept.Mixed, kept.LogSums, Shape(sequences, length));
        kept.Input.AsSpan(0, values).CopyTo(kept.Middle);
        Output.Forward(kept.Mixed, kept.Middle, rows, accumulate: true);
        RmsNorm.Forward(kept.Middle, MiddleNorm.Values, kept.MlpInput, kept.MiddleScales, rows, _epsilon);
        Gate.Forward(kept.MlpInput, kept.Gate, rows);
        Up.Forward(kept.MlpInput, kept.Up, rows);
        SwiGlu.Forward(kept.Gate, kept.Up, kept.Product, rows * _config.IntermediateSize);
        kept.Middle.AsSpan(0, values).CopyTo(y);
        Down.Forward(kept.Product, y, rows, accumulate: true);
    }

    /// <summary>The turned keys and the values of one sequence, in the activations, and nothing else of the block.</summary>
    internal void KeysAndValues(ReadOnlySpan<float> x, int length, BlockActivations kept)
    {
        kept.Prepare(_config, 1, length);
        x[..(length * _config.HiddenSize)].CopyTo(kept.Input);
        RmsNorm.Forward(kept.Input, InputNorm.Values, kept.AttentionInput, kept.InputScales, length, _epsilon);
        Key.Forward(kept.AttentionInput, kept.Key, length);
        Value.Forward(kept.AttentionInput, kept.Value, length);
        _rotary.Apply(kept.Key, length, _config.KeyValueHeadCount, length);
    }

    /// <summary>Turns the gradient of the block's output into that of its input, in place, and adds to the parameters' gradients.</summary>
    /// <param name="d">[rows, hidden]: on entry the gradient of y, at the end that of x</param>
    /// <param name="kept">from the forward pass</param>
    /// <param name="scratch">buffers, shared between blocks</param>
    /// <param name="toInput">false where nobody asks for the gradients of x and of the first norm: d is then the gradient of middle, and three
    /// multiplications are saved</param>
    /// <param name="ready">told each linear module when its gradients are whole, from the last to the first; null for nobody</param>
    public void Backward(float[] d, BlockActivations kept, BlockGradients scratch, bool toInput = true, Action<Linear>? ready = null)
    {
        ArgumentNullException.ThrowIfNull(kept);
        ArgumentNullException.ThrowIfNull(scratch);
        int rows = kept.Rows;
        scratch.Prepare(_config, rows);
        void Back(Linear linear, float[] x, float[] dy, float[] dx, bool accumulate = false)
        {
            linear.Backward(x, dy, dx, rows, accumulate);
            ready?.Invoke(linear);
        }
        Back(Down, kept.Product, d, scratch.Product);
        SwiGlu.Backward(kept.Gate, kept.Up, scratch.Product, scratch.Gate, scratch.Product, rows * _config.IntermediateSize);
        Back(Gate, kept.MlpInput, scratch.Gate, scratch.Hidden);
        Back(Up, kept.MlpInput, scratch.Product, scratch.Hidden, accumulate: true);
        RmsNorm.Backward(kept.Middle, MiddleNorm.Values, kept.MiddleScales, scratch.Hidden, d, MiddleNorm.Gradient, rows);
        Back(Output, kept.Mixed, d, scratch.Mixed);
        Attention.Backward(kept.Query, kept.Key, kept.Value, kept.Mixed, kept.LogSums, scratch.Mixed, scratch.Query, scratch.Key, scratch.Value,
            Shape(kept.Sequences, kept.Length));
        _rotary.Apply(scratch.Query, rows, _config.HeadCount, kept.Length, backward: true);
        _rotary.Apply(scratch.Key, rows, _config.KeyValueHeadCount, kept.Length, backward: true);
        float[] target = toInput ? scratch.Hidden : [];
        Back(Query, kept.AttentionInput, scratch.Query, target);
        Back(Key, kept.AttentionInput, scratch.Key, target, accumulate: true);
        Back(Value, kept.AttentionInput, scratch.Value, target, accumulate: true);
        if (toInput) RmsNorm.Backward(kept.Input, InputNorm.Values, kept.InputScales, scratch.Hidden, d, InputNorm.Gradient, rows);
    }

    private AttentionShape Shape(int sequences, int length) =>
        new(sequences, length, _config.HeadCount, _config.KeyValueHeadCount, _config.HeadSize, _config.SlidingWindowOf(Layer));

    private static Parameter[] Of(Linear linear) => linear.Bias is null ? [linear.Weight] : [linear.Weight, linear.Bias];

    private Parameter Norm(string type) => new($"{new ModuleName(Layer, type).HuggingFaceName}.weight", 1, _config.HiddenSize);

    private Linear Make(string type, int rows, int columns, bool bias)
    {
        string name = new ModuleName(Layer, type).HuggingFaceName;
        return new Linear(name, new Parameter($"{name}.weight", rows, columns), bias ? new Parameter($"{name}.bias", 1, rows) : null);
    }
}
