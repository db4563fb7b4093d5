using Microsoft.Data.Analysis;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Formats;

namespace NeuronQuant.Quantization;

/// <summary>
/// What a plan weighs: bytes of a checkpoint in layout nxd. A quantized weight costs one byte, each of its scales four; everything else
/// costs two bytes a number. Computed from shapes alone, so a config.json is enough.
/// </summary>
/// <param name="Codes">bytes of quantized weights</param>
/// <param name="Scales">bytes of their float32 scales</param>
/// <param name="Kept">bytes of the linear modules that stay in bf16</param>
/// <param name="Other">bytes of embeddings, norms and biases</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record WeightBytes(long Codes, long Scales, long Kept, long Other)
{
    /// <summary>All of them.</summary>
    public long Total => Codes + Scales + Kept + Other;

    /// <summary>In units of 1e9 bytes.</summary>
    public double Gigabytes => Total / 1e9;

    /// <summary>Counts the bytes of a model under a plan; without a plan everything is bf16.</summary>
    public static WeightBytes Of(ModelConfig config, QuantizationPlan? plan = null)
    {
        var sum = new WeightBytes(0, 0, 0, 0);
        foreach (var tensor in ExpectedTensors.Of(config))
        {
            long count = tensor.Shape.Aggregate(1L, (product, size) => product * size);
            bool linear = tensor.Module.IsLinear && tensor.Parameter == "weight";
            if (linear && plan is not null && plan[tensor.Module] != Format.Bf16)
                sum = sum with { Codes = sum.Codes + count, Scales = sum.Scales + 4 * (plan.Granularity == Granularity.PerChannelSymmetric ? tensor.Shape[0] : 1) };
            else sum = linear ? sum with { Kept = sum.Kept + 2 * count } : sum with { Other = sum.Other + 2 * count };
        }
        return sum;
    }

    /// <summary>One row for each kind of bytes.</summary>
    public DataFrame ToDataFrame() => new FrameRows("Weights", "part", new Column("GB", "0.000"))
        .Row("8-bit codes", Codes / 1e9).Row("float32 scales", Scales / 1e9).Row("linear modules in bf16", Kept / 1e9)
        .Row("embeddings and norms in bf16", Other / 1e9).Row("total", Total / 1e9).Mark();

    /// <summary>The table as HTML.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <summary>The table as text.</summary>
    public override string ToString() => ToDataFrame().ToText();
}
