using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using NeuronQuant.Checkpoints;
using NeuronQuant.Models;

namespace NeuronQuant.Benchmarks;

/// <summary>
/// One stream of a random 110M-parameter Llama (hidden 768, 12 layers, vocabulary 32000): greedy decoding, bf16 and float32 weights, and
/// the prefill of 512 tokens. Beside it llama2.c, when its program and a checkpoint of the same shape are given:
/// <c>decode --llama2c RUN --checkpoint FILE --tokenizer FILE</c>.
/// </summary>
internal static partial class DecodeBenchmark
{
    private const int Tokens = 128, Prompt = 512;

    public static void Run(string[] args)
    {
        var model = Random110M();
        int[] prompt = [.. Enumerable.Range(0, Prompt).Select(i => 2 + i * 37 % 31000)];
        foreach (bool bf16 in new[] { true, false })
        {
            if (!bf16) model.Embedding.Values[0] = BitConverter.UInt32BitsToSingle(0x3C00_0001); // no bf16 number: weights stay float32
            var decoder = new Decoder(model, 1, 1024);
            var name = decoder.ReadsBf16 ? "bf16 weights" : "float32 weights";
            var stream = new Measurement($"Decoding one stream, 110M parameters, {name}", "tokens/s", Tokens).Add("NeuronQuant", () => Decode(decoder));
            if (bf16 && Option(args, "--llama2c") is { } program)
                stream.AddRate("llama2.c", () => Llama2C(program, Option(args, "--checkpoint")!, Option(args, "--tokenizer")!));
            stream.Run(7);
            new Measurement($"Prefill of {Prompt} tokens, 110M parameters, {name}", "tokens/s", Prompt).Add("NeuronQuant", () => decoder.Prefill(0, prompt)).Run(5);
        }
        Allocations(new Decoder(model, 1, 1024));
    }

    private static void Decode(Decoder decoder)
    {
        int[] next = [1];
        next[0] = Generation.Likeliest(decoder.Prefill(0, next));
        for (int i = 1; i < Tokens; i++) next[0] = Generation.Likeliest(decoder.Step(next));
    }

    private static void Allocations(Decoder decoder)
    {
        Decode(decoder);
        int[] next = [1];
        decoder.Prefill(0, next);
        long before = GC.GetTotalAllocatedBytes(precise: true);
        for (int i = 1; i < Tokens; i++) next[0] = Generation.Likeliest(decoder.Step(next));
        Console.WriteLine($"\nbytes allocated by {Tokens - 1} decoding steps, all threads: {GC.GetTotalAllocatedBytes(precise: true) - before}");
    }

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

    private static LlamaModel Random110M()
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
        });
        Initialization.Fill(model, 3);
        foreach (var parameter in model.Parameters)
            for (int i = 0; i < parameter.Values.Length; i++) parameter.Values[i] = Formats.BFloat16.Round(parameter.Values[i]);
        return model;
    }

    [GeneratedRegex(@"achieved tok/s: ([\d.]+)")]
    private static partial Regex Rate();
}
