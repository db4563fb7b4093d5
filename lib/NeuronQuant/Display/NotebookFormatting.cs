using System.Text;
using Microsoft.Data.Analysis;
using Microsoft.DotNet.Interactive.Formatting;
using Plotly.NET;

namespace NeuronQuant.Display;

/// <summary>How values are shown in a cell, in every host the same: HTML for the page, and text beside it for terminals, diffs and readers without a page.</summary>
/// <remarks>
/// A chart is shown three ways at once: as plotly.js's {data, layout}, which VS Code and JupyterLab draw themselves; as a static picture in an img
/// element, which GitHub, a print and every other host show; and as text. Data frames get captions, number formats and a count of what is not shown.
/// </remarks>
public static class NotebookFormatting
{
    /// <summary>What JupyterLab and VS Code's renderers draw without a network.</summary>
    public const string PlotlyMimeType = "application/vnd.plotly.v1+json";

    /// <summary>Tells the host's formatter; a second call changes nothing.</summary>
    public static void Register()
    {
        Formatter.SetPreferredMimeTypesFor(typeof(object), HtmlFormatter.MimeType, PlainTextFormatter.MimeType);
        Formatter.SetPreferredMimeTypesFor(typeof(string), PlainTextFormatter.MimeType);
        PlotlyAssemblies.Register();
        RegisterCharts();
        RegisterFrames();
    }

    /// <summary>A static picture as an img element with the drawing in it.</summary>
    public static string ToHtml(this GenericChart chart) =>
        $"<img alt=\"{SvgCanvas.Escape(PictureData.Of(chart).Title)}\" style=\"max-width:100%\" src=\"data:image/svg+xml;base64,{Convert.ToBase64String(Encoding.UTF8.GetBytes(chart.ToSvg()))}\"/>";

    // Methods of their own: a host may find Plotly.NET only after the line above it has run.
    private static void RegisterCharts()
    {
        ChartTheme.Register();
        Formatter.Register<GenericChart>((chart, writer) => writer.Write(GenericChart.toFigureJson(chart.Fitted())), PlotlyMimeType);
        Formatter.Register<GenericChart>((chart, writer) => writer.Write(chart.ToHtml()), HtmlFormatter.MimeType);
        Formatter.Register<GenericChart>((chart, writer) => writer.Write(chart.ToText()), PlainTextFormatter.MimeType);
        Formatter.SetPreferredMimeTypesFor(typeof(GenericChart), HtmlFormatter.MimeType, PlotlyMimeType, PlainTextFormatter.MimeType);
    }

    private static void RegisterFrames()
    {
        Formatter.Register<DataFrame>((frame, writer) => writer.Write(frame.ToHtml()), HtmlFormatter.MimeType);
        Formatter.Register<DataFrame>((frame, writer) => writer.Write(frame.ToText()), PlainTextFormatter.MimeType);
        Formatter.SetPreferredMimeTypesFor(typeof(DataFrame), HtmlFormatter.MimeType, PlainTextFormatter.MimeType);
    }
}
