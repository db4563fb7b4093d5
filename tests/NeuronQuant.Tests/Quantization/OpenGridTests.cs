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
/// Groups, zero points and widths: against torch's observers and kernels by digest (tests/python/make_grid_golden.py), against vectors worked
/// out by hand, and the fast rows against the readable twin.
/// </summary>
public class OpenGridTests
{
    public sealed record Case(
        ulong Seed, int Rows, int Columns, string Grid, int Bits, int? Group, string CodesSha256, string ValuesSha256, string ScalesSha256,
        string ZerosSha256, sbyte[] FirstCodes, float FirstZero)
    {
        public override string ToString() => $"{Rows} x {Columns}, {Grid} {Bits} bits, group {Group}";
    }

    private sealed record Golden(string Torch, Case[] Cases);

    private static readonly Golden File = JsonSerializer.Deserialize<Golden>(
        System.IO.File.ReadAllText(Repository.PathOf("tests", "NeuronQuant.Tests", "Golden", "torch_grids.json")),
        new JsonSerializerOptions { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower })!;

    public static TheoryData<Case> Cases => [.. File.Cases];

    [Theory]
    [MemberData(nameof(Cases), DisableDiscoveryEnumeration = true)]
    public void Codes_scales_zero_points_and_values_equal_torchs_bit_for_bit(Case golden)
    {
        var grid = Of(golden);
        ushort[] codes = Weights(golden);
        var floats = new float[codes.Length];
        BFloat16.Decode(codes, floats);
        foreach (var weight in new[] { WeightMatrix.OfBf16("w", codes, golden.Rows, golden.Columns), WeightMatrix.Of("w", floats, golden.Rows, golden.Columns) })
        {
            var result = RoundToNearest.Quantize(weight, grid);
            Assert.Equal(golden.ScalesSha256, Digest<float>(result.Scales));
            Assert.Equal(golden.FirstZero, result.ZeroPoint(1, 0));
            if (grid.HasZeroPoint) Assert.Equal(golden.ZerosSha256, Digest<float>(result.ZeroPoints));
            Assert.Equal(golden.FirstCodes, result.Integers.Slice(golden.Columns, 6).ToArray());
            Assert.Equal(golden.CodesSha256, Digest<byte>(result.Codes));
            Assert.Equal(golden.ValuesSha256, Digest<float>(result.Dequantize()));
        }
    }

    [Fact]
    public void The_asymmetric_grid_gives_AWQs_vector()
    {
        // w = (-1, 0, 0.5, 2), 4 bits: s = 0.2, z = 5, q = (0, 5, 7, 15) counted from 0; 2.5 rounds to 2.
        var result = RoundToNearest.Quantize(WeightMatrix.Of("w", new[] { -1f, 0, 0.5f, 2 }, 1, 4), Grid.Asymmetric(4));
        Assert.Equal(0.2f, result.Scales[0]);
        Assert.Equal(5, result.ZeroPoints[0] + 8);
        Assert.Equal([0, 5, 7, 15], result.Integers.ToArray().Select(code => code + 8));
        float[] expected = [-1, 0, 0.4f, 2];
        foreach (var (value, wanted) in result.Dequantize().Zip(expected)) Assert.Equal(wanted, value, 1e-6);
    }

    [Fact]
    public void The_nxd_grid_of_4_bits_gives_the_worked_vector()
    {
        var result = RoundToNearest.Quantize(WeightMatrix.Of("w", new[] { -1f, 0, 0.5f, 2 }, 1, 4), Grid.Nxd(4));
        Assert.Equal(2f / 7, result.Scales[0]);
        // On paper -1 / (2/7) = -3.5 is a tie, which goes to -4. In float32 the reciprocal of fl(2/7) is a little below 3.5: torch says -3, too.
        Assert.Equal([-3, 0, 2, 7], result.Integers.ToArray().Select(code => (int)code));
    }

