using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using static TorchSharp.torch;

namespace NeuronQuant.Tuning;

/// <summary>A decoder block some of whose weights are scale * code.</summary>
internal static class QuantizedBlock
{
    /// <summary>The same block with its own weights, those that are among the quantized ones replaced; it lives as long as the dispose scope.</summary>
    public static DecoderBlock Of(DecoderBlock block, IReadOnlyDictionary<ModuleName, QuantizedWeight> weights) => block.With([.. block.Fused.Select(fused =>
    {
        var whole = fused.Weight.detach().clone();
        long first = 0;
        foreach (var linear in fused.Modules)
        {
            if (weights.TryGetValue(linear.Module, out var quantized)) whole.narrow(0, first, linear.Out).copy_(tensor(quantized.Dequantize()).view(linear.Out, linear.In));
            first += linear.Out;
        }
        return whole;
    })]);

    /// <summary>Replaces the weights that are among the quantized ones by scale * code.</summary>
    public static void Apply(DecoderBlock block, IReadOnlyDictionary<ModuleName, QuantizedWeight> weights)
    {
        foreach (var linear in block.Linears)
            if (weights.TryGetValue(linear.Module, out var quantized)) linear.Apply(quantized);
    }
}
