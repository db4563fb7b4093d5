using NeuronQuant.Display;

namespace NeuronQuant;

/// <summary>What <see cref="Workbook.Start"/> found.</summary>
/// <param name="Version">Of the library.</param>
/// <param name="Adapters">Every optional package.</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html"])]
public sealed record WorkbookStatus(string Version, IReadOnlyList<Adapter> Adapters)
{
    /// <summary>How to get what is absent.</summary>
    public string Advice => string.Join(" ", Damaged.Append(Missing).Where(sentence => sentence.Length > 0));

    /// <summary>One row for each optional package.</summary>
    public Table ToTable() => Table.From($"NeuronQuant {Version}", Adapters,
        ("package", adapter => adapter.Package), ("adapter", adapter => adapter.State),
        ("adds", adapter => adapter.Purpose), ("without it", adapter => adapter.Without));

    /// <summary>The table and the advice as HTML.</summary>
    public string ToHtml() => $"{ToTable().ToHtml()}\n<p>{Advice}</p>";

    /// <summary>The table and the advice as text.</summary>
    public override string ToString() => $"{ToTable()}\n{Advice}";

    private IEnumerable<string> Damaged => Adapters.Where(adapter => adapter.Problem is not null).Select(adapter => $"{adapter.Package}: {adapter.Problem}");

    private string Missing
    {
        get
        {
            string[] absent = [.. Adapters.Where(adapter => !adapter.InUse && adapter.Problem is null).Select(adapter => adapter.Package)];
            if (absent.Length == 0) return Damaged.Any() ? "" : "Every adapter is in use.";
            return $"Everything works without {(absent.Length == Adapters.Count ? "them" : string.Join(", ", absent))}. "
                + "To get what is absent, where the registry has the packages: dotnet build -c Release lib/NeuronQuant.Interop (see README.md, Adapters).";
        }
    }
}

/// <summary>What a notebook's first cell starts, and how its host reaches the library's long calls.</summary>
/// <remarks>
/// A reference by path loads no extension in any host, so the library is started by a call. What it shows names no path and no time: the
/// output is kept in the notebook.
/// </remarks>
public static class Workbook
{
    /// <summary>Set by the program that runs a notebook: ends the library's long calls when the run is cancelled or out of time.</summary>
    public static CancellationToken Cancellation { get; set; }

    /// <summary>Set by the program that runs a notebook: where progress is shown, beside the notebook and never in its outputs.</summary>
    public static Action<ProgressReport>? ProgressSink { get; set; }

    /// <summary>Set by the adapter for .NET Interactive: makes a sink that updates in place in the running cell, or null outside of one.</summary>
    public static Func<Action<ProgressReport>?>? ProgressDisplay { get; set; }

    /// <summary>A progress for a long call in a notebook: shown by the host, ended with the run.</summary>
    public static Progress Progress(long total) => new(total, ProgressSink ?? ProgressDisplay?.Invoke(), Cancellation);

    /// <summary>Says which version and which adapters are in use, and how to get the others.</summary>
    public static WorkbookStatus Start() => new(Manifest.LibraryVersion, Adapters.All);
}
