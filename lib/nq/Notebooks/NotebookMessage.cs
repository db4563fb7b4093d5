using System.Text.Json;
using System.Text.Json.Nodes;
using NeuronQuant.Display;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>What a parent asks of the process that runs one notebook; one line of JSON on its standard input. Any later line, or its end, means: stop.</summary>
/// <param name="Path">the notebook's full path</param>
/// <param name="Values">parameters by name</param>
/// <param name="Seconds">for each cell; null for as long as it needs</param>
internal sealed record NotebookRequest(string Path, IReadOnlyDictionary<string, string> Values, double? Seconds)
{
    public string ToLine() => JsonSerializer.Serialize(this);

    public static NotebookRequest Parse(string line) => JsonSerializer.Deserialize<NotebookRequest>(line)!;
}

/// <summary>What that process tells, a line of JSON each: which cell starts and what came of it, progress within it, and at last the end.</summary>
/// <param name="Starting">index of the cell that starts</param>
/// <param name="Ended">index of the cell that ended</param>
/// <param name="Count">its number among the cells that ran</param>
/// <param name="Outputs">its outputs, in nbformat</param>
/// <param name="Progress">how far a long call is</param>
/// <param name="Failure">where the notebook stopped</param>
/// <param name="Done">whether this is the last message</param>
internal sealed record NotebookMessage(
    int? Starting = null, int? Ended = null, int? Count = null, JsonArray? Outputs = null, ProgressReport? Progress = null, CellFailure? Failure = null, bool Done = false)
{
    public string ToLine() => JsonSerializer.Serialize(this);

    public static NotebookMessage Parse(string line) => JsonSerializer.Deserialize<NotebookMessage>(line)!;
}
