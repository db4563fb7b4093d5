namespace NeuronQuant.Checkpoints;

/// <summary>What a checkpoint is, in one line: family, dtype, quantized already or not, tied or not, what is unread.</summary>
public static class CheckpointSummary
{
    /// <summary>The line, from headers and configs alone; a head that is stored although it is tied is compared with the embedding.</summary>
    /// <param name="stored">opened by <see cref="Checkpoint.OpenStored"/>, so that one whose weights cannot be read is told as well</param>
    /// <param name="scheme">how its weights are stored</param>
    /// <param name="values">the same by value; null when the scheme is refused</param>
    public static string Of(Checkpoint stored, SourceScheme scheme, Checkpoint? values)
    {
        ArgumentNullException.ThrowIfNull(stored);
        ArgumentNullException.ThrowIfNull(scheme);
        var config = CheckpointNotes.ConfigOf(values ?? stored);
        string family = config is not null ? $"{config.Family} of {config.LayerCount} layers"
            : stored.HasConfig ? "a config.json of a family that is not known here" : "no config.json";
        return $"{family}; {Types(stored)}; {Quantized(scheme)}; {Tie(values, config)}; {Unread(values, config)}";
    }

    private static string Types(Checkpoint stored) => string.Join(" and ", stored.Tensors.GroupBy(tensor => tensor.Type)
        .OrderByDescending(group => group.Sum(tensor => tensor.ByteCount)).Select(group => group.Key.Name()));

    private static string Quantized(SourceScheme scheme) =>
        scheme.Refusal is not null ? $"quantized already ({scheme.Name}), which no command can read"
        : scheme.IsQuantized ? $"quantized already ({scheme.Name}), read as code x scale" : "not quantized";

    private static string Tie(Checkpoint? values, ModelConfig? config) => (values?.HeadTie, config?.TieWordEmbeddings) switch
    {
        (_, null) => "head not known",
        (HeadTie.Contradicted, _) => "head tied by config.json, but another one in the file",
        (_, true) => "head tied to the embedding",
        _ => "head not tied",
    };

    private static string Unread(Checkpoint? values, ModelConfig? config)
    {
        if (values is null || config is null) return "unread tensors not known";
        var names = ExpectedTensors.Unread(values, config);
        return names.Count switch { 0 => "nothing unread", 1 => $"unread: {names[0]}", _ => $"{names.Count} tensors unread, {names[0]} the first" };
    }
}