    [Fact]
    public void A_grid_of_ones_own_is_GPTQs_symmetric_one()
    {
        // GPTQ sym, 4 bits: s = 2 absmax / 15, q = (4, 8, 10, 15) counted from 0: +absmax is clipped. quant.py:55-76.
        var grid = new Grid("gptq", bits: 4, divisor: 7.5f, minimum: -8, maximum: 7);
        var result = RoundToNearest.Quantize(WeightMatrix.Of("w", new[] { -1f, 0, 0.5f, 2 }, 1, 4), grid);
        Assert.Equal([4, 8, 10, 15], result.Integers.ToArray().Select(code => code + 8));
        float[] expected = [-1.0667f, 0, 0.5333f, 1.8667f];
        foreach (var (value, wanted) in result.Dequantize().Zip(expected)) Assert.Equal(wanted, value, 1e-4);
        Assert.NotEqual(Grid.Half(4), grid);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(3, 63)]
    [InlineData(5, 129)]
    [InlineData(2, 1000)]
    public void Groups_are_rows_of_their_own(int rows, int columns)
    {
        float[] values = TestWeights.Normal(rows * columns, seed: rows * columns);
        var weight = WeightMatrix.Of("w", values, rows, columns);
        foreach (var grid in new[] { Grid.Nxd(3), Grid.AutoRound(4), Grid.Asymmetric(2), Grid.Asymmetric(), Grid.F8E4M3 })
        {
            var result = RoundToNearest.Quantize(weight, grid.InGroups(32));
            Assert.Equal(rows * ((columns + 31) / 32), result.Scales.Length);
            for (int row = 0; row < rows; row++)
                for (int start = 0; start < columns; start += 32)
                {
                    float[] part = values[(row * columns + start)..(row * columns + Math.Min(start + 32, columns))];
                    float scale = RowReference.Scale(part, grid), zero = grid.ZeroPoint(part.Min(), scale);
                    Assert.Equal((scale, zero), (result.Scale(row, start), result.ZeroPoint(row, start)));
                    Assert.Equal(part.Select(w => RowReference.Code(w, scale, grid, zero)), result.Codes.AsSpan(row * columns + start, part.Length).ToArray());
                }
        }
    }

    [Fact]
    public void A_zero_weight_is_exact_and_a_one_sided_row_keeps_its_end()
    {
        var result = RoundToNearest.Quantize(WeightMatrix.Of("w", new[] { 0f, 0, 0, 0, 1, 2, 3, 0, -3, -2, 0, -1, 5, 5, 5, 5 }, 4, 4), Grid.Asymmetric(4));
        float[] values = result.Dequantize();
        Assert.All(new[] { 0, 1, 2, 3, 7, 10 }, i => Assert.Equal(0, values[i]));
        Assert.Equal((3f, -3f), (values[6], values[8]));
        Assert.All(values[12..], value => Assert.Equal(5, value));
    }

    [Fact]
    public void One_outlier_spoils_its_group_and_no_other()
    {
        float[] values = TestWeights.Normal(256, seed: 3);
        values[70] = 4;
        var weight = WeightMatrix.Of("w", values, 1, 256);
        float[] perRow = RoundToNearest.Quantize(weight, Grid.Nxd(4)).Dequantize(), inGroups = RoundToNearest.Quantize(weight, Grid.Nxd(4).InGroups(64)).Dequantize();
        Assert.All(perRow.Index().Where(pair => pair.Index != 70), pair => Assert.Equal(0, pair.Item));
        Assert.All(inGroups[64..128].Index().Where(pair => pair.Index != 6), pair => Assert.Equal(0, pair.Item));
        Assert.Contains(inGroups[..64], value => value != 0);
    }

    [Fact]
    public void What_NxDI_cannot_load_says_why()
    {
        Assert.All(new[] { Grid.Nxd(), Grid.Half(), Grid.AutoRound(), Grid.F8E4M3, new Grid("mine", 8, 120, -120, 120) }, grid => Assert.Null(grid.WhyNotOnNeuron));
        Assert.Contains("zero points", Grid.Asymmetric().WhyNotOnNeuron);
        Assert.Contains("64 columns", Grid.Nxd().InGroups(64).WhyNotOnNeuron);
        Assert.Contains("these have 4", Grid.Nxd(4).WhyNotOnNeuron);
    }

    [Fact]
    public void What_is_no_grid_is_refused()
    {
        Assert.Throws<ArgumentException>(() => new Grid("mine", 4, 7, -9, 7));
        Assert.Throws<ArgumentException>(() => new Grid("mine", 4, 0, -8, 7));
        Assert.Throws<ArgumentException>(() => new Grid("mine", 4, 7, 3, 3));
        Assert.Throws<ArgumentException>(() => new Grid("mine", 4, 7, -8, 7, floor: 0));
        Assert.Throws<ArgumentException>(() => new Grid("mine", 4, 7, -8, 7, signed: true, asymmetric: true));
        Assert.Throws<ArgumentException>(() => new Grid(" ", 4, 7, -8, 7));
        Assert.Throws<ArgumentOutOfRangeException>(() => new Grid("mine", 9, 7, -8, 7));
        Assert.Throws<ArgumentOutOfRangeException>(() => Grid.Nxd().InGroups(1));
    }

