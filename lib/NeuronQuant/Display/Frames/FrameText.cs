using System.Globalization;
using System.Text;
using Microsoft.Data.Analysis;

namespace NeuronQuant.Display;

/// <summary>Writes a data frame as HTML and as aligned text, always in the invariant culture.</summary>
/// <remarks>The HTML has no colour of its own except a transparent tint, so that it is readable on a light and on a dark page.</remarks>
internal static class FrameText
{
    /// <summary>How many rows are shown before "… N more".</summary>
    public const int Most = 20;

    private const string CellStyle = "padding:2px 10px;";

    public static string Html(DataFrame frame, FrameLook look, int most)
    {
        var html = new StringBuilder("<table style=\"border-collapse:collapse;font-size:13px\">\n");
        if (look.Title.Length > 0) html.Append($"<caption style=\"text-align:left;font-weight:600;{CellStyle}\">").Append(Escape(look.Title)).Append("</caption>\n");
        html.Append("<thead><tr style=\"border-bottom:1px solid #888\">");
        foreach (var column in frame.Columns) html.Append($"<th style=\"{CellStyle}{Side(column)}\">").Append(Escape(column.Name)).Append("</th>");
        html.Append("</tr></thead>\n<tbody>\n");
        for (int row = 0; row < Shown(frame, most); row++)
        {
            html.Append(look.Marked.Contains(row) ? "<tr style=\"background:rgba(230,159,0,0.25);font-weight:600\">" : "<tr>");
            for (int i = 0; i < frame.Columns.Count; i++)
                html.Append($"<td style=\"{CellStyle}{Side(frame.Columns[i])}\">").Append(Escape(Text(frame.Columns[i][row], look.Formats[i]))).Append("</td>");
            html.Append("</tr>\n");
        }
        if (More(frame, most) is { } more) html.Append($"<tr><td colspan=\"{frame.Columns.Count}\" style=\"{CellStyle}text-align:left\">{more}</td></tr>\n");
        return html.Append("</tbody></table>").ToString();
    }

    public static string Plain(DataFrame frame, FrameLook look, int most)
    {
        int rows = Shown(frame, most);
        string[][] cells = [.. frame.Columns.Select((column, i) => (string[])[column.Name, .. Enumerable.Range(0, rows).Select(row => OneLine(Text(column[row], look.Formats[i])))])];
        int[] widths = [.. cells.Select(column => column.Max(cell => cell.Length))];
        string Line(string mark, Func<int, string> cell) => (mark + string.Join("  ", frame.Columns.Select((column, i) => column.IsNumericColumn() ? cell(i).PadLeft(widths[i]) : cell(i).PadRight(widths[i])))).TrimEnd();
        // The mark takes a column of its own only where some row has it.
        var (plain, marked) = look.Marked.Count > 0 ? ("  ", "* ") : ("", "");
        var lines = new List<string>();
        if (look.Title.Length > 0) lines.Add(look.Title);
        lines.Add(Line(plain, i => cells[i][0]));
        lines.Add(Line(plain, i => new string('-', widths[i])));
        for (int row = 0; row < rows; row++) lines.Add(Line(look.Marked.Contains(row) ? marked : plain, i => cells[i][row + 1]));
        if (More(frame, most) is { } more) lines.Add(plain + more);
        return string.Join('\n', lines);
    }

    private static string Text(object? value, string? format) => (value, format) switch
    {
        (null, _) => "",
        (double number, null) => Numbers.Short(number),
        (float number, null) => Numbers.Short(number),
        (bool flag, _) => flag ? "yes" : "no",
        (IFormattable number, _) => number.ToString(format, CultureInfo.InvariantCulture),
        _ => value.ToString() ?? "",
    };

    private static string Side(DataFrameColumn column) => column.IsNumericColumn() ? "text-align:right;white-space:nowrap" : "text-align:left";

    private static int Shown(DataFrame frame, int most) => (int)Math.Min(frame.Rows.Count, most);

    private static string? More(DataFrame frame, int most) => frame.Rows.Count > most ? $"... {frame.Rows.Count - most} more" : null;

    private static string OneLine(string text) => text.ReplaceLineEndings(" ");

    private static string Escape(string text) => SvgCanvas.Escape(text);
}
