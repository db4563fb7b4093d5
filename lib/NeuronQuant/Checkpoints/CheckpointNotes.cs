namespace NeuronQuant.Checkpoints;

/// <summary>Everything that is odd about a model but stops nothing, in sentences: what every command says before its results.</summary>
/// <remarks>
/// From opening: files that lost, tensors that an index leaves out, weights read from codes and scales. From config.json: a head that it ties
/// and the file trained, tensors that nothing reads, and a forward pass that this library does not compute. A config.json of another family is
/// no matter here; who needs it says so.
/// </remarks>
public static class CheckpointNotes
{
    private const int MostNames = 4; // Kinds of unread tensors that are named; the rest is counted.

    /// <summary>The notes of a model.</summary>
    public static IReadOnlyList<string> Of(Checkpoint checkpoint)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        var notes = checkpoint.Notes.ToList();
        if (ConfigOf(checkpoint) is not { } config) return notes;
        if (config.NotComputed is { } obstacle) notes.Add($"{obstacle}; what needs a forward pass is refused, everything else goes on.");
        if (checkpoint.HeadTie == HeadTie.Contradicted) notes.Add($"{TiedHead.Contradiction}.");
        if (Unread(checkpoint, config) is { } unread) notes.Add(unread);
        return notes;
    }

    /// <summary>The config, or null where there is none that this library reads.</summary>
    internal static ModelConfig? ConfigOf(Checkpoint checkpoint)
    {
        try
        {
            return checkpoint.HasConfig ? checkpoint.Config : null;
        }
        catch (CheckpointException)
        {
            return null;
        }
    }

    private static string? Unread(Checkpoint checkpoint, ModelConfig config)
    {
        var names = ExpectedTensors.Unread(checkpoint, config);
        if (names.Count == 0) return null;
        var kinds = names.GroupBy(OfAnyLayer).ToArray();
        string listed = string.Join(", ", kinds.Take(MostNames).Select(kind => kind.Count() == 1 ? kind.First() : $"{kind.Key} ({kind.Count()})"));
        string more = kinds.Length > MostNames ? $" and {kinds.Length - MostNames} kinds more" : "";
        return $"nothing reads {names.Count} of the tensors, since {Path.GetFileName(config.File)} does not announce them: {listed}{more}. "
            + "If the model needs them, its config.json is not the right one.";
    }

    private static string OfAnyLayer(string tensor)
    {
        var module = ModuleName.OfTensor(tensor, out string parameter);
        return module.Layer is null ? tensor : $"layers.*.{module.Type}.{parameter}";
    }
}
