using NeuronQuant.Formats;
using NeuronQuant.Methods;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using NeuronQuant.Tests.Models;
using NeuronQuant.Tuning;
using Xunit;

namespace NeuronQuant.Tests.Methods;

/// <summary>GPTQ: against its definition, and against rounding to nearest on the error that both look at.</summary>
public class GptqTests
{
    [Theory]
    [InlineData(40)]
    [InlineData(150)] // More than one part of 128 columns.
    public void Codes_equal_those_of_the_definition_in_float64(int columns)
    {
        var (weight, gram, grid) = (TestWeights.MatrixBf16(6, columns, 3), Gram(columns, columns + 60), Grid.Nxd(4));
        Assert.Equal(Definition(weight, gram, grid), Gptq.Quantize(weight, gram, grid).Integers.ToArray());
    }

    [Theory]
    [InlineData(40)]
    [InlineData(150)]
    public void In_order_of_the_inputs_they_equal_those_of_the_definition_on_sorted_columns(int columns)
    {
        var (weight, gram, grid) = (TestWeights.Matrix(6, columns, 3), Gram(columns, columns + 60), Grid.Nxd(4));
        int[] order = [.. Enumerable.Range(0, columns).OrderByDescending(j => gram.MeanSquares[j])];
        float[] values = weight.ToArray(), sorted = [.. Enumerable.Range(0, values.Length).Select(i => values[(i / columns * columns) + order[i % columns]])];
        sbyte[] expected = Definition(WeightMatrix.Of("sorted", sorted, 6, columns), Sorted(gram, order), grid);
        sbyte[] found = Gptq.Quantize(weight, gram, grid, largestFirst: true).Integers.ToArray();
        sbyte[] taken = [.. Enumerable.Range(0, found.Length).Select(i => found[(i / columns * columns) + order[i % columns]])];
        Assert.Equal(expected, taken);
        Assert.NotEqual(Gptq.Quantize(weight, gram, grid).Integers.ToArray(), found);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Inputs_that_have_nothing_in_common_leave_rounding_to_nearest(bool largestFirst)
    {
        float[] identity = new float[30 * 30];
        for (int j = 0; j < 30; j++) identity[j * 31] = 3;
        var (weight, grid) = (TestWeights.MatrixBf16(6, 30, 3), Grid.Nxd(4));
        Assert.Equal(FakeQuantization.OnGrid(weight, grid).Codes, Gptq.Quantize(weight, GramMatrix.Of(identity, 30), grid, largestFirst: largestFirst).Codes);
    }

    [Theory]
    [InlineData("nxd", 8)]
    [InlineData("nxd", 4)]
    [InlineData("autoround", 8)]
    [InlineData("autoround", 3)]
    public void It_beats_rounding_on_the_output_error(string name, int bits)
    {
        var (weight, gram, grid) = (TestWeights.MatrixBf16(70, 64, 5), Gram(64, 300), Grid.Parse(name, bits));
        double rounded = Error(weight, gram, RoundToNearest.Quantize(weight, grid));
        Assert.InRange(Error(weight, gram, Gptq.Quantize(weight, gram, grid)), 0, 0.8 * rounded);
    }

    [Fact]
    public void The_pinned_maximum_keeps_every_integer_through_NxDI()
    {
        var (weight, gram) = (TestWeights.Matrix(200, 48, 6), Gram(48, 200)); // float32 weights: the maximum is snapped to bf16.
        var quantized = Gptq.Quantize(weight, gram, Grid.Nxd());
        for (int row = 0; row < 200; row++)
            Assert.Equal(127, quantized.Integers.Slice(row * 48, 48).ToArray().Max(code => Math.Abs((int)code)));
        Assert.Equal(0, SecondRounding.Replay(quantized).Changed);
        Assert.Equal(FakeQuantization.Exact(weight, Grid.Nxd()).Scales, quantized.Scales);
    }

    [Fact]
    public void A_whole_model_is_tuned_from_one_capture()
    {
        var model = TestModels.Random(TestModels.Config());
        var texts = CalibrationSet.Of(Enumerable.Range(0, 16).Select(i => TestModels.Tokens(12, i)), 12);
        var grams = GramMatrix.Capture(model, texts, batch: 5);
        Assert.Equal(14, grams.Count);
        Assert.Same(grams[new(1, "mlp.gate_proj")], grams[new(1, "mlp.up_proj")]);
        Assert.Equal(texts.CountedPositions, grams[new(0, "mlp.down_proj")].Tokens);
        var modules = grams.Keys.Order().ToArray();
        var grids = TuningGrids.Of(QuantizationPlan.Create(modules, false, Format.Int8, Granularity.PerChannelSymmetric, []), Grid.Nxd(4));
        var result = Gptq.Tune(model, grids, grams);
        Assert.Equal(modules, result.Layers.Select(layer => layer.Module));
        Assert.All(result.Layers, layer => Assert.InRange(layer.Error, 0, layer.RoundedError));
        Assert.Equal(14, result.Modules.Weights.Count);
    }

    [Fact]
    public void The_matrix_is_the_sum_over_counted_tokens()
    {
        var model = TestModels.Random(TestModels.Config());
        var texts = CalibrationSet.Of([TestModels.Tokens(9, 1), TestModels.Tokens(9, 2)], 9);
        var gram = GramMatrix.Capture(model, texts)[new(0, "self_attn.o_proj")];
        double expected = 0;
        foreach (var (tokens, counted) in texts.Tokens.Zip(texts.Counted))
        {
            float[] mixed = [];
            model.Logits(new TokenBatch(tokens, [], 1), (name, output) => mixed = name == "layers.0.self_attn" ? output.ToFloats() : mixed);
            for (int t = 0; t < 9; t++)
                if (counted[t]) expected += (double)mixed[t * 24 + 3] * mixed[t * 24 + 5];
        }
        Assert.Equal(expected, gram.Values[3 * 24 + 5], 1e-5);
    }

    [Fact]
    public void Matrices_that_do_not_fit_are_refused()
    {
        var weight = TestWeights.Matrix(4, 10, 1);
        Assert.Throws<TuningException>(() => Gptq.Quantize(weight, Gram(11, 20), Grid.Nxd()));
        Assert.Throws<TuningException>(() => Gptq.Quantize(weight, GramMatrix.Of(new float[100], 10), Grid.Nxd()));
    }

    // Inputs with a few strong channels and a common part, so that errors can be made up for.
    private static GramMatrix Gram(int size, int tokens)
    {
        float[] x = TestWeights.Normal(tokens * size, 11, 1), shared = TestWeights.Normal(tokens, 12, 2);
        for (int i = 0; i < x.Length; i++) x[i] = (x[i] + shared[i / size] * (i % 3)) * (i % size % 17 == 4 ? 6 : 1);
        return GramMatrix.Of(x, size);
    }

    private static GramMatrix Sorted(GramMatrix gram, int[] order)
    {
        int n = gram.Size;
        var sorted = GramMatrix.Of(new float[n], n);
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) sorted.Values[(i * n) + j] = gram.Values[(order[i] * n) + order[j]];
        return sorted;
    }

