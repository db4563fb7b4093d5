using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;

namespace NeuronQuant.Methods;

/// <summary>One change of floating-point weights that another change undoes.</summary>
/// <param name="Tensors">what was changed, such as "layers.0.input_layernorm, q_proj, k_proj, v_proj"</param>
/// <param name="By">by what, such as "gain / s, columns * s, s in 0.31 .. 3.2"</param>
/// <param name="Why">why the model still computes the same</param>
public sealed record Fold(string Tensors, string By, string Why);

/// <summary>A model that computes what another does, with other weights.</summary>
/// <param name="Model">a model of its own</param>
/// <param name="Folds">each change, in the order in which they were made</param>
public sealed record FoldedModel(LlamaModel Model, IReadOnlyList<Fold> Folds);

/// <summary>What a method made of a model: integers and scales, and the floating-point weights that go with them.</summary>
/// <param name="Method">the method's name</param>
/// <param name="Model">the model whose weights the codes stand for: the one that was given, or the folded one</param>
/// <param name="Weights">codes and scales of each module that is quantized</param>
public sealed record QuantizedModel(string Method, LlamaModel Model, IReadOnlyDictionary<ModuleName, QuantizedWeight> Weights)
{
    /// <summary>The changes of floating-point weights; empty where the integers stand for the model as it was given.</summary>
    public IReadOnlyList<Fold> Folds { get; init; } = [];

    /// <summary>Quantizes each module that has a grid by itself: all that a simple method needs.</summary>
    /// <param name="method">the method's name</param>
    /// <param name="model">the model in floating point</param>
    /// <param name="grids">which modules, and on which grid</param>
    /// <param name="quantize">codes and scales of one module</param>
    /// <param name="cancellation">checked before each module</param>
    public static QuantizedModel Each(string method, LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids,
        Func<Linear, Grid, QuantizedWeight> quantize, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(grids);
        var weights = new Dictionary<ModuleName, QuantizedWeight>();
        foreach (var linear in model.Linears.Where(linear => grids.ContainsKey(linear.Module)))
        {
            cancellation.ThrowIfCancellationRequested();
            weights[linear.Module] = quantize(linear, grids[linear.Module]);
        }
        return new QuantizedModel(method, model, weights);
    }

    /// <summary>The model that the device multiplies by: scale * code in place of each quantized weight.</summary>
    public LlamaModel ToModel()
    {
        var copy = Model.Copy();
        copy.Apply(Weights);
        return copy;
    }

    /// <summary>Codes, scales and changed floating-point tensors, for a writer.</summary>
    /// <param name="original">the model that was given to the method</param>
    public QuantizedModules ToModules(LlamaModel original)
    {
        ArgumentNullException.ThrowIfNull(original);
        return new QuantizedModules(Method, Weights) { Floats = Folds.Count == 0 ? QuantizedModules.NoFloats : Changed(original) };
    }

    /// <summary>Bytes of all linear modules: codes at the grid's width, float32 scales, zero points of 16 bits, bf16 where a module is
    /// kept.</summary>
    public long Bytes => Model.Linears.Sum(linear => Weights.TryGetValue(linear.Module, out var weight)
        ? (weight.Codes.LongLength * weight.Grid.Bits + 7) / 8 + sizeof(float) * weight.Scales.LongLength
            + sizeof(short) * weight.ZeroPoints.LongLength
        : sizeof(short) * (long)linear.Out * linear.In);

    // Float32 values of what is not quantized and is not what the source has.
    private Dictionary<string, float[]> Changed(LlamaModel original)
    {
        var before = original.Parameters.ToDictionary(parameter => parameter.Name);
        var quantized = Weights.Keys.Select(module => $"{module.HuggingFaceName}.weight").ToHashSet();
        var changed = new Dictionary<string, float[]>();
        foreach (var parameter in Model.Parameters.Where(parameter => !quantized.Contains(parameter.Name)))
        {
            float[] values = parameter.ToArray();
            if (!before.TryGetValue(parameter.Name, out var old) || !values.AsSpan().SequenceEqual(old.ToArray())) changed[parameter.Name] = values;
        }
        return changed;
    }
}
