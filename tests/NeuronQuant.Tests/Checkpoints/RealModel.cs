using Xunit;

namespace NeuronQuant.Tests.Checkpoints;

/// <summary>The small published model that may lie beside the repository; tests that need it are skipped without it.</summary>
internal static class RealModel
{
    public static string Folder()
    {
        string folder = Path.GetFullPath(Repository.PathOf("..", "shared", "models", "stories260K"));
        Assert.SkipUnless(File.Exists(Path.Combine(folder, "model.safetensors")), "shared/models/stories260K is not beside the repository.");
        return folder;
    }
}
