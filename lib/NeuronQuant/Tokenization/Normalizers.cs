namespace NeuronQuant.Tokenization;

/// <summary>The normalizers of tokenizer.json: text to text, before anything is cut.</summary>
/// <remarks>
/// Prepend and Replace are how Llama-2 makes "▁" of spaces and of the text's start; NFC is Qwen2's. The kinds that a decoder-only language
/// model does not have (lower case, accents, BERT's) are refused by name.
/// </remarks>
internal static class Normalizers
{
    public const string Known = "Sequence, Prepend, Replace, NFC";

    public static Func<string, string> Read(JsonComponent? component)
    {
        if (component is null) return text => text;
        Func<string, string> normalizer = component.Type switch
        {
            "Sequence" => InOrder([.. component.Children("normalizers").Select(Read)]),
            "Prepend" => Prepend(component.Text("prepend")),
            "Replace" => Replace(SplitPattern.Read(component, "pattern"), component.Text("content")),
            "NFC" => Nfc.Normalize,
            _ => throw component.UnsupportedType(Known),
        };
        component.Finish();
        return normalizer;
    }

    private static Func<string, string> InOrder(Func<string, string>[] steps) => text => steps.Aggregate(text, (current, step) => step(current));

    private static Func<string, string> Prepend(string prefix) => text => text.Length == 0 ? text : prefix + text;

    private static Func<string, string> Replace(SplitPattern pattern, string content) => text => pattern.Replace(text, content);
}
