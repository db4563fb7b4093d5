using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;

namespace NeuronQuant.Tuning;

/// <summary>What a saved state belongs to: a line for each part, its name first, so that a refusal can say which part differs.</summary>
/// <remarks>
/// source: the model's sizes and all its weights; plan: the modules and their grids; recipe: iterations, rate, batches and seed; calibration: tokens and
/// masks; tuner: which rules, in which type and on which device.
/// </remarks>
internal static class TuningKey
{
    public static string[] Of(ModelWalk model, IReadOnlyDictionary<ModuleName, Grid> grids, CalibrationSet calibration, TuningRecipe recipe, TuningRules rules) =>
    [
        $"source {OfModel(model)}",
        $"plan {Digest(string.Join('\n', grids.OrderBy(pair => pair.Key).Select(pair => $"{pair.Key} {pair.Value.Name} {pair.Value.Bits}")))}",
        string.Create(CultureInfo.InvariantCulture,
            $"recipe {recipe.Iterations} {recipe.Rate:R} {recipe.Samples} {recipe.BatchSize} {recipe.Seed} {recipe.FewBitsFactor:R}"),
        $"calibration {OfCalibration(calibration)}",
        $"tuner {rules.Name.ReplaceLineEndings(" ")}, {model.Place}",
    ];

    /// <summary>64 hexadecimal digits of a text.</summary>
    public static string Digest(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));

    private static string OfModel(ModelWalk model)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(ModelConfigWriter.Bytes(model.Config));
        foreach (var parameter in model.Parameters)
            foreach (float[] rows in parameter.InRows(1 << 24)) // 64 MB at a time.
                hash.AppendData(MemoryMarshal.AsBytes(rows.AsSpan()));
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static string OfCalibration(CalibrationSet calibration)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        for (int i = 0; i < calibration.Count; i++)
        {
            hash.AppendData(MemoryMarshal.AsBytes(calibration.Tokens[i].AsSpan()));
            hash.AppendData(MemoryMarshal.AsBytes(calibration.Counted[i].AsSpan()));
        }
        return $"{calibration.Count} x {calibration.Length} {Convert.ToHexStringLower(hash.GetHashAndReset())}";
    }
}
