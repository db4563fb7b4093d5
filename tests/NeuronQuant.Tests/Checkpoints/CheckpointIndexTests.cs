using System.Text;
using System.Text.Json;
using NeuronQuant.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Checkpoints;

/// <summary>Hostile and damaged indexes: each ends in its own named error.</summary>
public sealed class CheckpointIndexTests : IDisposable
{
    private const string Index = "model.safetensors.index.json";

    private readonly TestFiles _files = new();

    public void Dispose() => _files.Dispose();

    private string One(string file, string tensor, byte value = 1) =>
        _files.Safetensors(file, "{" + TestFiles.Entry(tensor, "U8", "1", "0,1") + "}", value);

    private CheckpointException OpenFails(CheckpointFailure failure, string? path = null)
    {
        var error = Assert.Throws<CheckpointException>(() => Checkpoint.Open(path ?? _files.Folder));
        Assert.Equal(failure, error.Failure);
        return error;
    }

    [Theory]
    [InlineData("../a.safetensors")]
    [InlineData("x/../../a.safetensors")]
    [InlineData("/etc/passwd")]
    [InlineData("C:\\a.safetensors")]
    [InlineData("..\\a.safetensors")]
    [InlineData("")]
    [InlineData(".")]
    public void AnIndexMayNotLeaveItsFolder(string shard)
    {
        _files.Text(Index, $"{{\"weight_map\":{{\"a\":{JsonSerializer.Serialize(shard)}}}}}");
        Assert.Equal("a", OpenFails(CheckpointFailure.IndexPathOutside).Tensor);
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("{\"weight_map\":")]
    [InlineData("{\"weight_map\":{\"a\":\"a.safetensors\",\"a\":\"b.safetensors\"}}")]
    [InlineData("{\"weight_map\":{\"\\ud800\":\"a.safetensors\"}}")]
    [InlineData("{\"weight_map\":{\"a\":\"\\ud800\"}}")]
    public void AnIndexThatIsNotJson(string text)
    {
        _files.Text(Index, text);
        Assert.Equal(_files.PathOf(Index), OpenFails(CheckpointFailure.IndexNotJson).File);
    }

    [Fact]
    public void AnIndexNestedDeeply()
    {
        _files.Text(Index, "{\"weight_map\":" + new string('[', 1_000_000));
        OpenFails(CheckpointFailure.IndexNotJson);
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("{\"weight_map\":[]}")]
    [InlineData("{\"weight_map\":{}}")]
    [InlineData("{\"weight_map\":{\"a\":1}}")]
    public void AnIndexOfAnotherStructure(string text)
    {
        _files.Text(Index, text);
        OpenFails(CheckpointFailure.IndexWrongStructure);
    }

    [Fact]
    public void FuzzedIndexesAndConfigsEndInANamedErrorOrOpen()
    {
        One("a.safetensors", "a");
        byte[] index = Encoding.UTF8.GetBytes("{\"metadata\":{\"total_size\":1},\"weight_map\":{\"a\":\"a.safetensors\"}}");
        byte[] config = Encoding.UTF8.GetBytes("{\"model_type\":\"qwen2\",\"hidden_size\":64,\"intermediate_size\":172,\"num_hidden_layers\":2,"
            + "\"num_attention_heads\":8,\"vocab_size\":512,\"max_position_embeddings\":99,\"rms_norm_eps\":1e-5,\"eos_token_id\":[1,2]}");
        var random = new Random(99);
        for (int round = 0; round < 500; round++)
        {
            _files.Bytes(Index, Damaged(index, random));
            _files.Bytes("config.json", Damaged(config, random));
            if (Record.Exception(() => Checkpoint.Open(_files.Folder).Dispose()) is { } opening) Assert.IsType<CheckpointException>(opening);
            if (Record.Exception(() => ModelConfig.Read(_files.PathOf("config.json"))) is { } reading) Assert.IsType<CheckpointException>(reading);
        }
    }

    private static byte[] Damaged(byte[] valid, Random random)
    {
        byte[] bytes = [.. valid];
        bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
        return random.Next(4) == 0 ? bytes[..random.Next(bytes.Length)] : bytes;
    }

    [Fact]
    public void AMissingShard()
    {
        _files.Text(Index, "{\"weight_map\":{\"a\":\"a.safetensors\"}}");
        Assert.Equal(_files.PathOf("a.safetensors"), OpenFails(CheckpointFailure.ShardMissing).File);
    }

    [Fact]
    public void AShardWithoutItsTensor()
    {
        One("a.safetensors", "b");
        _files.Text(Index, "{\"weight_map\":{\"a\":\"a.safetensors\"}}");
        Assert.Equal("a", OpenFails(CheckpointFailure.ShardLacksTensor).Tensor);
    }

    [Fact]
    public void AMissingIndex() => OpenFails(CheckpointFailure.NotFound, _files.PathOf(Index));
}
