using System.Diagnostics;
using System.Globalization;
using System.Text;
using NeuronQuant.Tokenization;
using Rust = Tokenizers.DotNet.Tokenizer;

namespace NeuronQuant.Benchmarks;

/// <summary>
/// Encoding and decoding of a tokenizer.json beside the Rust library, through Tokenizers.DotNet: megabytes of UTF-8 a second on one text, a
/// million spaces, many combining marks; and, on texts of every script, in how many of them ids or decoded text differ.
/// </summary>
/// <remarks>
/// Both get the text line by line and whole: the Rust library keeps character offsets, which cost more in a long text. What a call of one
/// letter takes is printed, since the wrapper's own work is in every call. The post-processor of tokenizer.json alone is compared: the wrapper does not read tokenizer_config.json.
/// </remarks>
internal static class TokenizeBenchmark
{
    private const int Bytes = 4_000_000, Rounds = 5;

    public static void Run(string[] args)
    {
        int at = Array.IndexOf(args, "--text");
        string text = at > 0 && args.Length > at + 1 ? File.ReadAllText(args[at + 1]) : "";
        if (text.Length == 0) text = string.Concat(ScriptTexts.All(2000));
        while (Encoding.UTF8.GetByteCount(text) < Bytes) text += text;
        text = text[..Math.Min(text.Length, Bytes)];
        if (char.IsHighSurrogate(text[^1])) text = text[..^1];
        foreach (string file in args.Skip(1).Where((_, index) => at < 0 || index + 1 < at)) Contest(file, text);
    }

    private static void Contest(string file, string text)
    {
        using var alone = new LoneTokenizer(file);
        var (ours, rust) = (Tokenizer.Load(alone.Path), new Rust(alone.Path));
        double megabytes = Encoding.UTF8.GetByteCount(text) / 1e6;
        double OursOn(string given) => Milliseconds(() => ours.Encode(given));
        double RustOn(string given) => Milliseconds(() => rust.Encode(given));
        Say($"\n## {file}: one letter {OursOn("a"):0.00} ms, in the Rust library {RustOn("a"):0.00} ms");
        string[] lines = text.Split('\n');
        new Measurement($"encode {megabytes:0.0} MB, {lines.Length} lines", "MB/s", megabytes)
            .Add("NeuronQuant, line by line", () => Each(lines, line => ours.Encode(line)))
            .Add("Rust, line by line", () => Each(lines, line => rust.Encode(line)))
            .Add("NeuronQuant, one text", () => ours.Encode(text)).Add("Rust, one text", () => rust.Encode(text)).Run(Rounds);
        int[] ids = ours.Encode(text);
        uint[] unsigned = Array.ConvertAll(ids, id => (uint)id);
        new Measurement($"decode {ids.Length} ids", "MB/s", megabytes)
            .Add("NeuronQuant", () => ours.Decode(ids)).Add("Rust", () => rust.Decode(unsigned)).Run(3);
        string spaces = new(' ', 1_000_000), marks = "a" + string.Concat(Enumerable.Repeat("\u0301\u0323", 20_000));
        Say($"\na million spaces: {OursOn(spaces):0} ms, Rust {RustOn(spaces):0} ms");
        Say($"40,000 alternating combining marks: {OursOn(marks):0} ms, Rust {RustOn(marks):0} ms");
        Compare(ours, rust);
    }

    private static void Compare(Tokenizer ours, Rust rust)
    {
        int texts = 0, ids = 0, decoded = 0;
        foreach (string text in ScriptTexts.All(3000))
        {
            texts++;
            int[] own = ours.Encode(text);
            uint[] other = rust.Encode(text);
            bool same = own.AsSpan().SequenceEqual(Array.ConvertAll(other, id => (int)id));
            if (!same && ids++ < 3) Say($"other ids for {Points(text)}:\n  {string.Join(' ', own)}\n  {string.Join(' ', other)}");
            string back = ours.Decode(own), rustBack = rust.Decode(Array.ConvertAll(own, id => (uint)id));
            if (back != rustBack && decoded++ < 3) Say($"decoded \"{back}\", by the Rust library \"{rustBack}\"");
        }
        Say($"{texts} texts: other ids in {ids}, other decoded text in {decoded}");
    }

    private static string Points(string text) => string.Join(' ', text.EnumerateRunes().Select(rune => $"{rune.Value:X4}"));

    private static void Each(string[] lines, Action<string> encode)
    {
        foreach (string line in lines) encode(line);
    }

    private static double Milliseconds(Action run)
    {
        run();
        long start = Stopwatch.GetTimestamp();
        run();
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }

    private static void Say(FormattableString line) => Console.WriteLine(line.ToString(CultureInfo.InvariantCulture));

    // A copy without tokenizer_config.json beside it.
    private sealed class LoneTokenizer : IDisposable
    {
        private readonly string _folder = Directory.CreateTempSubdirectory("neuronquant-").FullName;

        public LoneTokenizer(string file) => File.Copy(Directory.Exists(file) ? System.IO.Path.Combine(file, "tokenizer.json") : file, Path);

        public string Path => System.IO.Path.Combine(_folder, "tokenizer.json");

        public void Dispose() => Directory.Delete(_folder, recursive: true);
    }
}
