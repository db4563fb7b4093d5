using NeuronQuant.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Checkpoints;

/// <summary>hf:ORG/NAME@REVISION in a cache laid out by hand, as huggingface_hub does it. It sets variables of the process, hence the collection.</summary>
[Collection("notebooks")]
public sealed class HubCacheTests : IDisposable
{
    private const string Commit = "0123456789abcdef0123456789abcdef01234567", Other = "fedcba9876543210fedcba9876543210fedcba98";
    private static readonly string[] Variables = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"];

    private readonly TestFiles _files = new();
    private readonly string?[] _before = [.. Variables.Select(Environment.GetEnvironmentVariable)];

    public HubCacheTests()
    {
        foreach (string variable in Variables) Environment.SetEnvironmentVariable(variable, null);
    }

    public void Dispose()
    {
        foreach (var (variable, value) in Variables.Zip(_before)) Environment.SetEnvironmentVariable(variable, value);
        _files.Dispose();
    }

    private string Cache(string folder)
    {
        string repository = _files.PathOf($"{folder}/models--org--Tiny.model_1"), blobs = Directory.CreateDirectory($"{repository}/blobs").FullName;
        foreach (string commit in new[] { Commit, Other }) Directory.CreateDirectory($"{repository}/snapshots/{commit}");
        Directory.CreateDirectory($"{repository}/refs/refs/pr");
        File.WriteAllText($"{repository}/refs/main", Commit);
        File.WriteAllText($"{repository}/refs/v2", Other + "\n");
        File.WriteAllText($"{repository}/refs/refs/pr/1", Other);
        string file = _files.Safetensors("a", "{" + TestFiles.Entry("a", "BF16", "1", "0,2") + "}", 1, 2);
        File.Move(file, $"{blobs}/77");
        File.CreateSymbolicLink($"{repository}/snapshots/{Commit}/model.safetensors", "../../blobs/77");
        return repository;
    }

    private static string Snapshot(string name) => Path.GetFileName(HubCache.Resolve(name));

    [Theory]
    [InlineData("HF_HUB_CACHE", "", "c")]
    [InlineData("HUGGINGFACE_HUB_CACHE", "", "c")]
    [InlineData("HF_HOME", "", "c/hub")]
    [InlineData("XDG_CACHE_HOME", "", "c/huggingface/hub")]
    public void The_cache_is_where_the_variables_say(string variable, string below, string cache)
    {
        Cache(cache);
        Environment.SetEnvironmentVariable(variable, _files.PathOf("c") + below);
        Assert.Equal(Commit, Snapshot("hf:org/Tiny.model_1"));
        using var checkpoint = Checkpoint.Open("hf:org/Tiny.model_1");
        Assert.Equal(2, checkpoint.ByteCount);
    }

    [Theory]
    [InlineData("hf:org/Tiny.model_1@main", Commit)]
    [InlineData("hf:org/Tiny.model_1@v2", Other)]
    [InlineData("hf:org/Tiny.model_1@refs/pr/1", Other)]
    [InlineData("hf:org/Tiny.model_1@" + Other, Other)]
    public void A_revision_is_a_branch_a_tag_or_a_commit(string name, string commit)
    {
        Cache("c");
        Environment.SetEnvironmentVariable("HF_HUB_CACHE", _files.PathOf("c"));
        Assert.Equal(commit, Snapshot(name));
    }

    [Theory]
    [InlineData("hf:org/absent", "hf download org/absent")]
    [InlineData("hf:org/absent@v1", "hf download org/absent --revision v1")]
    [InlineData("hf:org/Tiny.model_1@v3", "hf download org/Tiny.model_1 --revision v3")]
    public void What_is_not_there_is_not_fetched_but_told_how(string name, string command)
    {
        Cache("c");
        Environment.SetEnvironmentVariable("HF_HUB_CACHE", _files.PathOf("c"));
        var error = Assert.Throws<CheckpointException>(() => Checkpoint.Open(name));
        Assert.Equal(CheckpointFailure.NotInHubCache, error.Failure);
        Assert.EndsWith($"Fetch it with: {command}", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("hf:")]
    [InlineData("hf:../../etc")]
    [InlineData("hf:a/b/c")]
    [InlineData("hf:a/b@")]
    [InlineData("hf:a/b@../../x")]
    [InlineData("hf:a b/c")]
    [InlineData("hf:/etc")]
    public void What_is_no_name_is_refused(string name) =>
        Assert.Equal(CheckpointFailure.NotInHubCache, Assert.Throws<CheckpointException>(() => HubCache.Resolve(name)).Failure);

    [Fact]
    public void A_path_stays_a_path() => Assert.Equal("../hf/model", HubCache.Resolve("../hf/model"));

    [Fact]
    public void A_lost_blob_is_a_dangling_link_and_has_its_command()
    {
        string repository = Cache("c");
        Environment.SetEnvironmentVariable("HF_HUB_CACHE", _files.PathOf("c"));
        File.Delete($"{repository}/blobs/77");
        var error = Assert.Throws<CheckpointException>(() => Checkpoint.Open("hf:org/Tiny.model_1"));
        Assert.Contains("a link to ../../blobs/77, which is not there", error.Message, StringComparison.Ordinal);
        Assert.EndsWith($"hf download org/Tiny.model_1 --revision {Commit}", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_commands_take_hub_names()
    {
        Environment.SetEnvironmentVariable("HF_HUB_CACHE", _files.PathOf("c"));
        string repository = Directory.CreateDirectory(_files.PathOf("c/models--org--demo/snapshots")).Parent!.FullName;
        Directory.CreateDirectory($"{repository}/refs");
        File.WriteAllText($"{repository}/refs/main", Commit);
        Directory.CreateSymbolicLink($"{repository}/snapshots/{Commit}", Repository.PathOf("data", "demo-model"));
        foreach (string command in new[] { "inspect", "sensitivity", "plan" })
            Assert.Equal(0, (await Nq.Run([command, "hf:org/demo"])).Code);
        var generated = await Nq.Run(["generate", "hf:org/demo", "--prompt", "Question:", "--max-new-tokens", "2"]);
        Assert.True(generated.Code == 0, generated.Error);
        var graded = await Nq.Run(["eval", "hf:org/demo", "--limit", "2"]);
        Assert.True(graded.Code == 0, graded.Error);
        var missing = await Nq.Run(["inspect", "hf:org/none"]);
        Assert.Equal(1, missing.Code);
        Assert.Contains("hf download org/none", missing.Error, StringComparison.Ordinal);
    }
}
