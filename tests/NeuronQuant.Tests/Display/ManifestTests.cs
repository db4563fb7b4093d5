using System.Text.Json.Nodes;
using NeuronQuant.Display;
using Xunit;

namespace NeuronQuant.Tests.Display;

/// <summary>What a manifest records, and what it must not.</summary>
public sealed class ManifestTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("manifest").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    [Fact]
    public void HashesFilesAndNamesThemWithoutTheirFolder()
    {
        var path = Path.Combine(_folder, "model.safetensors");
        File.WriteAllText(path, "abc");
        var manifest = Manifest.Create([path], seed: 7, parameters: [new("grid", 127.5), new("format", "int8")], clock: new Clock(),
            cancellation: TestContext.Current.CancellationToken);
        // The published test vector of FIPS 180-2 for "abc".
        Assert.Equal(new ManifestFile("model.safetensors", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), manifest.Files[0]);
        var json = JsonNode.Parse(manifest.ToJson())!;
        Assert.Equal(7, (int)json["seed"]!);
        Assert.Equal("127.5", (string)json["parameters"]!["grid"]!);
        Assert.Equal("2026-11-22T08:30:00+00:00", (string)json["time"]!);
        Assert.DoesNotContain(_folder, manifest.ToJson() + manifest + manifest.ToHtml(), StringComparison.Ordinal);
        Assert.Contains("2026-11-22 08:30:00", manifest.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void ReadsBackWhatItSaved()
    {
        var path = Path.Combine(_folder, "manifest.json");
        var manifest = Manifest.Create([], clock: new Clock(), cancellation: TestContext.Current.CancellationToken);
        manifest.Save(path);
        Assert.Equal(manifest.ToJson(), Manifest.Load(path).ToJson());
        File.WriteAllText(path, "[]");
        Assert.Contains("manifest.json is not a manifest", Assert.Throws<InvalidDataException>(() => Manifest.Load(path)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void AMissingFileIsNamed() =>
        Assert.Contains("absent.bin", Assert.Throws<FileNotFoundException>(() =>
            Manifest.Create([Path.Combine(_folder, "absent.bin")], cancellation: TestContext.Current.CancellationToken)).Message,
                StringComparison.Ordinal);

    private sealed class Clock : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => new(2026, 11, 22, 8, 30, 0, TimeSpan.Zero);
    }
}
