using System.Globalization;
using System.Net;
using Microsoft.DotNet.Interactive;

namespace NeuronQuant.Display;

/// <summary>A progress report as a notebook shows it. When the work is done it says so without a time, since it stays in the cell's output.</summary>
/// <param name="Report">how far the work is</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record ProgressView(ProgressReport Report)
{
    /// <summary>A bar and the report's words; "48/48" at the end.</summary>
    public string ToHtml() => Report.Done >= Report.Total ? ToString()
        : string.Create(CultureInfo.InvariantCulture, $"<progress max=\"{Report.Total}\" value=\"{Report.Done}\"></progress> {WebUtility.HtmlEncode(Report.ToString())}");

    /// <summary>The report's words; "48/48" at the end.</summary>
    public override string ToString() => Report.Done >= Report.Total ? string.Create(CultureInfo.InvariantCulture, $"{Report.Done}/{Report.Total}") : Report.ToString();
}

/// <summary>One calculation's progress in .NET Interactive: shown once, then updated in place.</summary>
/// <remarks>
/// Reports come from whatever thread does the work. An update belongs to the cell that began it, which the host knows by the flow of execution,
/// so that flow is kept and every update is made inside it.
/// </remarks>
internal sealed class LiveProgress
{
    private readonly Lock _gate = new();
    private readonly ExecutionContext? _flow = ExecutionContext.Capture();
    private Action<ProgressView>? _update;

    /// <summary>A sink for the progress of the cell that runs now; null outside of a cell.</summary>
    public static Action<ProgressReport>? Open() => KernelInvocationContext.Current is null ? null : new LiveProgress().Show;

    private void Show(ProgressReport report)
    {
        lock (_gate)
            if (_flow is null) Write(report);
            else ExecutionContext.Run(_flow.CreateCopy(), state => Write((ProgressReport)state!), report);
    }

    private void Write(ProgressReport report)
    {
        var view = new ProgressView(report);
        if (_update is not null) _update(view);
        else _update = First(view);
    }

    private static Action<ProgressView>? First(ProgressView view) =>
        KernelInvocationContext.Current is { } context ? context.Display(view, "text/html").Update : null;
}
