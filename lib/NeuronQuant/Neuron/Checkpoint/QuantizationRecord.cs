using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.Data.Analysis;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>
/// How a folder was made, kept beside its weights as neuronquant.json: the options in NxDI's spelling, so that the audit can replay them
/// and a reader can copy them into NeuronConfig. Loaders ignore the file.
/// </summary>
/// <param name="QuantizationDtype">int8, f8e4m3 or f8e5m2</param>
/// <param name="QuantizationType">per_channel_symmetric or per_tensor_symmetric</param>
/// <param name="ModulesToNotConvert">entries as NxDI takes them</param>
/// <param name="Layout">nxd or fake</param>
/// <param name="Grid">the grid on which the codes were chosen</param>
/// <param name="Method">how they were chosen: rtn (round to nearest), source (elsewhere, and taken over), or a method's name</param>
/// <param name="Source">name of the source's folder or file</param>
/// <param name="LibraryVersion">version of the library that wrote it</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record QuantizationRecord(
    string QuantizationDtype, string QuantizationType, IReadOnlyList<string> ModulesToNotConvert, string Layout, string Grid, string Method,
    string Source, string LibraryVersion)
{
    /// <summary>The file's name.</summary>
    public const string FileName = CheckpointFiles.Record;

    /// <summary>The method that needs no witness beside the weights: the audit computes it again.</summary>
    public const string RoundToNearest = "rtn";

    /// <summary>Codes and scales are the source's own where NxDI holds them, and rounded to nearest elsewhere; the audit reads them there.</summary>
    public const string OfSource = "source";

    /// <summary>Bits of the tuned modules that have fewer than 8; null when all have 8. Such a folder is for measuring: Inf2 stores 8 bits.</summary>
    public IReadOnlyDictionary<string, int>? Widths { get; init; }

    /// <summary>Tuned 8-bit integers that NxDI changes when it rounds the bf16 file again; null where it does not round, or nothing was
    /// tuned.</summary>
    public long? IntegersChanged { get; init; }

    /// <summary>The grid in numbers, where its name does not say all; null for the library's grids of 8 bits with one scale a row.</summary>
    public GridNumbers? GridNumbers { get; init; }

    /// <summary>Tensors in floating point that a method changed so that the model computes the same; null when there are none.</summary>
    public IReadOnlyList<string>? Folded { get; init; }

    /// <summary>How tuned codes were computed; null for rounding to nearest, whose codes are the same everywhere.</summary>
    public Computation? Computation { get; init; }

    /// <summary>What became of the integers of a source that was quantized before, counted while writing and not kept in the file.</summary>
    [JsonIgnore]
    public IntegerChanges? SourceIntegers { get; init; }

    private static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        WriteIndented = true,
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true,
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Skip,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    };

    /// <summary>The format of the quantized modules.</summary>
    [JsonIgnore]
    public Format Format => FormatNames.Parse(QuantizationDtype);

    /// <summary>The grid on which the codes were chosen, with its width and groups; of tuned modules each may have another width.</summary>
    [JsonIgnore]
    public Grid WholeGrid => GridNumbers is { } numbers ? numbers.ToGrid(Grid, Format) : Quantization.Grid.Parse(Grid);

    /// <summary>The granularity of the scales.</summary>
    [JsonIgnore]
    public Granularity Granularity => GranularityNames.Parse(QuantizationType);

    /// <summary>The grid, or whose the codes are.</summary>
    [JsonIgnore]
    public string Codes => Method == OfSource ? "the source's own codes and scales" : $"grid {WholeGrid}";

    /// <summary>Reads the record of a folder; null when it has none.</summary>
    /// <exception cref="CheckpointException">the file is there but is not such a record</exception>
    public static QuantizationRecord? Read(string folder)
    {
        string path = Path.Combine(folder, FileName);
        if (!File.Exists(path)) return null;
        try
        {
            var record = JsonSerializer.Deserialize<QuantizationRecord>(File.ReadAllText(path), Options) ?? throw new JsonException("it is null");
            _ = (record.Format, record.Granularity, record.WholeGrid,
                record.Layout is "nxd" or "fake" ? 0 : throw new ArgumentException($"layout '{record.Layout}'"));
            return record;
        }
        catch (Exception error) when (error is JsonException or ArgumentException)
        {
            throw new CheckpointException(CheckpointFailure.RecordInvalid, path, null, error.Message, "the record that nq quantize writes",
                "Delete it to audit the folder without a record.");
        }
    }

    /// <summary>What NeuronConfig must be given to load the folder.</summary>
    public DataFrame ToDataFrame() => new FrameRows("For NeuronConfig", "option", "value")
        .Row("quantized", "True")
        .Row("quantization_dtype", QuantizationDtype)
        .Row("quantization_type", QuantizationType)
        .Row("modules_to_not_convert", $"[{string.Join(", ", ModulesToNotConvert)}]");

    /// <summary>The table as HTML.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <summary>The table as text.</summary>
    public override string ToString() => ToDataFrame().ToText();

    /// <summary>Writes the record into a folder.</summary>
    public void Write(string folder) => File.WriteAllText(Path.Combine(folder, FileName), JsonSerializer.Serialize(this, Options) + "\n");
}
