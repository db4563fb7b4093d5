using NeuronQuant.Checkpoints;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

namespace NeuronQuant.Models;

/// <summary>One decoder layer: attention and MLP, each behind a norm and added to the residual stream.</summary>
/// <remarks>
/// middle = x + o(attention(rope(q(n)), rope(k(n)), v(n))) with n = norm(x);   y = middle + down(silu(gate(m)) * up(m)) with m = norm(middle)
/// Qwen3 norms each head of q and of k before it is turned. The stream x is float32 in any weight type: sums of many small terms.
/// A block stands alone, which is what tuning one block at a time needs. What a half makes on its way is freed at its end, unless a graph holds it.
/// </remarks>
public sealed class DecoderBlock : IDisposable
{
    private readonly ModelConfig _config;
    private readonly FusedLinear _queryKeyValue, _output, _gateUp, _down;
    private readonly Parameter? _queryNorm, _keyNorm;

    /// <summary>A block whose parameters are zero.</summary>
    /// <param name="config">sizes of the model</param>
    /// <param name="layer">number of the layer</param>
    /// <param name="place">type and device of the weights</param>
    public DecoderBlock(ModelConfig config, int layer, Placement place)
    {
        ArgumentNullException.ThrowIfNull(config);
        (_config, Layer, Place) = (config, layer, place);
        int hidden = config.HiddenSize, middle = config.IntermediateSize;
        (_queryKeyValue, _output, _gateUp, _down) = Torch.Run(() => (
            new FusedLinear(place, layer, hidden, config.HasQueryKeyValueBias, ("self_attn.q_proj", config.QuerySize), ("self_attn.k_proj", config.KeyValueSize), ("self_attn.v_proj", config.KeyValueSize)),
            new FusedLinear(place, layer, config.QuerySize, config.HasOutputBias, ("self_attn.o_proj", hidden)),
            new FusedLinear(place, layer, hidden, config.HasMlpBias, ("mlp.gate_proj", middle), ("mlp.up_proj", middle)),
            new FusedLinear(place, layer, middle, config.HasMlpBias, ("mlp.down_proj", hidden))));
        (InputNorm, MiddleNorm) = (Norm("input_layernorm", hidden), Norm("post_attention_layernorm", hidden));
        if (config.HasQueryKeyNorm) (_queryNorm, _keyNorm) = (Norm("self_attn.q_norm", config.HeadSize), Norm("self_attn.k_norm", config.HeadSize));
        Linears = [.. Fused.SelectMany(fused => fused.Modules)];
    }

    private DecoderBlock(DecoderBlock block, Tensor[] weights)
    {
        (_config, Layer, Place, InputNorm, MiddleNorm, _queryNorm, _keyNorm, Linears) =
            (block._config, block.Layer, block.Place, block.InputNorm, block.MiddleNorm, block._queryNorm, block._keyNorm, block.Linears);
        FusedLinear[] fused = [.. block.Fused.Zip(weights, (one, weight) => one.With(weight))];
        (_queryKeyValue, _output, _gateUp, _down) = (fused[0], fused[1], fused[2], fused[3]);
    }

    /// <summary>Number of the layer.</summary>
    public int Layer { get; }

    /// <summary>Type and device of the weights.</summary>
    public Placement Place { get; }

    /// <summary>Weight of the norm before attention: [hidden].</summary>
    public Parameter InputNorm { get; }

    /// <summary>Weight of the norm before the MLP: [hidden].</summary>
    public Parameter MiddleNorm { get; }

    /// <summary>The seven linear modules, in the order of a forward pass.</summary>
    public IReadOnlyList<Linear> Linears { get; }

    /// <summary>A linear module by its type.</summary>
    /// <param name="type">name within the layer, such as mlp.up_proj</param>
    /// <exception cref="ModelException">there is no such linear module</exception>
    public Linear this[string type] => Linears.FirstOrDefault(linear => linear.Module.Type == type)
        ?? throw new ModelException(type, "is no linear module of a decoder block; name one of ModuleName.LinearTypes.");

    /// <summary>What a linear module reads: the name by which <see cref="Forward(Tensor, Positions, Action{string, Tensor})"/> tells of it.</summary>
    /// <param name="type">name within the layer, such as mlp.up_proj</param>
    public static string InputOf(string type) => type switch
    {
        "self_attn.o_proj" => "self_attn",
        "mlp.down_proj" => "mlp",
        "mlp.gate_proj" or "mlp.up_proj" => "post_attention_layernorm",
        _ => "input_layernorm",
    };

    /// <summary>All parameters, in the order of a forward pass.</summary>
    public IEnumerable<Parameter> Parameters
    {
        get
        {
            Parameter?[] all = [InputNorm, .. Linears.Take(3).SelectMany(Of), _queryNorm, _keyNorm, .. Of(Linears[3]), MiddleNorm, .. Linears.Skip(4).SelectMany(Of)];
            return all.OfType<Parameter>();
        }
    }

    /// <summary>The four multiplications: q, k, v together; o; gate, up together; down.</summary>
    internal IReadOnlyList<FusedLinear> Fused => [_queryKeyValue, _output, _gateUp, _down];

    /// <summary>What is trained: whole tensors, and whether weight decay is for them.</summary>
    internal IEnumerable<(Tensor Leaf, bool Decays)> Leaves =>
        [.. Fused.Select(fused => (fused.Weight, true)), .. Fused.Where(fused => fused.Bias is not null).Select(fused => (fused.Bias!, false)),
            .. new[] { InputNorm, MiddleNorm, _queryNorm, _keyNorm }.OfType<Parameter>().Select(norm => (norm.Whole, false))];

