using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Tuning;
using static TorchSharp.torch;

namespace NeuronQuant.Interop.Torch;

/// <summary>The forward pass of a decoder block in torch; autograd does the rest.</summary>
/// <remarks>
/// The same formulas as <see cref="DecoderBlock"/>, <see cref="Attention"/>, <see cref="RotaryEmbedding"/> and <see cref="RmsNorm"/>. Weights are float32
/// leaves and are cast to the compute type on the way, so gradients arrive in float32; norms, softmax and the residual stream stay in float32 in any
/// case, as the reference implementations have it. Attention is written out with bmm: all scores of the sequences that are computed at once
/// are in memory, [sequences * heads, length, length].
/// </remarks>
internal sealed class TorchBlock : IDisposable
{
    private readonly ModelConfig _config;
    private readonly ScalarType _compute;
    private readonly Tensor _inputNorm, _middleNorm, _cosines, _sines, _hidden;
    private readonly Dictionary<string, (Tensor Weight, Tensor? Bias)> _linears;
    private readonly int _length;

    /// <param name="task">block, sizes and length</param>
    /// <param name="device">where to compute</param>
    /// <param name="compute">type of the multiplications</param>
    public TorchBlock(BlockTask task, Device device, ScalarType compute)
    {
        using var scope = NewDisposeScope();
        (_config, _compute, _length) = (task.Config, compute, task.Length);
        (_inputNorm, _middleNorm) = (Constant(task.Block.InputNorm, device), Constant(task.Block.MiddleNorm, device));
        _linears = task.Block.Linears.ToDictionary(linear => linear.Name, linear => (Constant(linear.Weight, device), linear.Bias is null ? null : Constant(linear.Bias, device).to(compute)));
        double[] angles = [.. from position in Enumerable.Range(0, _length) from frequency in task.Rotary.Frequencies select position * frequency];
        int half = _config.HeadSize / 2;
        _cosines = tensor(angles.Select(angle => (float)Math.Cos(angle)).ToArray(), _length, half).to(device);
        _sines = tensor(angles.Select(angle => (float)Math.Sin(angle)).ToArray(), _length, half).to(device);
        _hidden = Hidden(_length, _config.SlidingWindowOf(task.Block.Layer)).to(device);
        foreach (var constant in Constants) constant.DetachFromDisposeScope();
    }

    /// <summary>A module's weight: a float32 leaf, [out, in].</summary>
    public Tensor WeightOf(string module) => _linears[module].Weight;

    /// <summary>The block's output in float32; the caller's dispose scope holds everything on the way.</summary>
    /// <param name="x">[sequences, length, hidden] float32</param>
    public Tensor Forward(Tensor x)
    {
        long sequences = x.shape[0], rows = sequences * _length;
        CheckedMath.Shaped("the block's input", x, sequences, _length, _config.HiddenSize);
        var stream = x.reshape(rows, _config.HiddenSize);
        var n = Norm(stream, _inputNorm);
        var q = Turn(Heads(Apply("self_attn.q_proj", n), sequences, _config.HeadCount));
        var k = Turn(Heads(Apply("self_attn.k_proj", n), sequences, _config.KeyValueHeadCount));
        var v = Heads(Apply("self_attn.v_proj", n), sequences, _config.KeyValueHeadCount);
        var middle = stream + Apply("self_attn.o_proj", Attend(q, k, v, sequences)).to(ScalarType.Float32);
        var m = Norm(middle, _middleNorm);
        var product = nn.functional.silu(Apply("mlp.gate_proj", m)) * Apply("mlp.up_proj", m);
        return (middle + Apply("mlp.down_proj", product).to(ScalarType.Float32)).view(sequences, _length, _config.HiddenSize);
    }

    /// <summary>Frees the weights and tables.</summary>
    public void Dispose()
    {
        foreach (var constant in Constants) constant.Dispose();
    }

    private IEnumerable<Tensor> Constants =>
        [_inputNorm, _middleNorm, _cosines, _sines, _hidden, .. _linears.Values.SelectMany(linear => linear.Bias is null ? [linear.Weight] : new[] { linear.Weight, linear.Bias })];

    private Tensor Apply(string type, Tensor x)
    {
        var (name, (weight, bias)) = _linears.First(pair => pair.Key.EndsWith(type, StringComparison.Ordinal));
        return CheckedMath.Linear(name, x.to(_compute), weight.to(_compute), bias);
    }

    private Tensor Norm(Tensor x, Tensor weight) => weight * (x * (x.pow(2).mean([1], keepdim: true) + _config.RmsNormEpsilon).rsqrt());

    // [rows, heads * size] to [sequences, heads, length, size]
    private Tensor Heads(Tensor x, long sequences, int heads) => x.view(sequences, _length, heads, _config.HeadSize).transpose(1, 2);

    private Tensor Turn(Tensor x)
    {
        long half = _config.HeadSize / 2;
        Tensor low = x.narrow(3, 0, half).to(ScalarType.Float32), high = x.narrow(3, half, half).to(ScalarType.Float32);
        return cat([low * _cosines - high * _sines, high * _cosines + low * _sines], 3).to(_compute);
    }

    private Tensor Attend(Tensor q, Tensor k, Tensor v, long sequences)
    {
        int heads = _config.HeadCount, size = _config.HeadSize;
        var scores = CheckedMath.Batched("attention scores", Flat(q, sequences), Flat(Repeat(k, sequences), sequences).transpose(1, 2));
        var p = (scores.to(ScalarType.Float32) / Math.Sqrt(size)).masked_fill(_hidden, float.NegativeInfinity).softmax(2).to(_compute);
        var mixed = CheckedMath.Batched("attention values", p, Flat(Repeat(v, sequences), sequences));
        return mixed.view(sequences, heads, _length, size).transpose(1, 2).reshape(sequences * _length, (long)heads * size);
    }

    private Tensor Flat(Tensor x, long sequences) => x.reshape(sequences * _config.HeadCount, _length, _config.HeadSize);

    // Query head h reads key-value head h / group.
    private Tensor Repeat(Tensor x, long sequences)
    {
        int groups = _config.KeyValueHeadCount, group = _config.HeadCount / groups;
        return group == 1 ? x : x.unsqueeze(2).expand(sequences, groups, group, _length, _config.HeadSize);
    }

    private static Tensor Hidden(int length, int? window)
    {
        var hidden = new bool[length * length];
        for (int query = 0; query < length; query++)
            for (int key = 0; key < length; key++) hidden[query * length + key] = key > query || (window is int w && key <= query - w);
        return tensor(hidden, 1, length, length);
    }

    // A copy in any case: the task's block must not change.
    private static Tensor Constant(Parameter parameter, Device device)
    {
        using var shared = parameter.ToTorch();
        return shared.clone().to(device);
    }
}