    private static double Error(WeightMatrix weight, GramMatrix gram, QuantizedWeight quantized) => gram.Error(weight.ToArray(), quantized.Dequantize());

    // The inverse by elimination, after each column the inverse of what remains: the form of the paper's derivation, without a factor.
    private static sbyte[] Definition(WeightMatrix weight, GramMatrix gram, Grid grid)
    {
        int n = gram.Size;
        double[] w = Array.ConvertAll(weight.ToArray(), value => (double)value), h = Array.ConvertAll(gram.Values, value => (double)value);
        double mean = Enumerable.Range(0, n).Average(j => h[j * n + j]);
        for (int j = 0; j < n; j++) h[j * n + j] += 0.01 * mean;
        var rounded = FakeQuantization.Exact(weight, Grid.Nxd()).Scales.Select(scale => scale * 127 / grid.Maximum).ToArray();
        var codes = new sbyte[w.Length];
        for (int j = 0; j < n; j++)
        {
            double[] inverse = Inverse(h, n, j); // Of the columns from j on.
            for (int row = 0; row < weight.Rows; row++)
            {
                float[] original = new float[n];
                weight.ReadRow(row, original);
                int pinned = Array.IndexOf(original, original.MaxBy(MathF.Abs));
                double code = j == pinned ? Math.Sign(original[j]) * grid.Maximum : Math.Clamp(Math.Round(w[row * n + j] / rounded[row]), grid.Minimum, grid.Maximum);
                codes[row * n + j] = (sbyte)code;
                double error = (w[row * n + j] - rounded[row] * code) / inverse[0];
                for (int k = j; k < n; k++) w[row * n + k] -= error * inverse[k - j];
            }
        }
        return codes;
    }

    // First row of the inverse of h[from.., from..]: Gauss and Jordan, no pivoting, as h is positive.
    private static double[] Inverse(double[] h, int n, int from)
    {
        int m = n - from;
        var a = new double[m, 2 * m];
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < m; j++) a[i, j] = h[(i + from) * n + j + from];
            a[i, m + i] = 1;
        }
        for (int p = 0; p < m; p++)
        {
            double pivot = a[p, p];
            for (int j = 0; j < 2 * m; j++) a[p, j] /= pivot;
            for (int i = 0; i < m; i++)
            {
                double factor = a[i, p];
                if (i == p || factor == 0) continue;
                for (int j = 0; j < 2 * m; j++) a[i, j] -= factor * a[p, j];
            }
        }
        return [.. Enumerable.Range(0, m).Select(j => a[0, m + j])];
    }
}