    /// <summary>The same block with other weights of its four multiplications, which are not owned: leaves that learn, for one.</summary>
    internal DecoderBlock With(Tensor[] weights) => new(this, weights);

    /// <summary>The same block, those of its weights that are among the quantized ones scale * code; what it makes lives as long as the dispose scope.</summary>
    internal DecoderBlock With(IReadOnlyDictionary<ModuleName, QuantizedWeight> quantized) => With([.. Fused.Select(fused => fused.Weights(quantized))]);

    /// <summary>Computes the block.</summary>
    /// <param name="x">the residual stream, [texts, length, hidden]</param>
    /// <param name="positions">of the texts</param>
    /// <param name="see">told what is inside: the name of a module within the layer, and what it gives, [texts, length, width]; null for nobody</param>
    /// <returns>[texts, length, hidden]</returns>
    /// <exception cref="ModelException">x has another shape</exception>
    public Tensor Forward(Tensor x, Positions positions, Action<string, Tensor>? see = null) => Forward(x, positions, null, see);

    internal Tensor Forward(Tensor x, Positions positions, KeyValueCache? cache, Action<string, Tensor>? see = null, Simulation? simulated = null)
    {
        if (x.dim() != 3 || x.shape[2] != _config.HiddenSize)
            throw new ModelException($"layers.{Layer}", $"its input is [{string.Join(", ", x.shape)}], expected [texts, length, {_config.HiddenSize}].");
        return Feed(Attend(x, positions, cache, see, simulated), see, simulated);
    }

    /// <summary>middle = x + o(attention(…)): the first half of the block.</summary>
    internal Tensor Attend(Tensor x, Positions positions, KeyValueCache? cache = null, Action<string, Tensor>? see = null, Simulation? simulated = null)
    {
        long texts = x.shape[0], length = x.shape[1], size = _config.HeadSize, heads = _config.HeadCount, keyHeads = _config.KeyValueHeadCount;
        var mask = positions.Mask(_config.SlidingWindowOf(Layer)); // Made once for all layers, so it outlives this one.
        using var scope = NewDisposeScope();
        var n = See("input_layernorm", Normed(x, InputNorm.Whole), see);
        var parts = _queryKeyValue.Forward(n, simulated?.Inputs).view(texts, length, heads + 2 * keyHeads, size).split([heads + keyHeads, keyHeads], 2);
        var turned = RotaryEmbedding.Turn(HeadNorms(parts[0]), positions.Angles).split([heads, keyHeads], 2);
        var (q, k, v) = (See("self_attn.q_proj", turned[0], see), See("self_attn.k_proj", turned[1], see), See("self_attn.v_proj", parts[1], see));
        if (cache is not null) (k, v) = cache.Append(Layer, k, v);
        var mixed = See("self_attn", simulated?.Cache is { } stored ? Attention.MixStored(q, k, v, mask, stored, simulated.Fresh) : Attention.Mix(q, k, v, mask), see);
        return See("self_attn.o_proj", x.Plus(_output.Forward(mixed, simulated?.Inputs)), see).MoveToOuterDisposeScope();
    }

    /// <summary>y = middle + down(silu(gate(m)) * up(m)): the second half.</summary>
    internal Tensor Feed(Tensor middle, Action<string, Tensor>? see = null, Simulation? simulated = null)
    {
        using var scope = NewDisposeScope();
        var m = See("post_attention_layernorm", Normed(middle, MiddleNorm.Whole), see);
        var halves = _gateUp.Forward(m, simulated?.Inputs).chunk(2, -1);
        var product = See("mlp", F.silu(See("mlp.gate_proj", halves[0], see)) * See("mlp.up_proj", halves[1], see), see);
        return See("mlp.down_proj", middle.Plus(_down.Forward(product, simulated?.Inputs)), see).MoveToOuterDisposeScope();
    }

    /// <summary>x / sqrt(mean(x^2) + epsilon) * weight, over the last dimension, in the weight's type.</summary>
    internal static Tensor RmsNorm(Tensor x, Tensor weight, double epsilon) =>
        (x * x.Squared().mean([-1], keepdim: true).add(Torch.Number(epsilon), Torch.Number(1)).rsqrt()).to(weight.dtype) * weight;

    /// <summary>Frees the weights.</summary>
    public void Dispose()
    {
        foreach (var parameter in Parameters) parameter.Dispose();
    }

    private static Tensor See(string type, Tensor output, Action<string, Tensor>? see)
    {
        see?.Invoke(type, output);
        return output;
    }

    private Tensor Normed(Tensor x, Tensor weight) => RmsNorm(x, weight, _config.RmsNormEpsilon);

    private Tensor HeadNorms(Tensor queryKey)
    {
        if (_queryNorm is null || _keyNorm is null) return queryKey;
        var parts = queryKey.split([_config.HeadCount, _config.KeyValueHeadCount], 2);
        Tensor Wide(Tensor x, Parameter norm) => Normed(x.to(Place.StreamType), norm.Whole);
        return cat([Wide(parts[0], _queryNorm), Wide(parts[1], _keyNorm)], 2);
    }

    private static IEnumerable<Parameter> Of(Linear linear) => linear.Bias is null ? [linear.Weight] : [linear.Weight, linear.Bias];

    private Parameter Norm(string type, int size) => new($"{new ModuleName(Layer, type).HuggingFaceName}.weight", Torch.Run(() => Torch.Keep(zeros(size, Place.Type, Place.Device))), 0, size);
}
