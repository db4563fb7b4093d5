using NeuronQuant.Formats;
using NeuronQuant.Quantization;
using Xunit;

namespace NeuronQuant.Tests.Quantization;

/// <summary>
/// The row and the codes of these vectors come from a model of NxD's formulas written in Python, not from this library:
/// scales as little-endian bytes, codes as bytes.
/// </summary>
public class RoundToNearestTests
{
    private static readonly float[] Row = [0.5f, -1f, 0.25f, 0.003f, -0.0039370078f, 0.99f];

    [Theory]
    [InlineData("int8", "per_channel_symmetric", "0402013C", "40812000007E")]
    [InlineData("int8", "per_tensor_symmetric", "8180003C", "40812000FF7E")]
    [InlineData("f8e4m3", "per_channel_symmetric", "8988883B", "6FF76734B777")]
    [InlineData("f8e5m2", "per_channel_symmetric", "25499237", "77FB7359DB7B")]
    public void Codes_and_scales_are_those_of_NxD(string format, string type, string scale, string codes)
    {
        var granularity = GranularityNames.Parse(type);
        var result = RoundToNearest.Quantize(WeightMatrix.Of("w", Row, 1, 6), Grid.OfNxdi(FormatNames.Parse(format), granularity), granularity);
        Assert.Equal(scale, Convert.ToHexString(BitConverter.GetBytes(result.Scales[0])));
        Assert.Equal(codes, Convert.ToHexString(result.Codes));
    }

    [Fact]
    public void The_reciprocal_is_multiplied_not_divided_by()
    {
        // 127 / fl(127/127 * ...) ties: over bf16 weights some codes differ between w*(1/s) and w/s, and NxD's are the former.
        var weight = TestWeights.MatrixBf16(400, 1000, seed: 1);
        var result = RoundToNearest.Quantize(weight, Grid.Nxd());
        var row = new float[1000];
        int divided = 0;
        for (int r = 0; r < 400; r++)
        {
            weight.ReadRow(r, row);
            for (int i = 0; i < row.Length; i++)
            {
                float inverse = 1f / result.Scales[r];
                Assert.Equal((sbyte)MathF.Round(row[i] * inverse, MidpointRounding.ToEven), result.Integers[r * 1000 + i]);
                if (MathF.Round(row[i] / result.Scales[r], MidpointRounding.ToEven) != result.Integers[r * 1000 + i]) divided++;
            }
        }
        Assert.InRange(divided, 1, 4000);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(3, 63)]
    [InlineData(7, 65)]
    [InlineData(5, 129)]
    [InlineData(2, 1000)]
    public void Fast_rows_equal_the_readable_twin_at_odd_sizes(int rows, int columns)
    {
        float[] values = TestWeights.Normal(rows * columns, seed: rows * columns);
        var codes = new ushort[values.Length];
        BFloat16.Encode(values, codes);
        foreach (var grid in new[] { Grid.Nxd(), Grid.Half(), Grid.AutoRound(), Grid.Nxd(4), Grid.Half(3), Grid.AutoRound(2), Grid.F8E4M3, Grid.F8E5M2 })
        {
            AssertTwin(WeightMatrix.Of("w", values, rows, columns), grid);
            AssertTwin(WeightMatrix.OfBf16("w", codes, rows, columns), grid);
        }
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(7)]
    public void Narrow_grids_use_their_whole_range_and_no_more(int bits)
    {
        var result = RoundToNearest.Quantize(TestWeights.Matrix(50, 200, seed: bits), Grid.Nxd(bits));
        int largest = (1 << (bits - 1)) - 1;
        Assert.Equal(largest, result.Integers.ToArray().Max(code => Math.Abs((int)code)));
        for (int row = 0; row < 50; row++) Assert.Contains(result.Integers.Slice(row * 200, 200).ToArray(), code => Math.Abs((int)code) == largest);
    }

    [Fact]
    public void The_signed_grid_puts_the_extreme_on_minus_128()
    {
        var positive = RoundToNearest.Quantize(WeightMatrix.Of("w", new[] { 1f, -0.5f, 0.25f }, 1, 3), Grid.AutoRound());
        Assert.Equal(-1f / 128, positive.Scales[0]);
        Assert.Equal([-128, 64, -32], positive.Integers.ToArray());
        var negative = RoundToNearest.Quantize(WeightMatrix.Of("w", new[] { -1f, 0.5f }, 1, 2), Grid.AutoRound());
        Assert.Equal(1f / 128, negative.Scales[0]);
        Assert.Equal([-128, 64], negative.Integers.ToArray());
    }

    [Theory]
    [InlineData("nxd", 1.1920929e-07f)]
    [InlineData("f8e4m3", 1e-5f)]
    public void Rows_of_zeros_get_the_floor_and_code_zero(string grid, float floor)
    {
        var result = RoundToNearest.Quantize(WeightMatrix.Of("w", new float[8], 2, 4), Grid.Parse(grid));
        Assert.Equal([floor, floor], result.Scales);
        Assert.All(result.Codes, code => Assert.Equal(0, code));
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void A_weight_that_is_not_finite_is_refused_by_row(float bad)
    {
        var values = TestWeights.Normal(300, seed: 5);
        values[250] = bad;
        foreach (var granularity in Enum.GetValues<Granularity>())
        {
            var error = Assert.Throws<QuantizationException>(() => RoundToNearest.Quantize(WeightMatrix.Of("layers.0.mlp.up_proj", values, 3, 100), Grid.Nxd(), granularity));
            Assert.Contains("layers.0.mlp.up_proj: row 2", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Slices_quantize_as_the_whole()
    {
        var weight = TestWeights.MatrixBf16(37, 50, seed: 9);
        var whole = RoundToNearest.Quantize(weight, Grid.Nxd());
        var chunks = weight.Chunks(500).Select(chunk => RoundToNearest.Quantize(chunk, Grid.Nxd())).ToArray();
        Assert.Equal(4, chunks.Length);
        Assert.Equal(whole.Codes, chunks.SelectMany(chunk => chunk.Codes));
        Assert.Equal(whole.Scales, chunks.SelectMany(chunk => chunk.Scales));
    }

    [Fact]
    public void A_cancelled_quantization_stops() => Assert.ThrowsAny<OperationCanceledException>(() =>
        RoundToNearest.Quantize(TestWeights.Matrix(10, 10, 1), Grid.Nxd(), cancellation: new CancellationToken(canceled: true)));

    private static void AssertTwin(WeightMatrix weight, Grid grid)
    {
        var result = RoundToNearest.Quantize(weight, grid);
        var row = new float[weight.Columns];
        for (int r = 0; r < weight.Rows; r++)
        {
            weight.ReadRow(r, row);
            float scale = RowReference.Scale(row, grid);
            Assert.Equal(scale, result.Scales[r]);
            Assert.Equal(row.Select(w => RowReference.Code(w, scale, grid)), result.Codes.AsSpan(r * weight.Columns, weight.Columns).ToArray());
        }
    }
}
