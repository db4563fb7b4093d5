using Microsoft.Data.Analysis;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using NeuronQuant.Tuning;

namespace NeuronQuant.Methods;

/// <summary>What a layer-wise method made of one module.</summary>
/// <param name="Module">the module</param>
/// <param name="Weight">its codes and scales</param>
/// <param name="RoundedError">output error of rounding to nearest: mean over tokens of |(W^-W) x|^2</param>
/// <param name="Error">the same of these codes</param>
public sealed record LayerTuning(ModuleName Module, QuantizedWeight Weight, double RoundedError, double Error);

/// <summary>What a layer-wise method (gptq) made of a model.</summary>
/// <param name="Method">gptq</param>
/// <param name="Layers">each module, in the order of a forward pass</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record LayerTuningResult(string Method, IReadOnlyList<LayerTuning> Layers)
{
    /// <summary>Codes and scales of all modules, for a writer.</summary>
    public QuantizedModules Modules => new(Method, Layers.ToDictionary(layer => layer.Module, layer => layer.Weight));

    /// <summary>Replaces the weights of a model by scale * code, for evaluation; the others stay as they are.</summary>
    /// <param name="model">a model of the same sizes, changed in place</param>
    public void ApplyTo(LlamaModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        model.Apply(Modules.Weights);
    }

    /// <summary>A row for each module: its output error when rounded to nearest and with these codes. Modules that got worse stand out.</summary>
    public DataFrame ToDataFrame() => Frames.From($"{Method}: output error of each module", Layers,
            ("module", layer => layer.Module.Name), (new Column("rounded to nearest", "0.000e+0"), layer => layer.RoundedError),
            (new Column(Method, "0.000e+0"), layer => layer.Error),
            (new Column($"{Method} / rounded", "0.000"), layer => layer.RoundedError > 0 ? layer.Error / layer.RoundedError : null))
        .Mark(row => row[3] is double and > 1);

    /// <summary>The table as HTML.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <summary>The table as text.</summary>
    public override string ToString() => ToDataFrame().ToText();

    internal static LayerTuningResult Of(
        string method, LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, IReadOnlyDictionary<ModuleName, GramMatrix> grams,
        Func<WeightMatrix, GramMatrix, Grid, QuantizedWeight> quantize, Action<long, long>? progress, CancellationToken cancellation)
    {
        var layers = new List<LayerTuning>();
        foreach (var linear in model.Blocks.SelectMany(block => block.Linears))
        {
            if (!grids.TryGetValue(linear.Module, out var grid)) continue;
            cancellation.ThrowIfCancellationRequested();
            var gram = grams.GetValueOrDefault(linear.Module)
                ?? throw new TuningException(linear.Module.Name, "has no Gram matrix. Capture one with GramMatrix.Capture on this model.");
            float[] original = linear.Weight.ToArray();
            var weight = WeightMatrix.Of(linear.Weight.Name, original, linear.Out, linear.In);
            var (rounded, chosen) = (Rounded(linear, grid), quantize(weight, gram, grid));
            double tokens = Math.Max(1, gram.Tokens);
            layers.Add(new LayerTuning(linear.Module, chosen, gram.Error(original, rounded) / tokens, gram.Error(original, chosen.Dequantize()) / tokens));
            progress?.Invoke(layers.Count, grids.Count);
        }
        return new LayerTuningResult(method, layers);
    }

    private static float[] Rounded(Linear linear, Grid grid) => Torch.Run(() =>
    {
        using var start = new LearnedWeight(linear.Weight.Name, linear.Weight.Tensor, grid);
        var rounded = TorchSharp.torch.empty_like(start.Weight);
        start.Write(rounded);
        return rounded.ToFloats();
    });
}
