using System.Collections;

namespace NeuronQuant.Display;

/// <summary>A sentence about what was just measured, and whether it holds.</summary>
/// <param name="Holds">computed from the same values as the figure that it speaks of</param>
/// <param name="Sentence">what is claimed, with its numbers</param>
public sealed record Claim(bool Holds, string Sentence)
{
    /// <inheritdoc/>
    public override string ToString() => $"{(Holds ? "holds:" : "does NOT hold here:")} {Sentence}";
}

/// <summary>
/// The statements of a lesson beside the values that they rest on. A lesson is read with its own model, and run with others: there a statement may
/// be false, and then the cell says so, where prose would go on claiming it.
/// </summary>
/// <example><code>new Claims { { depth > type, $"depth explains {depth:P0}, type {type:P0}" } }</code></example>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed class Claims : IEnumerable<Claim>
{
    private readonly List<Claim> _all = [];

    /// <summary>Adds a statement.</summary>
    /// <param name="holds">whether it is true of the values at hand</param>
    /// <param name="sentence">the statement with its numbers</param>
    public void Add(bool holds, string sentence) => _all.Add(new Claim(holds, sentence));

    /// <summary>A line for each, with a coloured edge.</summary>
    public string ToHtml() => string.Join("\n", _all.Select(claim =>
        $"<p style=\"border-left:4px solid {(claim.Holds ? "#2a9d5c" : "#c8553d")};padding:2px 10px\">{System.Net.WebUtility.HtmlEncode(claim.ToString())}</p>"));

    /// <inheritdoc/>
    public override string ToString() => string.Join('\n', _all);

    /// <inheritdoc/>
    public IEnumerator<Claim> GetEnumerator() => _all.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
