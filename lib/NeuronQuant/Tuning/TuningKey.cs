using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;

namespace NeuronQuant.Tuning;

/// <summary>What a saved state belongs to, a digest for each part, so that a refusal can say which part differs.</summary>
/// <param name="Source">of the model's sizes and all its weights</param>
/// <param name="Plan">of the modules and their grids</param>
/// <param name="Recipe">of iterations, rate, batches and seed</param>
/// <param name="Calibration">of tokens and masks</param>
/// <param name="Tuner">which rules, in which type and on which device</param>
internal sealed record TuningKey(string Source, string Plan, string Recipe, string Calibration, string Tuner)
{
    /// <summary>One digest of all parts: 32 bytes.</summary>
    public byte[] Digest => SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\n', Source, Plan, Recipe, Calibration, Tuner)));

    /// <summary>The parts by name.</summary>
    public IEnumerable<(string Name, string Value)> Parts =>
        [("source", Source), ("plan", Plan), ("recipe", Recipe), ("calibration", Calibration), ("tuner", Tuner)];

    public static TuningKey Of(ModelWalk model, IReadOnlyDictionary<ModuleName, Grid> grids, CalibrationSet calibration, TuningRecipe recipe, TuningRules rules) =>
        new(OfModel(model), OfText(string.Join('\n', grids.OrderBy(pair => pair.Key).Select(pair => $"{pair.Key} {pair.Value.Name} {pair.Value.Bits}"))),
            OfText(string.Create(CultureInfo.InvariantCulture,
                $"{recipe.Iterations} {recipe.Rate:R} {recipe.Samples} {recipe.BatchSize} {recipe.Seed} {recipe.FewBitsFactor:R}")),
            OfCalibration(calibration), $"{rules.Name}, {model.Place}");

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

    private static string OfText(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
}
