using NeuronQuant.Checkpoints;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>How every command opens a model: by value, with everything that a careful reader should know said on the error stream.</summary>
internal static class ModelSource
{
    /// <summary>Opens a model and says its notes.</summary>
    public static Checkpoint Open(string path)
    {
        var checkpoint = Checkpoint.Open(path);
        try
        {
            foreach (string note in CheckpointNotes.Of(checkpoint)) CommandOutput.Note(note);
            return checkpoint;
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }
    }

    /// <summary>Says the notes of a model that a library call will open by itself.</summary>
    public static void Say(string path)
    {
        using var checkpoint = Open(path);
    }
}
