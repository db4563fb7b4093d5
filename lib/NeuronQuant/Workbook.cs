using System.Reflection;
using NeuronQuant.Display;

namespace NeuronQuant;

/// <summary>An optional package and what it is for.</summary>
/// <param name="Package">Its name.</param>
/// <param name="Purpose">What it adds.</param>
/// <param name="Without">What happens when it is absent.</param>
/// <param name="InUse">Whether NeuronQuant.Interop and the package's assembly lie beside the library.</param>
public sealed record Adapter(string Package, string Purpose, string Without, bool InUse);

/// <summary>What <see cref="Workbook.Start"/> found.</summary>
/// <param name="Version">Of the library.</param>
/// <param name="HasInterop">Whether NeuronQuant.Interop.dll lies beside the library.</param>
/// <param name="Adapters">Every optional package.</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html"])]
public sealed record WorkbookStatus(string Version, bool HasInterop, IReadOnlyList<Adapter> Adapters)
{
    /// <summary>How to get what is absent.</summary>
    public string Advice => Adapters.All(adapter => adapter.InUse)
        ? "Every adapter is in use."
        : "Everything works without them. The adapters come in an assembly of their own, NeuronQuant.Interop, which this version does not contain yet.";

    /// <summary>One row for each optional package.</summary>
    public Table ToTable() => Table.From($"NeuronQuant {Version}", Adapters,
        ("package", adapter => adapter.Package), ("adapter", adapter => adapter.InUse ? "in use" : "absent"),
        ("adds", adapter => adapter.Purpose), ("without it", adapter => adapter.Without));

    /// <summary>The table and the advice as HTML.</summary>
    public string ToHtml() => $"{ToTable().ToHtml()}\n<p>{Advice}</p>";

    /// <summary>The table and the advice as text.</summary>
    public override string ToString() => $"{ToTable()}\n{Advice}";
}

/// <summary>What a notebook's first cell starts, and how its host reaches the library's long calls.</summary>
/// <remarks>
/// A reference by path loads no extension in any host, so the library is started by a call. What it shows names no path and no time: the
/// output is kept in the notebook. Whether an adapter is in use is decided by looking beside the library, never by a setting.
/// </remarks>
public static class Workbook
{
    private const string InteropFile = "NeuronQuant.Interop.dll";

    private static readonly (string Package, string File, string Purpose, string Without)[] Packages =
    [
        ("TorchSharp", "TorchSharp.dll", "tuning of blocks on a GPU", "the managed kernels tune on the CPU"),
        ("pythonnet", "Python.Runtime.dll", "Python inside the process", "Python runs as a child process"),
        ("Plotly.NET", "Plotly.NET.dll", "figure.ToPlotlyNet()", "figures are SVG and Plotly JSON"),
        ("Microsoft.Data.Analysis", "Microsoft.Data.Analysis.dll", "table.ToDataFrame()", "tables are rows and JSON"),
        ("Microsoft.DotNet.Interactive", "Microsoft.DotNet.Interactive.dll", "outputs that update in place", "outputs are shown once"),
    ];

    /// <summary>Set by the program that runs a notebook: ends the library's long calls when the run is cancelled or out of time.</summary>
    public static CancellationToken Cancellation { get; set; }

    /// <summary>Set by the program that runs a notebook: where progress is shown, beside the notebook and never in its outputs.</summary>
    public static Action<ProgressReport>? ProgressSink { get; set; }

    /// <summary>A progress for a long call in a notebook: shown by the host, ended with the run.</summary>
    public static Progress Progress(long total) => new(total, ProgressSink, Cancellation);

    /// <summary>Says which version and which adapters are in use, and how to get the others.</summary>
    public static WorkbookStatus Start() => Inspect(Path.GetDirectoryName(Assembly.GetExecutingAssembly().Location) ?? "");

    /// <summary>What <see cref="Start"/> says of a library that lies in this folder.</summary>
    internal static WorkbookStatus Inspect(string folder)
    {
        var hasInterop = File.Exists(Path.Combine(folder, InteropFile));
        var adapters = Packages.Select(package => new Adapter(package.Package, package.Purpose, package.Without,
            hasInterop && File.Exists(Path.Combine(folder, package.File))));
        return new WorkbookStatus(Manifest.LibraryVersion, hasInterop, [.. adapters]);
    }
}
