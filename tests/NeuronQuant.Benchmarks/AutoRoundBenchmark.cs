using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tuning;

namespace NeuronQuant.Benchmarks;

/// <summary>
/// One AutoRound iteration of a block (hidden 1024, intermediate 2816, 8 query and 2 key-value heads of 128, 4 sequences of 256 tokens,
/// float32), beside exactly the multiplications that it cannot do without: every linear module forward and its weight gradient, and the input
/// gradients of all but q, k and v. With <c>--peer SCRIPT</c> a torch script of the same block runs in turns; it prints one JSON line for
/// each result, of which <c>iteration_1024</c> and <c>floor_exact_gemms_1024</c> are read (seconds).
/// </summary>
internal static class AutoRoundBenchmark
{
    private const int Iterations = 12, Sequences = 4, Length = 256, Rows = Sequences * Length;

    private static readonly ModelConfig Config = new()
    {
        File = "config.json",
        Family = ModelFamily.Llama,
        HiddenSize = 1024,
        IntermediateSize = 2816,
        LayerCount = 1,
        HeadCount = 8,
        KeyValueHeadCount = 2,
        HeadSize = 128,
        VocabularySize = 32,
        MaxPositionEmbeddings = 1024,
        RmsNormEpsilon = 1e-5,
        TieWordEmbeddings = true,
    };

    public static void Run(string[] args)
    {
        var model = new LlamaModel(Config);
        Initialization.Fill(model, 5);
        var task = Task(model);
        var measurement = new Measurement("AutoRound of a block, hidden 1024, 4 x 256 tokens", "a second", 1)
            .AddRate("NeuronQuant, iteration", () => 1 / IterationSeconds(task))
            .Add("NeuronQuant, its bare multiplications", Multiplications(model.Blocks[0]));
        if (Array.IndexOf(args, "--peer") is >= 0 and var at && at + 1 < args.Length)
        {
            double floor = 0;
            measurement.AddRate("torch, iteration", () => 1 / Torch(args[at + 1], out floor)).AddRate("torch, its bare multiplications", () => 1 / floor);
        }
        measurement.Run(7);
    }

    private static BlockTask Task(LlamaModel model)
    {
        var random = new Random(5);
        float[][] inputs = [.. Enumerable.Range(0, Sequences).Select(_ => Normal(random, Length * Config.HiddenSize))];
        float[][] targets = [.. inputs.Select(values => values.ToArray())];
        var kept = new BlockActivations();
        foreach (var values in targets) model.Blocks[0].Forward(values, values, 1, Length, kept);
        bool[][] counted = [.. inputs.Select(_ => Enumerable.Repeat(true, Length).ToArray())];
        var grids = model.Blocks[0].Linears.ToDictionary(linear => ModuleName.Parse(linear.Name), _ => Grid.Nxd());
        return new BlockTask(Config, model.Blocks[0], model.Rotary, grids, inputs, targets, counted, Length,
            TuningRecipe.Default with { Iterations = Iterations, BatchSize = Sequences });
    }

    // From one report to the next is one iteration, whole; the first two warm up.
    private static double IterationSeconds(BlockTask task)
    {
        var times = new List<long>();
        new ManagedBlockTuner().Tune(task, (_, _) => times.Add(Stopwatch.GetTimestamp()));
        double[] seconds = [.. times.Zip(times.Skip(1)).Skip(1).Select(pair => Stopwatch.GetElapsedTime(pair.First, pair.Second).TotalSeconds).Order()];
        return seconds[seconds.Length / 2];
    }

    private static Action Multiplications(DecoderBlock block)
    {
        int widest = block.Linears.Max(linear => Math.Max(linear.In, linear.Out)), largest = block.Linears.Max(linear => linear.Weight.Values.Length);
        var random = new Random(6);
        float[] x = Normal(random, Rows * widest), dy = Normal(random, Rows * widest), result = new float[Rows * widest], gradient = new float[largest];
        return () =>
        {
            foreach (var linear in block.Linears)
            {
                MatrixMultiply.Forward(x, linear.Weight.Values, result, Rows, linear.In, linear.Out);
                MatrixMultiply.WeightGradient(dy, x, gradient, Rows, linear.In, linear.Out, accumulate: false);
                if (linear != block.Query && linear != block.Key && linear != block.Value)
                    MatrixMultiply.InputGradient(dy, linear.Weight.Values, result, Rows, linear.In, linear.Out);
            }
        };
    }

    private static double Torch(string script, out double floor)
    {
        var start = new ProcessStartInfo(Environment.GetEnvironmentVariable("PYTHON") ?? "python3", [script, "--runs", "7", "--config", "1024"]) { RedirectStandardOutput = true };
        using var process = Process.Start(start)!;
        var medians = process.StandardOutput.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!)
            .ToDictionary(line => (string)line["name"]!, line => (double)line["median"]!);
        process.WaitForExit();
        if (!medians.TryGetValue("iteration_1024", out double iteration) || !medians.TryGetValue("floor_exact_gemms_1024", out floor))
            throw new InvalidOperationException($"{script} ended with code {process.ExitCode} and without its figures; is torch in {start.FileName}? Set PYTHON to another interpreter.");
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"torch: iteration {iteration:0.000} s, multiplications {floor:0.000} s"));
        return iteration;
    }

    private static float[] Normal(Random random, int length)
    {
        var values = new float[length];
        for (int i = 0; i < length; i++) values[i] = MathF.Sqrt(-2 * MathF.Log(1 - random.NextSingle())) * MathF.Cos(MathF.Tau * random.NextSingle());
        return values;
    }
}
