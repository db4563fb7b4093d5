using NeuronQuant.Checkpoints;
using NeuronQuant.Evaluation;
using NeuronQuant.Formats;
using NeuronQuant.Neuron;

namespace NeuronQuant;

/// <summary>What an exercise is compared with.</summary>
/// <param name="Name">as the notebook calls it</param>
internal abstract record ExerciseReference(string Name);

/// <summary>A reference for functions of one type.</summary>
/// <param name="Name">as the notebook calls it</param>
/// <param name="Answer">the reference</param>
/// <param name="Cases">what it is asked, easy ones first</param>
internal sealed record ExerciseReference<TCase, TAnswer>(string Name, Func<TCase, TAnswer> Answer, params TCase[] Cases) : ExerciseReference(Name)
{
    public override string ToString() => $"a Func<{typeof(TCase).Name}, {typeof(TAnswer).Name}>";
}

/// <summary>The reference of every exercise, in the order of the notebooks. Explanations are in notebooks/solutions.</summary>
internal static class ExerciseReferences
{
    private static readonly ExerciseReference[] All =
    [
        // 00: what is stored for a weight of [out, in]
        new ExerciseReference<(int Out, int In), long>("Bytes of a quantized weight", shape => (long)shape.Out * shape.In + 4 * shape.Out,
            (64, 64), (172, 64), (14336, 5120)),
        // 01: formats
        new ExerciseReference<byte, float>("Decode e4m3", Float8E4M3.Decode, 0x01, 0x07, 0x08, 0x38, 0x3C, 0x77, 0xB8),
        new ExerciseReference<float, ushort>("Encode bf16", BFloat16.Encode, 1f, 1.01f, 1.00390625f, 1.01171875f, -3.14159f, 1e30f),
        // 02: rounding by hand
        new ExerciseReference<float[], sbyte[]>("Quantize a row", row => [.. row.Select(x => Int8.Encode(x * (1f / (row.Max(Math.Abs) / 127f))))],
            [0.5f, -1f, 0.25f, 0.003f, 0.99f], [0.1f, 0.2f, -0.3f], [3f, -7f, 2f, 5f]),
        new ExerciseReference<float[], float>("The scale of rule R1", row => BFloat16.Round(row.Max(Math.Abs)) / 127f,
            [0.5f, -1f], [0.1f, 0.2f, -0.3f], [3.14159f, 1f]),
        // 03: measures
        new ExerciseReference<float[][], double>("Outlier magnitude", matrix => matrix.Average(Variance), [[1f, 2f, 3f], [2f, 2f, 2f]], [[-1f, 1f, -1f, 3f]]),
        new ExerciseReference<double, double>("Crest factor at a given SQNR", decibels => 127 * Math.Sqrt(12) * Math.Pow(10, -decibels / 20), 31.5, 40, 45),
        // 04: choices
        new ExerciseReference<(long Kept, long All), double>("Average bits", w => 8 + 8.0 * w.Kept / w.All, (0L, 100L), (25L, 100L), (100L, 100L)),
        new ExerciseReference<(string Entry, string Module), bool>("Kept under both names", asked =>
            ModuleName.Parse(asked.Module).HuggingFaceName.Contains(asked.Entry) && ModuleName.Parse(asked.Module).NeuronName.Contains(asked.Entry),
            ("layers.3.self_attn", "layers.3.self_attn.q_proj"), ("layers.3.self_attn.q_proj", "layers.3.self_attn.q_proj"),
            ("model.layers.3", "layers.3.mlp.up_proj"), ("layers.3", "layers.30.mlp.up_proj")),
        new ExerciseReference<(double[] Scores, int[] Prices, int Budget), double>("Least lost score", LeastLost,
            ([3, 2, 2], [3, 2, 2], 4), ([5, 4, 1], [4, 3, 1], 4), ([1, 1], [2, 2], 1)),
        // 05: AutoRound
        new ExerciseReference<(float Ratio, float V, int Bits), int>("The code of a weight", Code,
            (2.4f, 0f, 4), (2.4f, 0.2f, 4), (2.5f, 0f, 4), (6.9f, 0.4f, 3), (-9.2f, -0.4f, 4)),
        new ExerciseReference<(double Rate, int Iterations), double>("How far an offset travels",
            c => Enumerable.Range(0, c.Iterations).Sum(t => c.Rate * (1 - t / (double)c.Iterations)), (0.005, 200), (0.005, 50), (0.001, 1000)),
        // 06: the second rounding
        new ExerciseReference<int[], int[]>("The second rounding", SecondRoundingOf, [127, -64, 33], [-128, 100, 64], [126, 50, -100]),
        new ExerciseReference<int, bool>("Which codes change", q => (int)Math.Round(q * 127 / 128.0, MidpointRounding.ToEven) != q, 10, 63, 64, 65, 127),
        // 07: the folder
        new ExerciseReference<(string Module, string Entry), string[]>("Keys of a module", asked =>
            asked.Module.Contains(asked.Entry) ? [$"{asked.Module}.weight"] : [$"{asked.Module}.weight", $"{asked.Module}.scale"],
            ("layers.3.mlp.up_proj", "lm_head"), ("layers.3.mlp.up_proj", "layers.3.mlp"), ("lm_head", "lm_head"), ("layers.31.mlp.up_proj", "layers.3")),
        new ExerciseReference<(double Weights, double Token, int Cores), double>("Tokens that fit",
            asked => Math.Floor((14 * InferencePlan.Gib * asked.Cores - asked.Weights) / asked.Token),
            (24.5e9, 163840, 2), (13.6e9, 163840, 2), (13.6e9, 81920, 2), (13.6e9, 163840, 4)),
        // 08: time
        new ExerciseReference<(int Batch, int Prompt, int New, double Ms), double>("New tokens a second", run => run.Batch * run.New * 1000 / run.Ms,
            (1, 512, 128, 2000.0), (8, 2048, 256, 9000.0), (4, 100, 100, 1000.0)),
        new ExerciseReference<(double Weights, double Token, int Batch, int Length, double Bandwidth), double>("Floor of a step",
            step => 1000 * (step.Weights + step.Token * step.Batch * step.Length) / (step.Bandwidth * InferencePlan.Gib),
            (11.6e9, 163840, 1, 4096, 820), (11.6e9, 81920, 8, 16384, 820), (23.2e9, 163840, 8, 512, 1640)),
        // 09: chance
        new ExerciseReference<(int B, int C), double>("McNemar", counts => Statistics.McNemar(counts.B, counts.C), (3, 1), (10, 2), (0, 8), (5, 5)),
        new ExerciseReference<(double A, double B), int>("Problems needed",
            shares => Enumerable.Range(1, 99).Select(k => 1000 * k).First(n => Statistics.TwoShares(shares.A, shares.B, n) < 0.05),
            (0.22, 0.23), (0.19, 0.24), (0.5, 0.52)),
        // 10: folds
        new ExerciseReference<(double X, double W, double Alpha), double>("A scale of SmoothQuant",
            c => Math.Pow(c.X, c.Alpha) / Math.Pow(c.W, 1 - c.Alpha), (16, 1, 0.5), (16, 0.25, 0.5), (40, 0.5, 0.8), (3, 2, 0)),
        new ExerciseReference<double[], double[]>("A rotation of four numbers", Hadamard4, [8, 0, 0, 0], [1, 1, 1, 1], [1, -2, 3, 0.5]),
        // 11: activations and the cache
        new ExerciseReference<double[], double[]>("A token in int8", x => [.. x.Select(v => Math.Round(v / (x.Max(Math.Abs) / 127)) * (x.Max(Math.Abs) / 127))],
            [1, -0.5, 0.25, 100], [0.3, -0.2, 0.1], [127, 63.5, -62.5]),
        new ExerciseReference<(int Layers, int Heads, int Size, int Tokens, int Bytes), long>("Bytes of a cache",
            c => 2L * c.Layers * c.Heads * c.Size * c.Tokens * c.Bytes, (1, 1, 64, 1, 2), (40, 8, 128, 4096, 2), (40, 8, 128, 4096, 1)),
        // 12: choices
        new ExerciseReference<(double Accuracy, int Choices), double>("Above chance",
            score => (score.Accuracy * score.Choices - 1) / (score.Choices - 1), (0.25, 4), (1, 4), (0.6, 4), (0.4, 2)),
        new ExerciseReference<double[], double[]>("Holm", Statistics.Holm, [0.01, 0.04, 0.03], [0.5, 0.001], [0.02, 0.02, 0.9, 0.01]),
    ];

