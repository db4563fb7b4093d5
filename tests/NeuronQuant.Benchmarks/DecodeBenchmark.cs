using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Benchmarks;

/// <summary>
/// One stream of a random 110M-parameter Llama (hidden 768, 12 layers, vocabulary 32000): greedy decoding, alone and 64 together, in bfloat16 and float32, and
/// the prefill of 512 tokens. Beside it llama2.c, when its program and a checkpoint of the same shape are given:
/// <c>decode --llama2c RUN --checkpoint FILE --tokenizer FILE</c>.
/// </summary>
internal static partial class DecodeBenchmark
{
    private const int Tokens = 128, Prompt = 512, Together = 64;

    public static void Run(string[] args)
    {
        int[] prompt = [.. Enumerable.Range(0, Prompt).Select(i => 2 + i * 37 % 31000)];
        foreach (var type in new[] { ScalarType.BFloat16, ScalarType.Float32 })
        {
            var model = Random110M(type);
            var stream = new Measurement($"Decoding one stream, 110M parameters, {type}", "tokens/s", Tokens).Add("NeuronQuant", () => Decode(model, 1));
            if (type == ScalarType.BFloat16 && Option(args, "--llama2c") is { } program)
                stream.AddRate("llama2.c", () => Llama2C(program, Option(args, "--checkpoint")!, Option(args, "--tokenizer")!));
            stream.Run(5);
            new Measurement($"Decoding {Together} streams, 110M parameters, {type}", "tokens/s", Tokens * Together).Add("NeuronQuant", () => Decode(model, Together)).Run(3);
            new Measurement($"Prefill of {Prompt} tokens, 110M parameters, {type}", "tokens/s", Prompt)
                .Add("NeuronQuant", () => Generation.Run(model, [prompt], new GenerationOptions(1))).Run(5);
        }
    }

    private static void Decode(LlamaModel model, int texts) => Generation.Run(model, [.. Enumerable.Repeat(new[] { 1 }, texts)], new GenerationOptions(Tokens));

    private static double Llama2C(string program, string checkpoint, string tokenizer)
    {
        var start = new ProcessStartInfo(program, [checkpoint, "-t", "0", "-n", $"{Tokens}", "-z", tokenizer, "-i", ""]) { RedirectStandardError = true, RedirectStandardOutput = true };
        start.Environment["OMP_NUM_THREADS"] = Environment.ProcessorCount.ToString(CultureInfo.InvariantCulture);
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync();
        string report = process.StandardError.ReadToEnd();
        process.WaitForExit();
        _ = output.Result;
        return double.Parse(Rate().Match(report).Groups[1].Value, CultureInfo.InvariantCulture);
    }

    private static string? Option(string[] args, string name) => Array.IndexOf(args, name) is >= 0 and var i && i + 1 < args.Length ? args[i + 1] : null;

    private static LlamaModel Random110M(ScalarType type)
    {
        var model = new LlamaModel(new ModelConfig
        {
            File = "config.json",
            Family = ModelFamily.Llama,
            HiddenSize = 768,
            IntermediateSize = 2048,
            LayerCount = 12,
            HeadCount = 12,
            KeyValueHeadCount = 12,
            HeadSize = 64,
            VocabularySize = 32000,
            MaxPositionEmbeddings = 1024,
            RmsNormEpsilon = 1e-5,
            TieWordEmbeddings = true,
        }, Placement.Of(type));
        Initialization.Fill(model, 3);
        return model;
    }

    [GeneratedRegex(@"achieved tok/s: ([\d.]+)")]
    private static partial Regex Rate();
}
