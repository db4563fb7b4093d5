using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>
/// A grid in numbers, for the record of a folder whose grid's name does not say all: fewer than 8 bits, groups, or a grid of a reader's own.
/// </summary>
/// <param name="Bits">width of a code</param>
/// <param name="Divisor">what the extreme, or the range, is divided by</param>
/// <param name="Minimum">the smallest code</param>
/// <param name="Maximum">the largest code</param>
/// <param name="Floor">the smallest scale</param>
/// <param name="Signed">whether the scale takes the sign of the extreme</param>
/// <param name="Asymmetric">whether scales come with zero points</param>
public sealed record GridNumbers(int Bits, float Divisor, int Minimum, int Maximum, float Floor, bool Signed, bool Asymmetric)
{
    /// <summary>Columns that share a scale; null for a row.</summary>
    public int? Group { get; init; }

    /// <summary>The numbers of a grid; null for one that its name says whole.</summary>
    public static GridNumbers? Of(Grid grid) => grid.Bits == 8 && IsOfLibrary(grid) ? null
        : new GridNumbers(grid.Bits, grid.Divisor, grid.Minimum, grid.Maximum, grid.Floor, grid.Signed, grid.HasZeroPoint) { Group = grid.GroupSize };

    /// <summary>The grid again.</summary>
    /// <exception cref="ArgumentException">the numbers are no grid</exception>
    public Grid ToGrid(string name, Format format)
    {
        var grid = format == Format.Int8 ? new Grid(name, Bits, Divisor, Minimum, Maximum, Floor, Signed, Asymmetric) : Grid.Parse(name);
        return Group is { } size ? grid.InGroups(size) : grid;
    }

    /// <summary>True when name and width say all: the grid is the library's, without groups.</summary>
    internal static bool IsOfLibrary(Grid grid)
    {
        try
        {
            return Grid.Parse(grid.Name, grid.Bits) == grid;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }
}
