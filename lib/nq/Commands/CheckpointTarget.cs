namespace NeuronQuant.CommandLine.Commands;

/// <summary>A folder to write a checkpoint into: refused before hours of work when one is there already and may not be replaced.</summary>
internal static class CheckpointTarget
{
    /// <summary>The folder, when it may be written.</summary>
    /// <exception cref="UsageException">it holds a checkpoint</exception>
    public static string Free(string folder, bool overwrite) => overwrite || !IsTaken(folder) ? folder
        : throw new UsageException($"--out {folder}: there is a checkpoint. Give another folder, or --overwrite.");

    private static bool IsTaken(string folder) => Directory.Exists(folder)
        && (Directory.EnumerateFiles(folder, "*.safetensors").Any() || File.Exists(Path.Combine(folder, "model.safetensors.index.json")));
}
