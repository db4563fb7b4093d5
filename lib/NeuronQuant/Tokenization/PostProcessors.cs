using System.Text.Json;

namespace NeuronQuant.Tokenization;

/// <summary>The post-processors of tokenizer.json: what is put around the ids of a text, such as &lt;s&gt; before them.</summary>
/// <remarks>
/// A template lists special tokens and the place of the text, "A". Templates for pairs of texts are not used here. ByteLevel as a
/// post-processor trims character offsets, which this library does not give, and so changes no id.
/// </remarks>
internal static class PostProcessors
{
    public const string Known = "Sequence, TemplateProcessing, ByteLevel";

    public static Func<List<int>, List<int>> Read(JsonComponent? component, Vocabulary vocabulary)
    {
        if (component is null) return ids => ids;
        Func<List<int>, List<int>> processor;
        switch (component.Type)
        {
            case "Sequence":
                var steps = component.Children("processors").Select(child => Read(child, vocabulary)).ToArray();
                processor = ids => steps.Aggregate(ids, (current, step) => step(current));
                break;
            case "TemplateProcessing":
                processor = Template(component, vocabulary);
                break;
            case "ByteLevel":
                foreach (string option in (string[])["add_prefix_space", "trim_offsets", "use_regex"]) _ = component.Flag(option, true);
                processor = ids => ids;
                break;
            default:
                throw component.UnsupportedType(Known);
        }
        component.Finish();
        return processor;
    }

    private static Func<List<int>, List<int>> Template(JsonComponent component, Vocabulary vocabulary)
    {
        _ = component.Find("pair");
        var special = SpecialTokens(component, vocabulary);
        var parts = component.Children("single").Select(part => Part(part, special)).ToArray(); // null is the text's place
        if (parts.Count(part => part is null) != 1) throw component.Wrong($"a template with {parts.Count(part => part is null)} texts", "\"A\" once");
        return ids => [.. parts.SelectMany(part => part ?? (IEnumerable<int>)ids)];
    }

    private static int[]? Part(JsonComponent part, Dictionary<string, int[]> special)
    {
        string kind = part.Names().ToArray() is [var only] ? only : "";
        if (kind is not ("SpecialToken" or "Sequence"))
            throw part.Unsupported($"a part {TokenizerException.Quote(kind)}", "SpecialToken or Sequence");
        var body = part.Child(kind);
        string id = body.Text("id");
        _ = body.Find("type_id"); // Which of two texts a token belongs to: decoder-only models do not look at it.
        body.Finish();
        if (kind == "Sequence") return id == "A" ? null : throw body.Unsupported($"text {TokenizerException.Quote(id)}", "\"A\"");
        return special.TryGetValue(id, out int[]? ids) ? ids : throw body.Wrong($"{TokenizerException.Quote(id)}", "a name of special_tokens");
    }

    private static Dictionary<string, int[]> SpecialTokens(JsonComponent component, Vocabulary vocabulary)
    {
        var all = component.Child("special_tokens");
        var special = new Dictionary<string, int[]>(StringComparer.Ordinal);
        foreach (string name in all.Names())
        {
            var entry = all.Child(name);
            _ = entry.Text("id");
            _ = entry.List("tokens");
            special[name] = [.. entry.List("ids").Select(id => CheckedId(entry, id, vocabulary))];
            entry.Finish();
        }
        return special;
    }

    private static int CheckedId(JsonComponent entry, JsonElement id, Vocabulary vocabulary) =>
        id.ValueKind == JsonValueKind.Number && id.TryGetInt32(out int number) && vocabulary.TokenOf(number) is not null
            ? number
            : throw new TokenizerException(TokenizerFailure.TokenUnknown, entry.File, entry.Path,
                $"id {TokenizerException.Quote(id.GetRawText())}", "an id of the vocabulary or of added_tokens", "Download the file again.");
}