    [Fact]
    public void What_grids_and_weights_cannot_do_together_is_refused()
    {
        var weight = TestWeights.Matrix(4, 64, seed: 1);
        Assert.Contains("scale for every group", Assert.Throws<QuantizationException>(
            () => RoundToNearest.Quantize(weight, Grid.Nxd().InGroups(32), Granularity.PerTensorSymmetric)).Message);
        var grouped = RoundToNearest.Quantize(weight, Grid.Nxd().InGroups(32));
        Assert.Contains("2 scales a row", Assert.Throws<QuantizationException>(() => grouped.Scale(0)).Message);
        Assert.Contains("one by one", Assert.Throws<QuantizationException>(() => SecondRounding.Replay(grouped)).Message);
        Assert.Contains("R1", Assert.Throws<QuantizationException>(() => FakeQuantization.Exact(weight, Grid.Nxd().InGroups(32))).Message);
        // What a method for one scale a row leaves behind on such a grid is never read as a weight.
        var half = new QuantizedWeight("w", Grid.Asymmetric(4), Granularity.PerChannelSymmetric, 4, 64, new byte[256], new float[4]);
        Assert.Contains("no zero points", Assert.Throws<QuantizationException>(() => half.Dequantize()).Message);
        var few = new QuantizedWeight("w", Grid.Nxd(4).InGroups(32), Granularity.PerChannelSymmetric, 4, 64, new byte[256], new float[4]);
        Assert.Contains("wants 8", Assert.Throws<QuantizationException>(() => few.Dequantize()).Message);
    }

    [Fact]
    public void The_error_of_rounding_streams_and_follows_the_rule_of_crest_factors()
    {
        var weight = TestWeights.Matrix(33, 500, seed: 8);
        foreach (var grid in new[] { Grid.Nxd(4), Grid.Asymmetric(3).InGroups(64), Grid.F8E4M3 })
            Assert.Equal(QuantizationError.Between(weight, RoundToNearest.Quantize(weight, grid)), QuantizationError.OfRounding(weight, grid));
        // 52.87 dB less 20 log10 of the crest factor for 8 bits, 27.69 for 4: 25.2 dB apart, and half a bit back for groups.
        double eight = QuantizationError.OfRounding(weight, Grid.Nxd()).Sqnr!.Value, four = QuantizationError.OfRounding(weight, Grid.Nxd(4)).Sqnr!.Value;
        Assert.Equal(25.2, eight - four, 0.5);
        Assert.InRange(QuantizationError.OfRounding(weight, Grid.Nxd(4).InGroups(32)).Sqnr!.Value - four, 2, 6);
        var metric = Metric.Sqnr(Grid.Nxd(4).InGroups(32));
        Assert.Equal("sqnr_nxd_4bit_g32", metric.Name);
        Assert.Equal(QuantizationError.OfRounding(weight, Grid.Nxd(4).InGroups(32)).Sqnr,
            ModuleMetrics.Measure(new ModuleName(0, "mlp.up_proj"), weight, [metric])[metric]);
    }

    [Fact]
    public void Per_tensor_has_one_zero_point()
    {
        var result = RoundToNearest.Quantize(WeightMatrix.Of("w", new[] { -1f, 0, 0.5f, 2 }, 2, 2), Grid.Asymmetric(4), Granularity.PerTensorSymmetric);
        Assert.Equal((1, 1), (result.Scales.Length, result.ZeroPoints.Length));
        Assert.Equal([0, 5, 7, 15], result.Integers.ToArray().Select(code => code + 8));
    }

    private static Grid Of(Case golden) => Grid.Parse(golden.Grid, golden.Bits) is var grid && golden.Group is { } size ? grid.InGroups(size) : grid;

    private static ushort[] Weights(Case golden)
    {
        var codes = new ushort[golden.Rows * golden.Columns];
        ulong state = golden.Seed;
        for (int i = 0; i < codes.Length; i++)
        {
            int row = i / golden.Columns;
            state = state * 6364136223846793005 + 1442695040888963407;
            long total = (long)(state & 0xFFFF) + (long)((state >> 16) & 0xFFFF) + (long)((state >> 32) & 0xFFFF) + (long)(state >> 48) - 131070;
            codes[i] = BFloat16.Encode((float)(total * (row % 7 == 3 ? 30.0 : 1.0) * Math.Pow(2, -20) + (row % 5 == 1 ? 0.0625 : 0)));
        }
        return codes;
    }

    private static string Digest<T>(ReadOnlySpan<T> values) where T : struct => Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes(values)));
}
