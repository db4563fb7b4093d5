namespace NeuronQuant.Tests.Tuning;

/// <summary>An empty folder that is deleted at the end of a test.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("neuronquant-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
