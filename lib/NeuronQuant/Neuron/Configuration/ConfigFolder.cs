using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>
/// The folder that quantized_checkpoints_path names, when it is there: its record must say what the configuration says, and with the source
/// at hand every key, type and code is audited. Source: application_base.py:628-681 at SDK 2.28 (it must exist at load),
/// modules/checkpoint.py:171-183
/// (a path that is no folder becomes one pickle file).
/// </summary>
internal static class ConfigFolder
{
    private const string Option = "quantized_checkpoints_path";

    public static IEnumerable<ConfigFinding> Check(NeuronConfig config, Checkpoint? source, List<string> notes, CancellationToken cancellation)
    {
        if (!config.Quantized || config.QuantizedCheckpointsPath is not { Length: > 0 } path) return [];
        if (File.Exists(path))
            return [ConfigFinding.Warning(Option, $"'{path}' is a file; NxDI would read it as a pickle, which cannot be audited.",
                "Give a folder with safetensors, such as nq quantize --layout nxd writes.")];
        if (!Directory.Exists(path))
        {
            notes.Add($"There is no folder '{path}' yet, so it was not audited. It must be there when the model is loaded; if NxDI is to write it, "
                + "create it first, or NxDI writes one pickle file of that name.");
            return [];
        }
        try
        {
            return [.. Record(config, path, notes, cancellation), .. Audit(config, path, source, notes, cancellation)];
        }
        catch (CheckpointException error)
        {
            return [ConfigFinding.Error(Option, error.Message, "Write the folder again with nq quantize --layout nxd.")];
        }
    }

    private static IEnumerable<ConfigFinding> Record(NeuronConfig config, string path, List<string> notes, CancellationToken cancellation)
    {
        if (QuantizationRecord.Read(path) is not { } record)
        {
            notes.Add($"'{path}' has no {QuantizationRecord.FileName}, so that it was not written by this library.");
            foreach (var finding in Bytes(config, path, cancellation)) yield return finding;
            yield break;
        }
        if (record.Layout == "fake")
            yield return ConfigFinding.Error(Option, $"'{path}' holds fake-quantized bf16 weights, and the graph expects codes and scales.",
                "Write it with --layout nxd, or give it as the model's path to save_quantized_state_dict.");
        foreach (var (name, given, written) in new[] { ("quantization_dtype", config.QuantizationDtype, record.QuantizationDtype),
            ("quantization_type", config.QuantizationType, record.QuantizationType) })
            if (given != written) yield return ConfigFinding.Error(name, $"is {given}, but '{path}' was written with {written}.",
                $"Write \"{written}\", or write the folder again.");
        if (!config.ModulesToNotConvert.ToHashSet().SetEquals(record.ModulesToNotConvert))
            yield return ConfigFinding.Error("modules_to_not_convert",
                $"differs from the list that '{path}' was written with: [{string.Join(", ", record.ModulesToNotConvert)}].",
                "Use that list, or write the folder again.");
    }

    // A folder without weights may be the target of save_quantized_state_dict, still empty.
    private static IEnumerable<ConfigFinding> Bytes(NeuronConfig config, string path, CancellationToken cancellation)
    {
        if (!Directory.EnumerateFiles(path, "*.safetensors").Any()) yield break;
        using var stored = Checkpoint.OpenStored(path);
        var scheme = SourceScheme.Of(stored);
        if (scheme.Refusal is { } refusal) throw refusal;
        string remedy = $"nq neuron config {path} derives the configuration, or names the command that converts the folder.";
        if (!scheme.IsQuantized)
        {
            yield return ConfigFinding.Error(Option, $"'{path}' holds weights in floating point, and the graph expects codes and scales.", remedy);
            yield break;
        }
        var codes = FolderCodes.Read(stored, scheme, cancellation);
        if (codes.Obstacle is { } obstacle) yield return ConfigFinding.Error(Option, $"'{path}' {obstacle}.", remedy);
        foreach (var (name, given, found) in new[]
            { ("quantization_dtype", config.QuantizationDtype, codes.Format.NxdiName()), ("quantization_type", config.QuantizationType,
                codes.Granularity.NxdiName()) })
            if (given != found) yield return ConfigFinding.Error(name, $"is {given}, but '{path}' holds {found}.", remedy);
    }

    private static IEnumerable<ConfigFinding> Audit(NeuronConfig config, string path, Checkpoint? source, List<string> notes,
        CancellationToken cancellation)
    {
        if (source is null)
        {
            notes.Add($"'{path}' was compared with its record alone; give the model with its weights to audit every code.");
            return [];
        }
        return CheckpointAudit.Run(source, path, config.ModulesToNotConvert, cancellation: cancellation).Findings
            .Select(finding => ConfigFinding.Error($"{Option}: {finding.Module}", $"{finding.Defect}: {finding.Message}",
            "Write the folder again with nq quantize --layout nxd."));
    }
}
