using NeuronQuant.Checkpoints;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>A model that may be a folder with nothing but a config.json: enough to plan and to check, not to quantize.</summary>
internal static class ModelFolder
{
    /// <summary>The config of a folder, or beside a weights file.</summary>
    public static ModelConfig Config(string path)
    {
        path = HubCache.Resolve(path);
        return ModelConfig.Read(Path.Combine(File.Exists(path) ? Path.GetDirectoryName(Path.GetFullPath(path))! : path, "config.json"));
    }

    /// <summary>The weights; null for a folder without any.</summary>
    public static Checkpoint? Weights(string path)
    {
        path = HubCache.Resolve(path);
        return !Directory.Exists(path) || Directory.EnumerateFiles(path, "*.safetensors").Any() ? ModelSource.Open(path) : null;
    }
}
