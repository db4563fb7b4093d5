using System.Text;
using System.Text.RegularExpressions;

namespace NeuronQuant.Tokenization;

/// <summary>The decoders of tokenizer.json: tokens back to text, as a chain from list of text to list of text.</summary>
/// <remarks>
/// ByteFallback turns a run of &lt;0xNN&gt; tokens into the characters they spell, or each into U+FFFD when the run is not UTF-8. ByteLevel
/// undoes <see cref="ByteAlphabet"/>. Fuse joins the list to one text, after which Strip means the text's ends rather than each token's.
/// Without a decoder tokens are joined with spaces, as Hugging Face's tokenizers do.
/// </remarks>
internal static partial class Decoders
{
    public const string Known = "Sequence, Replace, ByteFallback, Fuse, Strip, ByteLevel, Metaspace";

    public static Func<List<string>, List<string>> Read(JsonComponent? component)
    {
        if (component is null) return tokens => [string.Join(' ', tokens)];
        Func<List<string>, List<string>> decoder = component.Type switch
        {
            "Sequence" => InOrder([.. component.Children("decoders").Select(Read)]),
            "Replace" => Replace(SplitPattern.Read(component, "pattern"), component.Text("content")),
            "ByteFallback" => ByteFallback,
            "Fuse" => tokens => [string.Concat(tokens)],
            "Strip" => Strip(component),
            "ByteLevel" => ByteLevel(component),
            "Metaspace" => Metaspace(component),
            _ => throw component.UnsupportedType(Known),
        };
        component.Finish();
        return decoder;
    }

    private static Func<List<string>, List<string>> InOrder(Func<List<string>, List<string>>[] steps) =>
        tokens => steps.Aggregate(tokens, (current, step) => step(current));

    private static Func<List<string>, List<string>> Replace(SplitPattern pattern, string content) =>
        tokens => tokens.ConvertAll(token => pattern.Replace(token, content));

    /// <summary>Whether a token is one byte of a fallback.</summary>
    public static bool IsByte(string token) => token.Length == 6 && ByteToken().IsMatch(token);

    private static List<string> ByteFallback(List<string> tokens)
    {
        var result = new List<string>(tokens.Count);
        var run = new List<byte>();
        foreach (string token in tokens)
        {
            if (IsByte(token))
            {
                run.Add(Convert.FromHexString(token.AsSpan(3, 2))[0]);
                continue;
            }
            EndRun(run, result);
            result.Add(token);
        }
        EndRun(run, result);
        return result;
    }

    private static void EndRun(List<byte> run, List<string> result)
    {
        if (run.Count == 0) return;
        byte[] bytes = [.. run];
        if (System.Text.Unicode.Utf8.IsValid(bytes)) result.Add(Encoding.UTF8.GetString(bytes));
        else result.AddRange(Enumerable.Repeat("\uFFFD", bytes.Length));
        run.Clear();
    }

    private static Func<List<string>, List<string>> Strip(JsonComponent component)
    {
        string content = component.Text("content");
        int start = component.Number("start");
        // A text's end is not known while it streams; no model strips there.
        if (component.Number("stop") != 0) throw component.Unsupported("a strip at the end", "\"stop\": 0");
        if (content.Length != 1) throw component.Wrong($"content {TokenizerException.Quote(content)}", "one character");
        return tokens => tokens.ConvertAll(token =>
        {
            int cut = 0;
            while (cut < start && cut < token.Length && token[cut] == content[0]) cut++;
            return token[cut..];
        });
    }

    private static Func<List<string>, List<string>> ByteLevel(JsonComponent component)
    {
        foreach (string option in (string[])["add_prefix_space", "trim_offsets", "use_regex"]) _ = component.Flag(option, true);
        return tokens =>
        {
            var bytes = new List<byte>();
            foreach (string token in tokens) ByteAlphabet.Decode(token, bytes);
            return [Encoding.UTF8.GetString([.. bytes])];
        };
    }

    private static Func<List<string>, List<string>> Metaspace(JsonComponent component)
    {
        string mark = PreTokenizers.Mark(component);
        string first = PreTokenizers.Scheme(component) == "never" ? " " : "";
        _ = component.Flag("split", true);
        _ = component.TextOrNull("str_rep");
        return tokens => [.. tokens.Select((token, index) => token.Replace(mark, index == 0 ? first : " ", StringComparison.Ordinal))];
    }

    [GeneratedRegex("^<0x[0-9A-Fa-f]{2}>$", RegexOptions.CultureInvariant)]
    private static partial Regex ByteToken();
}
