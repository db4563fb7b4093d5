using Microsoft.Data.Analysis;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using Plotly.NET;
using NeuronQuant.Quantization;

namespace NeuronQuant.Sensitivity;

/// <summary>
/// The profile of a model: every metric of every weight, from one streaming pass over the checkpoint. It can be read as a table, a line
/// for each module type over the layers, or a heat map.
/// </summary>
/// <remarks>
/// Vectors and matrices named "….weight" are measured: linear layers, norms and embeddings. A group such as "self_attn" stands for all
/// of its weights; its value is the mean over their channels, which for outlier magnitude is the mean variance of all channels.
/// </remarks>
public sealed class ModelProfile
{
    private ModelProfile(IReadOnlyList<ModuleMetrics> modules, IEnumerable<Metric>? own = null) => (Modules, Metrics) = (modules, [.. Metric.All, .. own ?? []]);

    /// <summary>What was measured: the library's metrics and the reader's.</summary>
    public IReadOnlyList<Metric> Metrics { get; }

    /// <summary>One entry for each weight, in the order of a forward pass.</summary>
    public IReadOnlyList<ModuleMetrics> Modules { get; }

    /// <summary>The number of decoder layers.</summary>
    public int Layers => Modules.Max(entry => entry.Module.Layer + 1) ?? 0;

    /// <summary>Measures every weight of a checkpoint. Memory stays within the rows at work, whatever the model's size.</summary>
    /// <param name="checkpoint">the model</param>
    /// <param name="progress">told the weights done and their number</param>
    /// <param name="cancellation">checked between blocks of rows</param>
    /// <param name="own">metrics of the reader's (<see cref="Metric.Of"/>), measured beside the library's</param>
    /// <exception cref="QuantizationException">a weight is NaN or infinite, or there is no weight at all</exception>
    public static ModelProfile Measure(Checkpoint checkpoint, Action<long, long>? progress = null, CancellationToken cancellation = default, params Metric[] own)
    {
        var weights = checkpoint.Tensors.Where(IsWeight).OrderBy(tensor => ModuleName.OfTensor(tensor.Name, out _)).ToArray();
        if (weights.Length == 0) throw new QuantizationException(Path.GetFileName(checkpoint.Path), "holds no tensor named '….weight' to measure.");
        long done = 0, total = weights.Sum(tensor => tensor.ElementCount);
        var modules = new List<ModuleMetrics>(weights.Length);
        foreach (var tensor in weights)
        {
            modules.Add(ModuleMetrics.Measure(ModuleName.OfTensor(tensor.Name, out _), WeightMatrix.Of(checkpoint, tensor), own, cancellation));
            progress?.Invoke(done += tensor.ElementCount, total);
        }
        return new ModelProfile(modules, own);
    }

    /// <summary>A profile of metrics measured elsewhere.</summary>
    public static ModelProfile Of(IEnumerable<ModuleMetrics> modules) => new([.. modules.OrderBy(entry => entry.Module)]);

    /// <summary>The linear modules, which are what quantization can touch.</summary>
    public IEnumerable<ModuleMetrics> Linear => Modules.Where(entry => entry.Module.IsLinear);

    /// <summary>
    /// The value of a metric for a module type in each layer: "self_attn", "mlp", "input_layernorm", "mlp.down_proj". A group's value is the
    /// mean over the channels of all its weights; NaN for a layer that has none.
    /// </summary>
    public double[] ByLayer(string type, Metric? metric = null)
    {
        metric ??= Metric.OutlierMagnitude;
        var values = new double[Layers];
        for (int layer = 0; layer < values.Length; layer++)
        {
            var members = Modules.Where(entry => entry.Module.Layer == layer && IsOf(entry.Module.Type, type) && entry[metric] is not null).ToArray();
            values[layer] = members.Length == 0 ? double.NaN : members.Sum(entry => entry[metric]!.Value * entry.Rows) / members.Sum(entry => (double)entry.Rows);
        }
        return values.All(double.IsNaN) ? throw new ArgumentException($"No layer has a weight of type '{type}'. There are: {string.Join(", ", Types)}.", nameof(type)) : values;
    }

    /// <summary>The module types within layers, in the order of a forward pass.</summary>
    public IReadOnlyList<string> Types => [.. Modules.Where(entry => entry.Module.Layer is not null).OrderBy(entry => entry.Module with { Layer = 0 })
        .Select(entry => entry.Module.Type).Distinct()];

    /// <summary>A line over the layers for each type given (all types when none is).</summary>
    public GenericChart ToChart(Metric? metric = null, params string[] types)
    {
        metric ??= Metric.OutlierMagnitude;
        var chart = Charts.Together((types.Length > 0 ? types : Types).Select(type => Charts.Line(type, Enumerable.Range(0, Layers), ByLayer(type, metric))))
            .Titled($"{metric.Name} by layer").Axes("layer", $"{metric.Name} ({metric.Unit})");
        return metric.SpansDecades ? chart.LogY() : chart;
    }

    /// <summary>Layers across, module types down, the metric as colour; of a metric that spans decades its decimal logarithm.</summary>
    public GenericChart ToHeatMap(Metric? metric = null)
    {
        metric ??= Metric.Int8Sqnr;
        bool decades = metric.SpansDecades;
        string[] types = [.. Types.Where(type => ModuleName.LinearTypes.Contains(type))];
        var values = new double[types.Length, Layers];
        for (int row = 0; row < types.Length; row++)
        {
            double[] line = ByLayer(types[row], metric);
            for (int layer = 0; layer < line.Length; layer++) values[row, layer] = decades ? Math.Log10(line[layer]) : line[layer];
        }
        return Charts.HeatMap(values, types, Enumerable.Range(0, Layers).Select(layer => $"{layer}"), decades ? $"log10 of {metric.Name}" : $"{metric.Name} ({metric.Unit})")
            .Titled($"{metric.Name} of every linear module").Axes("layer", "");
    }

    /// <summary>Every metric of every weight.</summary>
    public DataFrame ToDataFrame()
    {
        var own = Metrics.Skip(Metric.All.Count).ToArray();
        var table = new FrameRows($"Sensitivity of {Modules.Count} weights",
            ["module", "shape", "outlier magnitude", "crest factor", "worst channel's", "kurtosis", "int8 MSE", "int8 SQNR dB", .. own.Select(metric => new Column(metric.Name))]);
        foreach (var m in Modules)
            table.Row([m.Module.Name, $"{m.Rows} x {m.Columns}", m.OutlierMagnitude, m.CrestFactor, m.LargestCrestFactor, m.Kurtosis, m.Int8Mse, m.Int8Sqnr, .. own.Select(metric => (object?)m[metric])]);
        return table;
    }

    private static bool IsOf(string type, string group) => type == group || type.StartsWith(group + ".", StringComparison.Ordinal);

    private static bool IsWeight(TensorInfo tensor) => tensor.Name.EndsWith(".weight", StringComparison.Ordinal)
        && tensor.Shape.Length is 1 or 2 && tensor.Type is TensorType.F64 or TensorType.F32 or TensorType.F16 or TensorType.BF16;
}
