using System.Collections;
using System.Globalization;
using System.Net;
using System.Reflection;
using System.Text;
using System.Text.Json.Nodes;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>Turns a value into the mime types that a notebook stores.</summary>
/// <remarks>
/// In this order: the convention (an attribute named TypeFormatterSourceAttribute on the type, whatever assembly it is from), a public
/// <c>ToHtml()</c>, a sequence (its first 20 items), <c>ToString()</c>. Strings are text/plain, everything else text/html; text/plain is
/// always there beside it, which Jupyter asks for and a terminal needs.
/// </remarks>
internal static class ValueFormatter
{
    private const int MostItems = 20;
    private const string Html = "text/html";
    private const string Plain = "text/plain";

    /// <summary>The value by mime type, sorted by name as Jupyter saves it; only those asked for, if any are.</summary>
    public static JsonObject Format(object? value, params string[] mimeTypes)
    {
        var all = new SortedDictionary<string, string>(StringComparer.Ordinal) { [Plain] = Text(value) };
        if (value is not string)
            foreach (var (mimeType, text) in Rich(value)) all[mimeType] = text;
        var data = new JsonObject();
        foreach (var (mimeType, text) in all.Where(pair => mimeTypes.Length == 0 || mimeTypes.Contains(pair.Key)))
            data[mimeType] = mimeType.EndsWith("json", StringComparison.Ordinal) ? JsonNode.Parse(text) : Cell.Split(text);
        // A mime type that no formatter knows gets the text, as the real engine does.
        foreach (var mimeType in mimeTypes.Where(mimeType => !all.ContainsKey(mimeType))) data[mimeType] = Cell.Split(Text(value));
        return data;
    }

    private static IEnumerable<(string MimeType, string Text)> Rich(object? value)
    {
        if (value is null) return [(Html, Preformatted("<null>"))];
        var conventional = ByConvention(value);
        if (conventional.Count > 0) return conventional;
        if (value.GetType().GetMethod("ToHtml", Type.EmptyTypes) is { IsStatic: false } toHtml && toHtml.ReturnType == typeof(string))
            return [(Html, (string?)Invoke(toHtml, value) ?? "")];
        if (value is IEnumerable items && !IsScalar(value)) return [(Html, Sequence(items))];
        return [(Html, Preformatted(Text(value)))];
    }

    private static List<(string, string)> ByConvention(object value)
    {
        var attribute = value.GetType().GetCustomAttributes(true).FirstOrDefault(a => a.GetType().Name == "TypeFormatterSourceAttribute");
        if (attribute?.GetType().GetProperty("FormatterSourceType")?.GetValue(attribute) is not Type sourceType) return [];
        var preferred = attribute.GetType().GetProperty("PreferredMimeTypes")?.GetValue(attribute) as string[];
        var source = Activator.CreateInstance(sourceType)!;
        var formatters = sourceType.GetMethod("CreateTypeFormatters") is { } create ? Invoke(create, source) as IEnumerable : null;
        var found = new List<(string, string)>();
        foreach (var formatter in formatters ?? Array.Empty<object>())
        {
            var type = formatter.GetType();
            var mimeType = (string?)type.GetProperty("MimeType")?.GetValue(formatter);
            var format = type.GetMethod("Format", [typeof(object), typeof(TextWriter)]);
            if (mimeType is null || format is null || (preferred is { Length: > 0 } && !preferred.Contains(mimeType))) continue;
            if (type.GetProperty("Type")?.GetValue(formatter) is Type handled && !handled.IsInstanceOfType(value)) continue;
            using var writer = new StringWriter(CultureInfo.InvariantCulture);
            if (Invoke(format, formatter, value, writer) is true) found.Add((mimeType, writer.ToString()));
        }
        return found;
    }

    private static object? Invoke(MethodInfo method, object target, params object?[] arguments)
    {
        try
        {
            return method.Invoke(target, arguments);
        }
        catch (TargetInvocationException exception) when (exception.InnerException is not null)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(exception.InnerException);
            throw;
        }
    }

    private static string Text(object? value) => value switch
    {
        null => "<null>",
        string text => text,
        IEnumerable items when !IsScalar(value) => Listing(items),
        IFormattable formattable => formattable.ToString(null, CultureInfo.InvariantCulture),
        _ => value.ToString() ?? "",
    };

    /// <summary>Whether a type writes itself: its own ToString is worth more than a listing of its items.</summary>
    private static bool IsScalar(object value) =>
        value is string || (value.GetType().GetMethod("ToString", Type.EmptyTypes) is { } method && method.DeclaringType is { } type
            && type != typeof(object) && type != typeof(ValueType) && !IsFramework(type));

    private static bool IsFramework(Type type) => type.Namespace?.StartsWith("System", StringComparison.Ordinal) == true;

    private static string Listing(IEnumerable items)
    {
        var (first, more) = Take(items);
        var texts = first.Select(Text).Concat(more is null ? [] : [more]);
        return first.All(item => item is null or string || item.GetType().IsPrimitive || item is decimal)
            ? "[ " + string.Join(", ", texts) + " ]"
            : string.Join('\n', texts);
    }

    private static string Sequence(IEnumerable items)
    {
        var (first, more) = Take(items);
        if (first.All(item => item is null or string || item.GetType().IsPrimitive || item is decimal))
            return Preformatted("[ " + string.Join(", ", first.Select(Text).Concat(more is null ? [] : [more])) + " ]");
        var html = new StringBuilder("<table><thead><tr><th>index</th><th>value</th></tr></thead><tbody>\n");
        for (var i = 0; i < first.Count; i++)
            html.Append(CultureInfo.InvariantCulture, $"<tr><td>{i}</td><td>")
                .Append(Rich(first[i]).FirstOrDefault(r => r.MimeType == Html).Text ?? Preformatted(Text(first[i]))).Append("</td></tr>\n");
        if (more is not null) html.Append("<tr><td colspan=\"2\">").Append(more).Append("</td></tr>\n");
        return html.Append("</tbody></table>").ToString();
    }

    private static (List<object?> First, string? More) Take(IEnumerable items)
    {
        var first = new List<object?>();
        var rest = 0;
        foreach (var item in items)
        {
            if (first.Count < MostItems) first.Add(item);
            else if (items is ICollection collection) return (first, $"... ({collection.Count - MostItems} more)");
            // An endless sequence must not hang the cell.
            else if (++rest > 1000) return (first, "... (more)");
        }
        return (first, rest > 0 ? $"... ({rest} more)" : null);
    }

    private static string Preformatted(string text) => "<pre>" + WebUtility.HtmlEncode(text) + "</pre>";
}
