using System.CommandLine;
using NeuronQuant.Methods;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>The options that name methods.</summary>
internal static class MethodOptions
{
    /// <summary>Several methods.</summary>
    public static Option<string[]> Methods() => new("--methods")
    {
        Description = $"Rows, separated by commas: {string.Join(", ", MethodRegistry.Names)}; a transform may stand before another method, as in awq+gptq, and "
            + "+selective keeps modules. Default: the blog's table and GPTQ.",
        CustomParser = result => [.. result.Tokens.SelectMany(token => token.Value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))],
        Arity = ArgumentArity.OneOrMore,
    };

    /// <summary>The seed of everything that is drawn.</summary>
    public static Option<ulong> Seed() => new("--seed") { Description = "Of rotations and of the order of minibatches.", DefaultValueFactory = _ => 42 };

    /// <summary>The row of a name.</summary>
    /// <exception cref="UsageException">there is no such method</exception>
    public static MethodRow Row(string name, params IEnumerable<IQuantizationMethod> replaced)
    {
        try
        {
            return MethodRegistry.Parse(name, replaced);
        }
        catch (ArgumentException refused)
        {
            throw new UsageException(refused.Message);
        }
    }
}
