using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace NeuronQuant.Display;

/// <summary>Writes a table as HTML, aligned text, Markdown or JSON.</summary>
internal static class TableText
{
    private const string CellStyle = "padding:2px 10px;";

    public static string Html(Table table)
    {
        var html = new StringBuilder("<table style=\"border-collapse:collapse;font-size:13px\">\n");
        if (table.Title.Length > 0)
            html.Append($"<caption style=\"text-align:left;font-weight:600;{CellStyle}\">").Append(Escape(table.Title)).Append("</caption>\n");
        html.Append("<thead><tr style=\"border-bottom:1px solid #888\">");
        for (var c = 0; c < table.Columns.Count; c++)
            html.Append($"<th style=\"{CellStyle}{Side(table, c).Replace(";white-space:nowrap", "", StringComparison.Ordinal)}\">").Append(Escape(table.Columns[c].Name)).Append("</th>");
        html.Append("</tr></thead>\n<tbody>\n");
        for (var r = 0; r < Shown(table); r++) HtmlRow(html, table, r);
        if (More(table) is { } more) html.Append($"<tr><td colspan=\"{table.Columns.Count}\" style=\"{CellStyle}text-align:left\">{more}</td></tr>\n");
        return html.Append("</tbody></table>").ToString();
    }

    public static string Plain(Table table)
    {
        var columns = Enumerable.Range(0, table.Columns.Count).ToArray();
        var widths = columns.Select(c => Enumerable.Range(0, Shown(table)).Select(r => OneLine(table.Text(r, c)).Length)
            .Append(table.Columns[c].Name.Length).Max()).ToArray();
        string Line(string mark, Func<int, string> cell) =>
            (mark + string.Join("  ", columns.Select(c => table.IsRight(c) ? cell(c).PadLeft(widths[c]) : cell(c).PadRight(widths[c])))).TrimEnd();
        var lines = new List<string>();
        // The mark takes a column of its own only where some row has it.
        var (plain, marked) = table.Highlighted.Count > 0 ? ("  ", "* ") : ("", "");
        if (table.Title.Length > 0) lines.Add(table.Title);
        lines.Add(Line(plain, c => table.Columns[c].Name));
        lines.Add(Line(plain, c => new string('-', widths[c])));
        for (var r = 0; r < Shown(table); r++) lines.Add(Line(table.Highlighted.Contains(r) ? marked : plain, c => OneLine(table.Text(r, c))));
        if (More(table) is { } more) lines.Add(plain + more);
        return string.Join('\n', lines);
    }

    public static string Markdown(Table table)
    {
        var columns = Enumerable.Range(0, table.Columns.Count).ToArray();
        string Line(IEnumerable<string> cells) => "| " + string.Join(" | ", cells) + " |";
        static string Cell(string text) => OneLine(text).Replace("\\", "\\\\", StringComparison.Ordinal).Replace("|", "\\|", StringComparison.Ordinal)
            .Replace("<", "&lt;", StringComparison.Ordinal);
        var lines = new List<string>();
        if (table.Title.Length > 0) lines.AddRange([$"**{Cell(table.Title)}**", ""]);
        lines.Add(Line(columns.Select(c => Cell(table.Columns[c].Name))));
        lines.Add(Line(columns.Select(c => table.IsRight(c) ? "---:" : "---")));
        for (var r = 0; r < Shown(table); r++)
            lines.Add(Line(columns.Select(c => Cell(table.Text(r, c)))
                .Select(text => table.Highlighted.Contains(r) && text.Length > 0 ? $"**{text}**" : text)));
        if (More(table) is { } more) lines.AddRange(["", more]);
        return string.Join('\n', lines);
    }

    public static string Json(Table table)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartArray();
            for (var r = 0; r < table.Rows.Count; r++)
            {
                json.WriteStartObject();
                for (var c = 0; c < table.Columns.Count; c++)
                {
                    json.WritePropertyName(table.Columns[c].Name);
                    WriteValue(json, table, r, c);
                }
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        return Encoding.UTF8.GetString(stream.ToArray());
    }

    private static void WriteValue(Utf8JsonWriter json, Table table, int row, int column)
    {
        switch (table.Rows[row][column])
        {
            case null: json.WriteNullValue(); break;
            case bool value: json.WriteBooleanValue(value); break;
            case double value when !double.IsFinite(value): json.WriteNullValue(); break;
            case float value when !float.IsFinite(value): json.WriteNullValue(); break;
            case Half value when !Half.IsFinite(value): json.WriteNullValue(); break;
            case { } value when Table.IsNumber(value): json.WriteRawValue(JsonSerializer.Serialize(value)); break;
            default: json.WriteStringValue(table.Text(row, column)); break;
        }
    }

    private static void HtmlRow(StringBuilder html, Table table, int row)
    {
        html.Append(table.Highlighted.Contains(row) ? "<tr style=\"background:rgba(230,159,0,0.25);font-weight:600\">" : "<tr>");
        for (var c = 0; c < table.Columns.Count; c++)
            html.Append($"<td style=\"{CellStyle}{Side(table, c)}\">").Append(Escape(table.Text(row, c))).Append("</td>");
        html.Append("</tr>\n");
    }

    private static string Side(Table table, int column) => table.IsRight(column) ? "text-align:right;white-space:nowrap" : "text-align:left";

    private static int Shown(Table table) => Math.Min(table.Rows.Count, table.MaxRows);

    private static string? More(Table table) => table.Rows.Count > table.MaxRows ? $"... {table.Rows.Count - table.MaxRows} more" : null;

    private static string OneLine(string text) => text.ReplaceLineEndings(" ");

    private static string Escape(string text) => SvgCanvas.Escape(text);
}
