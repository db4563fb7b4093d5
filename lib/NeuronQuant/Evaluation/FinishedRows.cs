using System.Text.Json;
using System.Text.Json.Serialization;

namespace NeuronQuant.Evaluation;

/// <summary>Rows of a comparison that are finished, in a file, so that the same comparison goes on where it ended instead of beginning again.</summary>
/// <remarks>
/// The file says in words what its rows are of: model and weights, grid, questions, texts, seed. Rows of anything else are refused, since a table of two
/// settings would compare nothing. Which methods the table has is no part of it: a row that is added later joins those that are there. The file is
/// replaced as a whole after each row, so it is either the old one or the new one.
/// </remarks>
public sealed class FinishedRows
{
    private static readonly JsonSerializerOptions Options = new()
    {
        IgnoreReadOnlyProperties = true,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
        WriteIndented = true,
    };

    private readonly string _path;
    private readonly Content _content;

    private FinishedRows(string path, Content content) => (_path, _content) = (path, content);

    /// <summary>The rows of a file, or none where there is no file yet.</summary>
    /// <param name="path">the file; its folder must exist when the first row is added</param>
    /// <param name="settings">what the rows are of, in words and digests, one to a line</param>
    /// <exception cref="EvaluationException">the file is damaged, or its rows are of other settings</exception>
    public static FinishedRows Open(string path, IReadOnlyList<string> settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        if (!File.Exists(path)) return new FinishedRows(path, new Content([.. settings], []));
        var found = Read(path);
        if (!found.Settings.SequenceEqual(settings))
            throw new EvaluationException(EvaluationFailure.SamplesStale, path,
                $"rows of {string.Join("; ", found.Settings.Except(settings).DefaultIfEmpty("fewer settings"))}",
                string.Join("; ", settings.Except(found.Settings).DefaultIfEmpty("fewer settings")), "Name another file, or remove this one to begin again.");
        return new FinishedRows(path, found);
    }

    /// <summary>The finished row of that name, or null.</summary>
    public ComparedMethod? Find(string name) => _content.Rows.Find(row => row.Name == name);

    /// <summary>Keeps a row.</summary>
    public void Add(ComparedMethod row)
    {
        _content.Rows.Add(row);
        File.WriteAllText(_path + ".partial", JsonSerializer.Serialize(_content, Options));
        File.Move(_path + ".partial", _path, overwrite: true);
    }

    private static Content Read(string path)
    {
        Exception? cause = null;
        try
        {
            if (JsonSerializer.Deserialize<Content>(File.ReadAllText(path), Options) is { Settings: not null, Rows: not null } found
                && found.Rows.TrueForAll(row => row.Results is { Count: > 0 })) return found;
        }
        catch (JsonException error)
        {
            cause = error;
        }
        throw new EvaluationException(EvaluationFailure.SamplesInvalid, path, "no finished rows", "what nq compare --resume wrote", "Remove the file, or name another.", cause);
    }

    private sealed record Content(List<string> Settings, List<ComparedMethod> Rows);
}
