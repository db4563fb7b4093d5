using Microsoft.Data.Analysis;
using NeuronQuant.Display;

namespace NeuronQuant;

/// <summary>What <see cref="Workbook.Start"/> found.</summary>
/// <param name="Version">Of the library.</param>
/// <param name="Packages">What it is made of.</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record WorkbookStatus(string Version, IReadOnlyList<Package> Packages)
{
    /// <summary>What is wrong, and what to do; empty when nothing is.</summary>
    public string Advice => string.Join(" ", Packages.Where(package => package.Problem is not null).Select(package => package.Problem));

    /// <summary>One row for each package.</summary>
    public DataFrame ToDataFrame() => Frames.From($"NeuronQuant {Version}", Packages,
        ("package", package => package.Name), ("version", package => package.State), ("does", package => package.Purpose));

    /// <summary>The table and the advice as HTML.</summary>
    public string ToHtml() => Advice.Length == 0 ? ToDataFrame().ToHtml() : $"{ToDataFrame().ToHtml()}\n<p>{System.Net.WebUtility.HtmlEncode(Advice)}</p>";

    /// <summary>The table and the advice as text.</summary>
    public override string ToString() => Advice.Length == 0 ? $"{ToDataFrame().ToText()}" : $"{ToDataFrame().ToText()}\n{Advice}";
}

/// <summary>What a notebook's first cell starts, and how its host reaches the library's long calls.</summary>
/// <remarks>
/// A reference by path loads no extension in any host, so the library is started by a call. What it shows names no path and no time: the
/// output is kept in the notebook.
/// </remarks>
public static class Workbook
{
    private static CancellationToken? _given;

    /// <summary>Whether a program runs the notebook, as <c>nq run</c> does, and nobody sits before it. Set by that program.</summary>
    public static bool IsHeadless { get; set; }

    /// <summary>
    /// Ends the library's long calls: with the run, when a program set it, else with the host's stop button or Jupyter's interrupt.
    /// </summary>
    public static CancellationToken Cancellation
    {
        get => _given ?? KernelInterrupt.Token;
        set => _given = value.CanBeCanceled ? value : null;
    }

    /// <summary>Set by the program that runs a notebook: where progress is shown, beside the notebook and never in its outputs.</summary>
    public static Action<ProgressReport>? ProgressSink { get; set; }

    /// <summary>A progress for a long call in a notebook: shown by the host, else in place in the running cell; ended with the run.</summary>
    public static Progress Progress(long total) => new(total, ProgressSink ?? (IsHeadless ? null : LiveProgress.Open()), Cancellation);

    /// <summary>Makes the packages ready in this notebook, and says which versions are in use and what is wrong with any of them.</summary>
    public static WorkbookStatus Start()
    {
        NotebookFormatting.Register();
        KernelWarnings.Register();
        if (!IsHeadless) KernelInterrupt.Register();
        return new WorkbookStatus(Manifest.LibraryVersion, Packages.All());
    }
}
