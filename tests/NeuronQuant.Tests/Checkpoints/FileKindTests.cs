using System.Text;
using NeuronQuant.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Checkpoints;

/// <summary>A file that is not what its name says is told by its first bytes, which are the formats' own.</summary>
public sealed class FileKindTests : IDisposable
{
    private const string Pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

    private readonly TestFiles _files = new();

    public void Dispose() => _files.Dispose();

    [Theory]
    [InlineData(Pointer, "git-lfs pointer", "git lfs pull")]
    [InlineData("GGUF\u0003\0\0\0\0\0\0\0", "GGUF", "original safetensors checkpoint")]
    [InlineData("PK\u0003\u0004\u0014\0\0\0\0\0\0\0", "zip archive", "save_pretrained")]
    [InlineData("\u0080\u0002}q\0X\u0005\0\0\0model", "pickle", "save_pretrained")]
    [InlineData("<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>", "web page", "log in")]
    [InlineData("\n\n<html lang=en><body>429</body></html>", "web page", "fetch it again")]
    public void Weights_that_are_something_else(string content, string kind, string remedy)
    {
        string path = _files.Bytes("model.safetensors", Encoding.Latin1.GetBytes(content));
        var error = Assert.Throws<CheckpointException>(() => Checkpoint.Open(_files.Folder));
        Assert.Equal((CheckpointFailure.AnotherFormat, path), (error.Failure, error.File));
        Assert.Contains(kind, error.Message, StringComparison.Ordinal);
        Assert.Contains(remedy, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("config.json")]
    [InlineData("model.safetensors.index.json")]
    public void Configs_that_are_something_else(string name)
    {
        if (name == "config.json") _files.Safetensors("model.safetensors", "{" + TestFiles.Entry("a", "BF16", "1", "0,2") + "}", 0, 0);
        foreach (var (content, kind) in new[] { (Pointer, "git-lfs pointer"), ("<!doctype html><p>", "web page") })
        {
            _files.Text(name, content);
            Assert.Contains($"found {(kind == "web page" ? "a web page" : "a git-lfs pointer")}", Assert.Throws<CheckpointException>(() => Checkpoint.Open(_files.Folder)).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_broken_safetensors_file_keeps_its_own_error()
    {
        _files.Safetensors("model.safetensors", "{\"a\":");
        Assert.Equal(CheckpointFailure.HeaderNotJson, Assert.Throws<CheckpointException>(() => Checkpoint.Open(_files.Folder)).Failure);
    }

    [Fact]
    public void Shards_without_their_index_and_other_formats_in_a_folder()
    {
        _files.Bytes("model.Q4_K_M.gguf", 1);
        Assert.Contains("GGUF is llama.cpp's format", Assert.Throws<CheckpointException>(() => Checkpoint.Open(_files.Folder)).Message, StringComparison.Ordinal);
        _files.Bytes("model-00002-of-00002.safetensors", 1);
        _files.Bytes("model-00001-of-00002.safetensors", 1);
        var error = Assert.Throws<CheckpointException>(() => Checkpoint.Open(_files.Folder));
        Assert.Equal(CheckpointFailure.NoCheckpoint, error.Failure);
        Assert.Contains("2 shards (model-00001-of-00002.safetensors ...) without their index", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("model.safetensors")]
    [InlineData("model.safetensors.index.json")]
    [InlineData("config.json")]
    [InlineData("model-00001-of-00001.safetensors")]
    public void A_dangling_link_is_called_one(string name)
    {
        string weights = "{" + TestFiles.Entry("a", "BF16", "1", "0,2") + "}";
        if (name == "config.json") _files.Safetensors("model.safetensors", weights, 0, 0);
        if (name.StartsWith("model-", StringComparison.Ordinal)) _files.Text("model.safetensors.index.json", $"{{\"weight_map\":{{\"a\":\"{name}\"}}}}");
        File.CreateSymbolicLink(_files.PathOf(name), "../blobs/gone");
        var error = Assert.Throws<CheckpointException>(() =>
        {
            using var checkpoint = Checkpoint.Open(_files.Folder);
            _ = checkpoint.Config;
        });
        Assert.Contains("a link to ../blobs/gone, which is not there", error.Message, StringComparison.Ordinal);
    }
}
