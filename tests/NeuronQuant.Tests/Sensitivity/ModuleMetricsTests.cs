using NeuronQuant.Selection;
using NeuronQuant.Display;
using NeuronQuant.Checkpoints;
using NeuronQuant.Quantization;
using NeuronQuant.Sensitivity;
using Xunit;

namespace NeuronQuant.Tests.Sensitivity;

public class ModuleMetricsTests
{
    private static readonly ModuleName Module = new(0, "mlp.up_proj");

    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 2)]
    [InlineData(5, 31)]
    [InlineData(4, 33)]
    [InlineData(3, 14336)]
    public void The_fast_pass_equals_the_float64_twin(int rows, int columns)
    {
        foreach (var weight in new[] { TestWeights.Matrix(rows, columns, rows + columns), TestWeights.MatrixBf16(rows, columns, rows * columns) })
        {
            var fast = ModuleMetrics.Measure(Module, weight);
            var row = new float[columns];
            var sums = new RowSums[rows];
            for (int r = 0; r < rows; r++)
            {
                weight.ReadRow(r, row);
                sums[r] = RowMoments.Reference(row, Grid.Nxd());
            }
            var slow = ModuleMetrics.Join(Module, "w", columns, sums);
            foreach (var metric in Metric.All)
                Assert.Equal(slow[metric] ?? 0, fast[metric] ?? 0, 5e-6 * Math.Abs(slow[metric] ?? 0) + 1e-20); // float32 sums over a row
            Assert.Equal(slow.AbsoluteMaximum, fast.AbsoluteMaximum);
            Assert.Equal(slow.LargestCrestFactor!.Value, fast.LargestCrestFactor!.Value, 5e-6 * slow.LargestCrestFactor.Value);
        }
    }

    [Fact] // Expected values: numpy 1.24 in float64, the scale in float32 as everywhere.
    public void Weights_near_the_ends_of_bf16_neither_overflow_nor_vanish()
    {
        ushort[] large = [0x7F7F, 0x7EFF, 0xFE7F, 0x7DFF]; // m, m/2, -m/4, m/8 with m = 3.3895e38
        ushort[] small = [0x0C7F, 0x0BFF, 0x8B7F, 0x0AFF]; // the same times 2^-230, near 2e-31
        foreach (var (codes, int8, variance) in new[] { (large, 5.843203340953035e+71, 3.276138210260412e+76), (small, 1.2813278778511384e-62, 1.1004345303898012e-62) })
            foreach (int copies in new[] { 1, 11 })
            {
                var row = Enumerable.Repeat(codes, copies).SelectMany(code => code).ToArray();
                var metrics = ModuleMetrics.Measure(Module, WeightMatrix.OfBf16("w", row, 1, row.Length));
                Assert.Equal(1, metrics.Int8Mse / int8, 1e-6);
                if (copies == 1) Assert.Equal(1, metrics.OutlierMagnitude / variance, 1e-6);
                Assert.True(metrics.Kurtosis is > 1 and < 3 && double.IsFinite(metrics.CrestFactor!.Value));
            }
        float[] whole = [.. Enumerable.Repeat(3e38f, 40)]; // their sum is beyond float32
        Assert.Equal(0, ModuleMetrics.Measure(Module, WeightMatrix.Of("w", whole, 1, 40)).OutlierMagnitude);
    }

    [Fact]
    public void Metrics_by_hand()
    {
        // One channel -1, 1, -1, 1, -1, 1, -1, 3: mean 0.25, deviations 1.25 (4x), 0.75 (3x), 2.75.
        var metrics = ModuleMetrics.Measure(Module, WeightMatrix.Of("w", new float[] { -1, 1, -1, 1, -1, 1, -1, 3 }, 1, 8));
        const double squares = 4 * 1.5625 + 3 * 0.5625 + 7.5625, fourths = 4 * 1.5625 * 1.5625 + 3 * 0.5625 * 0.5625 + 7.5625 * 7.5625;
        Assert.Equal(squares / 7, metrics.OutlierMagnitude, 1e-12);
        Assert.Equal(3 / Math.Sqrt(2), metrics.CrestFactor!.Value, 1e-12);
        Assert.Equal(8 * fourths / (squares * squares), metrics.Kurtosis!.Value, 1e-6);
        Assert.Equal(3, metrics.AbsoluteMaximum);
        // 1/s = 42.333: q = 42, so each one is off by a third of a step; 3 is exact.
        double step = 3.0 / 127, error = 7 * Math.Pow(1 - 42 * step, 2);
        Assert.Equal(error / 8, metrics.Int8Mse, 1e-8);
        Assert.Equal(10 * Math.Log10(16 / error), metrics.Int8Sqnr!.Value, 1e-3);
    }

    [Fact]
    public void Normal_weights_have_kurtosis_3_and_the_SQNR_that_their_crest_factor_predicts()
    {
        var metrics = ModuleMetrics.Measure(Module, TestWeights.MatrixBf16(200, 4096, seed: 8));
        Assert.Equal(0.02 * 0.02, metrics.OutlierMagnitude, 4e-6); // one percent, sampling
        Assert.Equal(3, metrics.Kurtosis!.Value, 0.05);
        Assert.Equal(41.24, metrics.Int8Sqnr!.Value, 0.15); // measured independently over 4000 such channels
        Assert.Equal(52.87 - 20 * Math.Log10(metrics.CrestFactor!.Value), metrics.Int8Sqnr.Value, 0.15);
    }

    [Fact]
    public void Scaling_a_weight_changes_its_variance_and_nothing_that_rounding_sees()
    {
        float[] w = TestWeights.Normal(40 * 500, seed: 12);
        var one = ModuleMetrics.Measure(Module, WeightMatrix.Of("w", w, 40, 500));
        var eight = ModuleMetrics.Measure(Module, WeightMatrix.Of("w", w.Select(x => 8 * x).ToArray(), 40, 500));
        Assert.Equal(64, eight.OutlierMagnitude / one.OutlierMagnitude, 1e-9);
        Assert.Equal(one.CrestFactor!.Value, eight.CrestFactor!.Value, 1e-9);
        Assert.Equal(one.Int8Sqnr!.Value, eight.Int8Sqnr!.Value, 1e-9);
    }

    [Fact]
    public void What_is_not_defined_is_null_not_a_number()
    {
        var zeros = ModuleMetrics.Measure(Module, WeightMatrix.Of("w", new float[12], 3, 4));
        Assert.Equal((0.0, null, null, 0.0, null), (zeros.OutlierMagnitude, zeros.CrestFactor, zeros.Kurtosis, zeros.Int8Mse, zeros.Int8Sqnr));
        var ones = ModuleMetrics.Measure(Module, WeightMatrix.Of("w", new float[] { 1, 1, 1, 1 }, 1, 4));
        Assert.Equal((1.0, null), (ones.CrestFactor, ones.Kurtosis));
    }

    [Fact]
    public void A_NaN_is_reported_by_tensor_and_row()
    {
        float[] w = TestWeights.Normal(100, seed: 1);
        w[57] = float.NaN;
        Assert.Contains("w: row 5", Assert.Throws<QuantizationException>(() => ModuleMetrics.Measure(Module, WeightMatrix.Of("w", w, 10, 10))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_metric_of_the_readers_stands_beside_the_others()
    {
        var mean = Metric.Of("mean_magnitude", "weight units", weight => weight.ToArray().Average(w => (double)Math.Abs(w)));
        using var model = new Neuron.TinyModel();
        using var source = Checkpoint.Open(model.Folder);
        var profile = ModelProfile.Measure(source, own: mean);
        Assert.Equal([.. Metric.All, mean], profile.Metrics);
        var entry = profile.Linear.First();
        double expected = 0, count = 0;
        foreach (float w in WeightMatrix.Of(source, source[entry.Tensor]).ToArray()) (expected, count) = (expected + Math.Abs((double)w), count + 1);
        Assert.Equal(expected / count, entry[mean]!.Value, 12);
        Assert.Equal(profile.Linear.OrderByDescending(m => m[mean]).First().Module, Select.Top(profile, mean, 1).Kept.Single());
        Assert.Contains("mean_magnitude", profile.ToDataFrame().Columns.Select(column => column.Name));
        Assert.Contains("mean_magnitude by layer", profile.ToChart(mean).ToText(), StringComparison.Ordinal);
        Assert.Contains("was not measured", Assert.Throws<ArgumentException>(() => Select.Top(ModelProfile.Measure(source), mean, 1)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => Metric.Of("kurtosis", "", _ => 0));
    }
}
