using System.CommandLine;
using NeuronQuant.Methods;
using NeuronQuant.Tensors;
using NeuronQuant.Tuning;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>A method that a command was asked for, its texts, and where it computes.</summary>
internal sealed record MethodRequest(MethodRow Row, ulong Seed, CalibrationSource Calibration, Placement Place);

/// <summary>The options that name methods, and those of one method.</summary>
internal sealed class MethodOptions
{
    private readonly Option<string> _method = new("--method")
    {
        Description = $"How integers are chosen: {Names}; a transform may stand before another method, as in awq+gptq.",
        DefaultValueFactory = _ => "rtn",
    };

    private readonly Option<ulong> _seed = Seed();
    private readonly Option<string> _recipe = Arguments.Choice("--recipe", "AutoRound's recipe", "default", "light", "default", "best");
    private readonly Option<string?> _calibration = TuningOptions.Calibration();
    private readonly Option<int?> _samples = TuningOptions.Samples();
    private readonly Option<int> _length = TuningOptions.SequenceLength();
    private readonly PlacementOptions _place = new();

    public void AddTo(Command command)
    {
        foreach (var option in new Option[] { _method, _seed, _recipe, _calibration, _samples, _length }) command.Add(option);
        _place.AddTo(command);
    }

    /// <summary>What was asked for; null for rounding to nearest, which streams and needs no model in memory.</summary>
    /// <exception cref="UsageException">there is no such method, or it names modules to keep, which --keep does</exception>
    public MethodRequest? Read(ParseResult result)
    {
        string name = result.GetRequiredValue(_method);
        if (name == "rtn") return null;
        var recipe = TuningRecipe.Parse(result.GetRequiredValue(_recipe));
        var row = Row(name, new AutoRoundMethod(recipe));
        if (row.Selective) throw new UsageException($"--method {name}: name the modules to keep with --keep, and the method without 'selective'.");
        return new MethodRequest(row, result.GetValue(_seed),
            new CalibrationSource(result.GetValue(_calibration), result.GetValue(_samples) ?? recipe.Samples, result.GetValue(_length)), _place.Read(result));
    }

    /// <summary>Several methods.</summary>
    public static Option<string[]> Methods() => new("--methods")
    {
        Description = $"Rows, separated by commas: {Names}; a transform may stand before another method, as in awq+gptq, and "
            + "+selective keeps modules. Default: the blog's table and GPTQ.",
        CustomParser = result => [.. result.Tokens.SelectMany(token => token.Value.Split(',',
            StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))],
        Arity = ArgumentArity.OneOrMore,
    };

    /// <summary>The seed of everything that is drawn.</summary>
    public static Option<ulong> Seed() => new("--seed")
    {
        Description = "Of rotations and of the order of minibatches.",
        DefaultValueFactory = _ => 42,
    };

    private static string Names => string.Join(", ", MethodRegistry.Names);

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
