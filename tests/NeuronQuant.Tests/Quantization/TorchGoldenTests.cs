using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;
using NeuronQuant.Sensitivity;
using Xunit;

namespace NeuronQuant.Tests.Quantization;

/// <summary>
/// Compares with torch's own quantize_per_channel and quantize_per_tensor, byte for byte, through digests made by
/// tests/python/make_quantize_golden.py; the weights are generated here and there by the same integer generator.
/// </summary>
public class TorchGoldenTests
{
    public sealed record Case(
        ulong Seed, int Rows, int Columns, string WeightsSha256, string CodesSha256, string ScalesSha256, string PerTensorCodesSha256,
        sbyte[] FirstCodes, double OutlierMagnitude);

    private sealed record Golden(string Torch, Case[] Cases);

    private static readonly Golden File = JsonSerializer.Deserialize<Golden>(
        System.IO.File.ReadAllText(Repository.PathOf("tests", "NeuronQuant.Tests", "Golden", "torch_quantize.json")),
        new JsonSerializerOptions { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower })!;

    public static TheoryData<Case> Cases => [.. File.Cases];

    [Theory]
    [MemberData(nameof(Cases), DisableDiscoveryEnumeration = true)]
    public void Int8_codes_and_scales_equal_torchs_byte_for_byte(Case golden)
    {
        ushort[] codes = Weights(golden);
        var floats = new float[codes.Length];
        BFloat16.Decode(codes, floats);
        Assert.Equal(golden.WeightsSha256, Digest<float>(floats));
        foreach (var weight in new[] { WeightMatrix.OfBf16("w", codes, golden.Rows, golden.Columns), WeightMatrix.Of("w", floats, golden.Rows, golden.Columns) })
        {
            var result = RoundToNearest.Quantize(weight, Grid.Nxd());
            Assert.Equal(golden.FirstCodes, result.Integers[..8].ToArray());
            Assert.Equal(golden.CodesSha256, Digest<byte>(result.Codes));
            Assert.Equal(golden.ScalesSha256, Digest<float>(result.Scales));
            Assert.Equal(golden.PerTensorCodesSha256, Digest<byte>(RoundToNearest.Quantize(weight, Grid.Half(), Granularity.PerTensorSymmetric).Codes));
        }
    }

    [Theory]
    [MemberData(nameof(Cases), DisableDiscoveryEnumeration = true)]
    public void Outlier_magnitude_equals_torchs_variance(Case golden)
    {
        var metrics = ModuleMetrics.Measure(new ModuleName(0, "mlp.up_proj"), WeightMatrix.OfBf16("w", Weights(golden), golden.Rows, golden.Columns));
        Assert.Equal(1, metrics.OutlierMagnitude / golden.OutlierMagnitude, 2e-6);
    }

    private static ushort[] Weights(Case golden)
    {
        var codes = new ushort[golden.Rows * golden.Columns];
        ulong state = golden.Seed;
        for (int i = 0; i < codes.Length; i++)
        {
            state = state * 6364136223846793005 + 1442695040888963407;
            long total = (long)(state & 0xFFFF) + (long)((state >> 16) & 0xFFFF) + (long)((state >> 32) & 0xFFFF) + (long)(state >> 48) - 131070;
            codes[i] = BFloat16.Encode((float)(total * (i / golden.Columns % 7 == 3 ? 30.0 : 1.0) * Math.Pow(2, -20)));
        }
        return codes;
    }

    private static string Digest<T>(ReadOnlySpan<T> values) where T : struct => Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes(values)));
}
