using NeuronQuant.Models;
using NeuronQuant.Quantization;

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
        var copy = model.Copy();
        foreach (var linear in copy.Linears)
            if (plan[linear.Module] != Formats.Format.Bf16) linear.Apply(Quantization.RoundToNearest.Quantize(linear.ToWeightMatrix(), grid));
        return copy;
    }
}
