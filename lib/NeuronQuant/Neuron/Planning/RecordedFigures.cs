using System.Text.Json;
using Microsoft.Data.Analysis;
using NeuronQuant.Display;

namespace NeuronQuant.Neuron;

/// <summary>One row of a recorded table; a value that was not reported is null.</summary>
/// <param name="Method">what was done to the weights</param>
/// <param name="Gsm8kPercent">GSM8K exact match, percent</param>
/// <param name="WeightsGb">size of the weights, 1e9 bytes</param>
/// <param name="PeakGb">peak device memory at inference, 1e9 bytes</param>
public sealed record RecordedRow(string Method, double Gsm8kPercent, double? WeightsGb, double? PeakGb);

/// <summary>
/// Figures that somebody else recorded, read from data/blog/figures.json. They are shown as recorded, beside what this workbook computes,
/// and are never mixed with it.
/// </summary>
/// <param name="Source">who recorded them</param>
/// <param name="Model">on which model</param>
/// <param name="ModulesToNotConvert">the exclusion list that was used</param>
/// <param name="Rows">the table</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record RecordedFigures(string Source, string Model, IReadOnlyList<string> ModulesToNotConvert, IReadOnlyList<RecordedRow> Rows)
{
    private static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        RespectRequiredConstructorParameters = true,
        RespectNullableAnnotations = true,
    };

    /// <summary>Reads a figures file.</summary>
    /// <exception cref="InvalidDataException">the file is not such a record</exception>
    public static RecordedFigures Load(string path)
    {
        try
        {
            return JsonSerializer.Deserialize<RecordedFigures>(File.ReadAllText(path), Options) ?? throw new JsonException("it is null");
        }
        catch (JsonException error)
        {
            throw new InvalidDataException(
                $"{Path.GetFileName(path)} is not a record of figures ({error.Message}); compare it with data/blog/figures.json.", error);
        }
    }

    /// <summary>The blog's figures, from the copy of data/blog/figures.json that the library carries.</summary>
    public static RecordedFigures Blog()
    {
        using var stream = typeof(RecordedFigures).Assembly.GetManifestResourceStream("figures.json")!;
        return JsonSerializer.Deserialize<RecordedFigures>(stream, Options)!;
    }

    /// <summary>The row of a method.</summary>
    /// <exception cref="ArgumentException">no row has that name</exception>
    public RecordedRow this[string method] => Rows.FirstOrDefault(row => row.Method == method)
        ?? throw new ArgumentException($"No recorded row is called '{method}'. There are: {string.Join(", ", Rows.Select(row => row.Method))}.",
        nameof(method));

    /// <summary>The table, with each change against the first row.</summary>
    public DataFrame ToDataFrame() => Frames.From($"{Model} — recorded, not measured here ({Source})", Rows,
        ("method", row => row.Method),
        (new Column("GSM8K %", "0.0"), row => row.Gsm8kPercent),
        (new Column("change %", "+0.0;-0.0;0"), row => 100 * (row.Gsm8kPercent / Rows[0].Gsm8kPercent - 1)),
        (new Column("weights GB", "0.0"), row => row.WeightsGb),
        (new Column("peak GB", "0.0"), row => row.PeakGb));

    /// <summary>The table as HTML.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <summary>The table as text.</summary>
    public override string ToString() => ToDataFrame().ToText();
}
