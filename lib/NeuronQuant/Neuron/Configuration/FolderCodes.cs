using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>
/// The codes and scales of a folder that has no record, as NxD Inference would meet them: their one dtype, their one granularity, the linear modules
/// that stay float. What its loader cannot take, or takes and reads as other numbers, is said in <see cref="Obstacle"/>.
/// </summary>
/// <remarks>
/// The loader accepts scale and, as another name of it, weight_scale (application_base.py:710 at 2.28, nxd-inference cd3abf3), in float32,
/// [out, 1] per channel or [1] per tensor (nxd v2.28.0, quantization_utils.py:92-123). Neuron's e4m3 ends at 240: bytes from 0x78 on, which other
/// libraries use up to
/// 448, are infinity or NaN to it, so that such a folder is garbage without an error.
/// </remarks>
/// <param name="Format">of the first module with codes</param>
/// <param name="Granularity">of its scale</param>
/// <param name="ModulesToNotConvert">the shortest safe entries for the linear modules that are float, and for a tied head that the file leaves
/// out</param>
/// <param name="Obstacle">why NxD Inference cannot use the folder as it is; null when it can</param>
internal sealed record FolderCodes(Format Format, Granularity Granularity, IReadOnlyList<string> ModulesToNotConvert, string? Obstacle)
{
    private const byte FirstForbidden = 0x78; // 256 in e4m3fn; 240 is 0x77.
    private const int Step = 1 << 22; // bytes looked at in one go

    public static FolderCodes Read(Checkpoint stored, SourceScheme scheme, CancellationToken cancellation)
    {
        var modules = scheme.Scaled;
        if (scheme.Packed is [var packed, ..]) return Unpackable(stored, scheme, $"stores {packed.Kind}, which NxD Inference does not load");
        var formats = modules.Select(module => FormatOf(module.Code.Type)).Distinct().ToArray();
        bool perTensor = modules[0].Scale.ElementCount == 1;
        var coded = modules.Select(module => ModuleName.OfTensor(module.Code.Name, out _)).ToHashSet();
        IReadOnlyList<ModuleName> linear = [.. QuantizationPlan.LinearModules(stored).Append(ModuleName.Parse("lm_head")).Distinct().Order()];
        string? obstacle = formats.Length > 1 ? $"holds codes of {string.Join(" and ", formats.Select(format => format.NxdiName()))}, and NxD "
            + "Inference takes one quantization_dtype"
            : modules.Select(module => ScaleObstacle(module, perTensor)).FirstOrDefault(found => found is not null) ?? RangeObstacle(stored,
                modules, cancellation);
        return new FolderCodes(formats[0], perTensor ? Granularity.PerTensorSymmetric : Granularity.PerChannelSymmetric,
            Exclusions.EntriesFor(linear.Where(module => !coded.Contains(module)), linear), obstacle);
    }

    private static FolderCodes Unpackable(Checkpoint stored, SourceScheme scheme, string obstacle)
    {
        var coded = scheme.Computed.Select(module => ModuleName.OfTensor(module.Values.Name, out _)).ToHashSet();
        IReadOnlyList<ModuleName> linear =
            [.. QuantizationPlan.LinearModules(stored).Concat(coded).Append(ModuleName.Parse("lm_head")).Distinct().Order()];
        return new FolderCodes(Format.Int8, Granularity.PerChannelSymmetric,
            Exclusions.EntriesFor(linear.Where(module => !coded.Contains(module)), linear), obstacle);
    }

    private static Format FormatOf(TensorType type) => type switch
    {
        TensorType.I8 => Format.Int8,
        TensorType.F8E4M3 => Format.F8E4M3,
        _ => Format.F8E5M2,
    };

    private static string? ScaleObstacle(ScaledTensor module, bool perTensor)
    {
        var (scale, rows) = (module.Scale, module.Code.Shape[0]);
        if (scale.Name.EndsWith("_inv", StringComparison.Ordinal) || module.Kind.Contains("block", StringComparison.Ordinal)
            || module.Kind.Contains("columns", StringComparison.Ordinal))
            return $"stores {module.Kind} ({scale.Name}), which NxD Inference does not load on Inf2";
        if (scale.Type != TensorType.F32) return $"stores {scale.Name} in {scale.Type.Name()}, and NxD Inference's scales are F32";
        bool fits = perTensor ? scale.Shape is [1] : scale.Shape is [_, 1]; // With other rows these are blocks.
        return fits ? null : $"stores {scale.Name} of shape [{string.Join(", ", scale.Shape)}], and NxD Inference expects "
            + $"{(perTensor ? "[1]" : $"[{rows}, 1]")} as in the first module";
    }

    private static string? RangeObstacle(Checkpoint stored, IReadOnlyList<ScaledTensor> modules, CancellationToken cancellation)
    {
        foreach (var code in modules.Select(module => module.Code).Where(code => code.Type == TensorType.F8E4M3))
            for (long first = 0; first < code.ByteCount; first += Step)
            {
                cancellation.ThrowIfCancellationRequested();
                foreach (byte one in stored.Bytes(code, first, (int)Math.Min(Step, code.ByteCount - first)))
                    if ((one & 0x7F) >= FirstForbidden) return $"has fp8 codes beyond 240 ({code.Name}): their range ends at 448, and Neuron "
                        + "reads those bytes as infinity or NaN, without an error";
            }
        return null;
    }
}
