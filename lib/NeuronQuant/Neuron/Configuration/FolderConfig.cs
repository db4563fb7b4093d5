using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>What a folder is to NxD Inference.</summary>
public enum FolderKind
{
    /// <summary>Codes and scales that this library wrote: its record says how.</summary>
    Written,

    /// <summary>Fake-quantized bf16 weights that this library wrote: NxD Inference rounds them itself.</summary>
    FakeQuantized,

    /// <summary>Codes and scales in NxD's own form, by whichever program.</summary>
    Nxd,

    /// <summary>Codes and scales of another library, which must be converted first.</summary>
    Foreign,

    /// <summary>A model in floating point.</summary>
    Float,
}

/// <summary>
/// The NeuronConfig that a folder wants, derived from what lies in it: nothing is asked of the reader that the bytes can answer. What belongs to
/// the run (tp_degree, batch_size, seq_len) is left out; <c>nq plan</c> says what fits.
/// </summary>
/// <remarks>
/// A foreign folder gets the configuration of the folder that <c>nq quantize</c> would write from it, and an error that says so: an fp8
/// checkpoint served without conversion is garbage and no error (vllm-neuron issue 9). Every configuration goes through
/// <see cref="NeuronConfigCheck"/>.
/// </remarks>
/// <param name="Kind">what the folder is</param>
/// <param name="Description">the same in words</param>
/// <param name="Setup">the options, the class and the variables to start Python with</param>
/// <param name="Findings">what speaks against using it</param>
/// <param name="Notes">what could not be known</param>
public sealed record FolderConfig(FolderKind Kind, string Description, NeuronSetup Setup, IReadOnlyList<ConfigFinding> Findings,
    IReadOnlyList<string> Notes)
{
    private const string PathOption = "quantized_checkpoints_path";
    private const string Qwen2Class = "NeuronQwen2ForCausalLM";

    /// <summary>Derives it. Headers are read, and of codes in e4m3 every byte.</summary>
    /// <param name="folder">a folder with safetensors</param>
    /// <param name="model">the config of the model that it was made from, where the folder has none: for tied heads, biases and sizes</param>
    /// <param name="cancellation">stops the reading</param>
    /// <exception cref="CheckpointException">there are no weights, or they are stored in a way that is no product of code and scale</exception>
    /// <exception cref="NeuronException">the path is a file</exception>
    public static FolderConfig Of(string folder, ModelConfig? model = null, CancellationToken cancellation = default)
    {
        folder = Path.TrimEndingDirectorySeparator(HubCache.Resolve(folder));
        if (File.Exists(folder)) throw new NeuronException(folder, "is a file, and NxD Inference takes folders. Give the folder that it lies in.");
        using var stored = Checkpoint.OpenStored(folder);
        if (model is null && stored.HasConfig) model = stored.Config;
        var (kind, description, config, findings) = QuantizationRecord.Read(folder) is { } record
            ? Recorded(record, folder) : Stored(stored, folder, cancellation);
        config = config.With("torch_dtype", "bfloat16");
        var setup = NeuronSetup.Of(config) with { ModelClass = model?.Family == ModelFamily.Qwen2 ? Qwen2Class : NeuronSetup.LlamaClass };
        var report = NeuronConfigCheck.Run(setup, model, cancellation: cancellation);
        return new FolderConfig(kind, description, setup, [.. findings, .. report.Findings],
            [.. report.Notes, "tp_degree, batch_size and seq_len are the run's own: nq plan says what fits, and tp_degree is 1 unless given."]);
    }

    private static (FolderKind, string, NeuronConfig, ConfigFinding[]) Recorded(QuantizationRecord record, string folder)
    {
        string what = $"{record.QuantizationDtype} {record.QuantizationType}";
        if (record.Layout == "nxd")
            return (FolderKind.Written, $"codes and scales that this library wrote ({what}, {record.Method})", NeuronConfig.For(record, folder), []);
        var findings = new List<ConfigFinding>
        {
            ConfigFinding.Warning(PathOption, "the folder holds fake-quantized bf16 weights, so NxD Inference must quantize them into "
                + $"'{Target(folder)}' first: save_quantized_state_dict, which loads the model in float32.",
                "Give this folder as the model's path, make the target an existing folder; or write codes with nq quantize --layout nxd and "
                    + "skip that step."),
        };
        if (record.Widths is { } widths)
            findings.Add(ConfigFinding.Warning("quantization_dtype", $"{widths.Count} modules were tuned below 8 bits; Inf2 stores 8, so "
                + "neither memory nor speed is that of fewer.", "Use the folder to measure accuracy."));
        else if (record.WholeGrid.WhyNotOnNeuron is { } reason)
            findings.Add(ConfigFinding.Warning("quantization_dtype", $"the values are of the grid '{record.WholeGrid}', and {reason}. NxD Inference "
                + "rounds them once more, on its own grid.", "Use the folder to measure accuracy in bf16, without quantized."));
        return (FolderKind.FakeQuantized, $"fake-quantized bf16 weights that this library wrote ({what}, {record.Method})",
            NeuronConfig.For(record, Target(folder)), [.. findings]);
    }

    private static (FolderKind, string, NeuronConfig, ConfigFinding[]) Stored(Checkpoint stored, string folder, CancellationToken cancellation)
    {
        var scheme = SourceScheme.Of(stored);
        if (scheme.Refusal is { } refusal) throw refusal;
        if (!scheme.IsQuantized) return (FolderKind.Float, "weights in floating point", NeuronConfig.Unquantized(), []);
        var codes = FolderCodes.Read(stored, scheme, cancellation);
        if (codes.Obstacle is null) return (FolderKind.Nxd, $"{scheme.Name}, in NxD's own form", For(codes, codes.Granularity, folder), []);
        string keep = codes.ModulesToNotConvert.Count == 0 ? "" : $" --keep {string.Join(",", codes.ModulesToNotConvert)}";
        var finding = ConfigFinding.Error(PathOption, $"'{folder}' {codes.Obstacle}.",
            $"Convert it{(codes.Format == Format.F8E4M3 ? " from 448 to 240" : "")}: nq quantize {folder} --format "
                + $"{codes.Format.NxdiName()}{keep} --out {Target(folder)}. This configuration is of the result.");
        return (FolderKind.Foreign, $"{scheme.Name}, of another library", For(codes, Granularity.PerChannelSymmetric, Target(folder)), [finding]);
    }

    private static NeuronConfig For(FolderCodes codes, Granularity granularity, string folder) =>
        NeuronConfig.For(codes.Format.NxdiName(), granularity.NxdiName(), codes.ModulesToNotConvert, folder);

    private static string Target(string folder) => $"{folder}-nxd";
}
