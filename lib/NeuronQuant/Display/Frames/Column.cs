namespace NeuronQuant.Display;

/// <summary>One column of a data frame that is to be made.</summary>
/// <param name="Name">Its heading, with the unit.</param>
/// <param name="Format">A .NET number format such as "0.000"; null shows four significant digits of a fraction and all digits of an integer.</param>
public sealed record Column(string Name, string? Format = null)
{
    /// <summary>A column with this heading and nothing else said.</summary>
    public static implicit operator Column(string name) => new(name);
}