    private static double[] Hadamard4(double[] x) => [.. Enumerable.Range(0, 4).Select(i =>
        Enumerable.Range(0, 4).Sum(j => (int.PopCount(i & j) % 2 == 0 ? 1 : -1) * x[j]) / 2)];

    /// <summary>Every exercise.</summary>
    public static IEnumerable<string> Names => All.Select(reference => reference.Name);

    /// <summary>The reference of that name, or null.</summary>
    public static ExerciseReference? Find(string name) => Array.Find(All, reference => reference.Name == name);

    private static double Variance(float[] row)
    {
        double mean = row.Average(x => (double)x);
        return row.Sum(x => (x - mean) * (x - mean)) / (row.Length - 1);
    }

    private static double LeastLost((double[] Scores, int[] Prices, int Budget) p) => Enumerable.Range(0, 1 << p.Scores.Length)
        .Where(kept => p.Prices.Where((_, i) => (kept >> i & 1) == 1).Sum() <= p.Budget)
        .Min(kept => p.Scores.Where((_, i) => (kept >> i & 1) == 0).Sum());

    private static int Code((float Ratio, float V, int Bits) c)
    {
        int largest = (1 << (c.Bits - 1)) - 1;
        return Math.Clamp((int)MathF.Round(c.Ratio + c.V, MidpointRounding.ToEven), -largest, largest);
    }

    private static int[] SecondRoundingOf(int[] row)
    {
        float[] file = [.. row.Select(q => BFloat16.Round(q * 0.01f))];
        float inverse = 1f / (file.Max(Math.Abs) / 127f);
        return [.. file.Select(x => (int)Int8.Encode(x * inverse))];
    }
}
