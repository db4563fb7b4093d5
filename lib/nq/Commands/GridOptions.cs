using System.CommandLine;
using NeuronQuant.Quantization;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>The options that together name a grid: where its code points lie, how wide codes are, what shares a scale.</summary>
internal sealed class GridOptions
{
    private readonly Option<string> _grid = Arguments.Choice(
        "--grid", "Where the code points lie: nxd is NxDI's own. autoround and half lose integers in NxDI, and are there to show it",
        "nxd", "nxd", "autoround", "half");

    private readonly Option<int> _bits = Width();

    private readonly Option<string?> _group = Group();

    private readonly Option<bool> _asymmetric = new("--asymmetric")
    {
        Description = "A zero point beside each scale, which NxDI has not: for measuring.",
    };

    public void AddTo(Command command)
    {
        command.Add(_grid);
        command.Add(_bits);
        command.Add(_group);
        command.Add(_asymmetric);
    }

    /// <summary>The grid; null when all was left as NxDI has it.</summary>
    /// <exception cref="UsageException">the options exclude each other</exception>
    public Grid? Read(ParseResult result)
    {
        string name = result.GetRequiredValue(_grid);
        bool asymmetric = result.GetValue(_asymmetric);
        if (asymmetric && name != "nxd")
            throw new UsageException($"--grid {name} has no zero points, and --asymmetric is a grid of its own. Give one of them.");
        int bits = result.GetValue(_bits);
        var grid = asymmetric ? Grid.Asymmetric(bits) : Grid.Parse(name, bits);
        if (result.GetValue(_group) is { } size) grid = grid.InGroups(int.Parse(size, System.Globalization.CultureInfo.InvariantCulture));
        return grid == Grid.Nxd() ? null : grid;
    }

    private static Option<string?> Group()
    {
        var option = new Option<string?>("--group")
        {
            Description = "A scale for every so many weights along the input, which NxDI has not: for measuring, or for a GPU.",
        };
        return option.AcceptOnlyFromAmong("32", "64", "128");
    }

    private static Option<int> Width()
    {
        var option = new Option<int>("--bits")
        {
            Description = "Width of the codes, 2 to 8. Inf2 stores 8; fewer are for measuring, or for a GPU.",
            DefaultValueFactory = _ => 8,
        };
        option.Validators.Add(result =>
        {
            // What is no number at all is the parser's to say, and asking for its value would throw.
            if (result.Tokens is [var token] && int.TryParse(token.Value, out int bits) && bits is < 2 or > 8)
                result.AddError("--bits: give 2 to 8.");
        });
        return option;
    }
}
