using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Sensitivity;

namespace NeuronQuant.Evaluation;

/// <summary>
/// A copy of a model whose linear weights are what the device multiplies by: scale * code, in float32. It is how a quantization is graded
/// before anything is written, at any width.
/// </summary>
/// <remarks>
/// On Inferentia2 int8 codes become bf16 (exactly), are multiplied, and the output is scaled in float32; the engine multiplies scale * code
/// in float32, which differs by rounding alone. Embeddings, norms and kept modules are copied.
/// </remarks>
public static class QuantizedCopy
{
    /// <summary>Rounds every linear weight to nearest on a grid, but for the modules that an exclusion list keeps.</summary>
    /// <param name="model">left as it is</param>
    /// <param name="grid">for example Grid.Nxd(bits: 4)</param>
    /// <param name="modulesToNotConvert">entries as NxDI takes them; a tied head is always kept</param>
    /// <exception cref="QuantizationException">an entry is unsafe or matches nothing, or a weight is not finite</exception>
    public static LlamaModel RoundToNearest(LlamaModel model, Grid grid, IReadOnlyList<string>? modulesToNotConvert = null)
    {
        var modules = QuantizationPlan.LinearModules(model.Config);
        var plan = QuantizationPlan.Create(modules, model.Config.TieWordEmbeddings, grid.Format, Granularity.PerChannelSymmetric, modulesToNotConvert ?? []);
        var copy = Of(model);
        foreach (var parameter in copy.Parameters)
            if (plan[ModuleName.OfTensor(parameter.Name, out string kind)] != Formats.Format.Bf16 && kind == "weight")
                Quantization.RoundToNearest.Quantize(WeightMatrix.Of(parameter.Name, parameter.Values, parameter.Rows, parameter.Columns), grid)
                    .Dequantize().CopyTo(parameter.Values, 0);
        return copy;
    }

    /// <summary>The sensitivity profile of the linear weights of a model in memory, as it was changed. A tied head is the embedding and not among them.</summary>
    public static ModelProfile Profile(LlamaModel model) =>
        ModelProfile.Of(model.Blocks.SelectMany(block => block.Linears).Concat(model.Config.TieWordEmbeddings ? [] : [model.Head]).Select(linear => ModuleMetrics.Measure(
            ModuleName.Parse(linear.Name), WeightMatrix.Of(linear.Weight.Name, linear.Weight.Values, linear.Out, linear.In))));

    /// <summary>A copy with its own weights.</summary>
    public static LlamaModel Of(LlamaModel model)
    {
        var copy = new LlamaModel(model.Config);
        foreach (var (target, source) in copy.Parameters.Zip(model.Parameters)) source.Values.CopyTo(target.Values, 0);
        return copy;
    }
}
