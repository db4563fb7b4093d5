using System.CommandLine;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>The arguments and options that several commands share, with one wording.</summary>
internal static class Arguments
{
    public static Argument<string> Model() => new("MODEL") { Description = "A checkpoint: a folder in Hugging Face layout, or a .safetensors file." };

    public static Option<bool> Json() => new("--json") { Description = "Print one JSON document and nothing else." };

    public static Option<string[]> Keep() => new("--keep")
    {
        Description = "Entries of modules_to_not_convert, separated by commas: layers.0.self_attn,lm_head",
        CustomParser = result => [.. result.Tokens.SelectMany(token => token.Value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))],
        Arity = ArgumentArity.OneOrMore,
    };

    /// <summary>An option with a closed set of values; anything else is a usage error that lists them.</summary>
    public static Option<string> Choice(string name, string description, string standard, params string[] values)
    {
        var option = new Option<string>(name) { Description = description, DefaultValueFactory = _ => standard };
        return option.AcceptOnlyFromAmong(values);
    }
}
