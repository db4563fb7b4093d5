using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using Xunit;

namespace NeuronQuant.Tests.Checkpoints;

/// <summary>Opening files, folders and indexes; reading bytes and floats; use after Dispose.</summary>
public sealed class CheckpointTests : IDisposable
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

    [Fact]
    public void ARealModelFitsItsConfig()
    {
        using var checkpoint = Checkpoint.Open(RealModel.Folder());
        Assert.Equal(ModelFamily.Llama, checkpoint.Config.Family);
        Assert.Equal(32, checkpoint.Config.KeyValueSize);
        ExpectedTensors.Check(checkpoint, checkpoint.Config);
        Assert.Equal("model.embed_tokens.weight", checkpoint.Tensors[0].Name);
        Assert.Equal([512, 64], checkpoint["model.embed_tokens.weight"].Shape.AsEnumerable());
        foreach (var tensor in checkpoint.Tensors)
        {
            var values = new float[tensor.ElementCount];
            checkpoint.ReadFloats(tensor, 0, values);
            Assert.All(values, value => Assert.InRange(value, -20f, 20f)); // Weights of a trained model are small and never NaN.
            Assert.Contains(values, value => value != 0);
        }
    }

    [Fact]
    public void TheSingleFileWinsOverTheIndexAndThatIsSaid()
    {
        One("model.safetensors", "single");
        One("a.safetensors", "sharded");
        _files.Text(Index, "{\"weight_map\":{\"sharded\":\"a.safetensors\"}}");
        using var checkpoint = Checkpoint.Open(_files.Folder);
        Assert.Equal(_files.PathOf("model.safetensors"), checkpoint.Source);
        Assert.True(checkpoint.Contains("single"));
        Assert.Contains(Index, Assert.Single(checkpoint.Notes), StringComparison.Ordinal);
        using var byIndex = Checkpoint.Open(_files.PathOf(Index));
        Assert.True(byIndex.Contains("sharded"));
    }

    [Fact]
    public void ShardsAreJoinedAndOdditiesNoted()
    {
        One("a.safetensors", "model.layers.10.mlp.up_proj.weight", 10);
        Directory.CreateDirectory(_files.PathOf("sub"));
        _files.Safetensors("sub/b.safetensors", "{" + TestFiles.Entry("model.layers.2.mlp.up_proj.weight", "U8", "1", "0,1") + ","
            + TestFiles.Entry("unlisted", "U8", "1", "1,2") + "}", 2, 3);
        _files.Text(Index, "{\"metadata\":{\"total_size\":5.0},\"weight_map\":{\"model.layers.10.mlp.up_proj.weight\":\"a.safetensors\","
            + "\"model.layers.2.mlp.up_proj.weight\":\"sub/b.safetensors\"}}");
        using var checkpoint = Checkpoint.OpenStored(_files.Folder);
        Assert.Equal([2, 10], checkpoint.Tensors.Select(t => (int)checkpoint.Bytes(t, 0, 1)[0])); // Layer 2 before layer 10.
        Assert.Equal(2, checkpoint.ByteCount);
        Assert.Contains(checkpoint.Notes, note => note.Contains("unlisted", StringComparison.Ordinal));
        Assert.Contains(checkpoint.Notes, note => note.Contains("total_size is 5", StringComparison.Ordinal));
        var error = Assert.Throws<CheckpointException>(() => checkpoint["model.layers.2.mlp.up_proj.bias"]);
        Assert.Equal(CheckpointFailure.TensorNotFound, error.Failure);
        Assert.Contains("model.layers.2.mlp.up_proj.weight", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AShardMayBeASymbolicLink()
    {
        string blobs = Directory.CreateDirectory(_files.PathOf("blobs")).FullName, snapshot = Directory.CreateDirectory(_files.PathOf("s")).FullName;
        One("blobs/1234", "a", 9);
        File.CreateSymbolicLink(Path.Combine(snapshot, "a.safetensors"), Path.Combine(blobs, "1234"));
        File.WriteAllText(Path.Combine(snapshot, Index), "{\"weight_map\":{\"a\":\"a.safetensors\"}}");
        using var checkpoint = Checkpoint.Open(snapshot);
        Assert.Equal(9, checkpoint.Bytes(checkpoint["a"], 0, 1)[0]);
    }

    [Fact]
    public void AnEmptyFolder() => OpenFails(CheckpointFailure.NoCheckpoint);

    [Fact]
    public void AFolderOfPickles()
    {
        _files.Bytes("pytorch_model.bin", 0);
        Assert.Contains("pytorch_model.bin", OpenFails(CheckpointFailure.NoCheckpoint).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AMissingPath() => OpenFails(CheckpointFailure.NotFound, _files.PathOf("absent"));

    [Fact]
    public void AMissingConfig()
    {
        using var checkpoint = Checkpoint.Open(One("a.safetensors", "a"));
        Assert.False(checkpoint.HasConfig);
        Assert.Equal(CheckpointFailure.ConfigNotFound, Assert.Throws<CheckpointException>(() => checkpoint.Config).Failure);
    }

    [Fact]
    public void UseAfterDisposeThrowsInsteadOfCrashing()
    {
        var checkpoint = Checkpoint.Open(One("a.safetensors", "a"));
        var tensor = checkpoint["a"];
        checkpoint.Dispose();
        checkpoint.Dispose();
        Assert.Throws<ObjectDisposedException>(() => checkpoint.Bytes(tensor, 0, 1).ToArray());
        Assert.Throws<ObjectDisposedException>(() => checkpoint.ReadFloats(tensor, 0, new float[1]));
        var file = SafetensorsFile.Open(tensor.File);
        file.Bytes(tensor, 0, 1);
        file.Dispose();
        Assert.Throws<ObjectDisposedException>(() => file.Bytes(tensor, 0, 1).ToArray());
    }

    [Fact]
    public void AFileThatShrinksBeforeItIsMappedIsANamedError()
    {
        using var checkpoint = Checkpoint.Open(One("a.safetensors", "a"));
        _files.Bytes("a.safetensors", 1);
        var error = Assert.Throws<CheckpointException>(() => checkpoint.Bytes(checkpoint["a"], 0, 1).ToArray());
        Assert.Equal(CheckpointFailure.ReadFailed, error.Failure);
        Assert.Throws<CheckpointException>(() => checkpoint.ReadFloats(checkpoint["a"] with { Type = TensorType.I8 }, 0, new float[1]));
    }

    [Fact]
    public void AFolderInAFilesPlaceIsANamedError() => Assert.Equal(CheckpointFailure.ReadFailed,
        Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(_files.Folder)).Failure);

    [Fact]
    public void PartsOutsideOfATensorAreRefused()
    {
        using var checkpoint = Checkpoint.Open(_files.Safetensors("a.safetensors", "{" + TestFiles.Entry("a", "F32", "2", "0,8") + "}", new byte[8]));
        var a = checkpoint["a"];
        foreach (var (offset, count) in new[] { (-1L, 1), (0L, -1), (8L, 1), (0L, 9), (long.MaxValue, 1), (long.MinValue, int.MaxValue) })
            Assert.Throws<ArgumentOutOfRangeException>(() => checkpoint.Bytes(a, offset, count).ToArray());
        foreach (var (first, count) in new[] { (-1L, 1), (2L, 1), (0L, 3), (long.MaxValue, 1) })
            Assert.Throws<ArgumentOutOfRangeException>(() => checkpoint.ReadFloats(a, first, new float[count]));
        TensorInfo[] forgeries = [a with { ByteCount = 1000 }, a with { Offset = -8 }, a with { Offset = long.MaxValue }, a with { File = "b" }];
        foreach (var forged in forgeries)
            Assert.Throws<ArgumentOutOfRangeException>(() => checkpoint.Bytes(forged, 0, 8).ToArray());
        Assert.Equal(0, checkpoint.Bytes(a, 8, 0).Length);
    }

    [Fact]
    public void EveryDecodableTypeIsDecoded()
    {
        double[] values = [0, -1, 0.5, 240, -3, 0.0078125];
        Check("F64", 8, (bytes, x) => BinaryPrimitives.WriteDoubleLittleEndian(bytes, x), values);
        Check("F32", 4, (bytes, x) => BinaryPrimitives.WriteSingleLittleEndian(bytes, (float)x), values);
        Check("F16", 2, (bytes, x) => BinaryPrimitives.WriteHalfLittleEndian(bytes, (Half)x), values);
        Check("BF16", 2, (bytes, x) => BinaryPrimitives.WriteUInt16LittleEndian(bytes, BFloat16.Encode((float)x)), values);
        Check("F8_E4M3", 1, (bytes, x) => bytes[0] = Float8E4M3.Encode((float)x), values[..5]);
        Check("F8_E5M2", 1, (bytes, x) => bytes[0] = Float8E5M2.Encode((float)x), [0, -1, 0.5, 256, -3]);
        Check("I8", 1, (bytes, x) => bytes[0] = (byte)(sbyte)x, [0, -1, 127, -128]);
    }

    private delegate void Encoder(Span<byte> bytes, double value);

    private void Check(string type, int width, Encoder encode, double[] values)
    {
        byte[] data = new byte[width * values.Length];
        for (int i = 0; i < values.Length; i++) encode(data.AsSpan(i * width, width), values[i]);
        string header = "{" + TestFiles.Entry("a", type, $"{values.Length}", $"0,{data.Length}") + "}"; // Not padded: data may be unaligned.
        using var file = SafetensorsFile.Open(_files.Safetensors($"{type}.safetensors", header, data));
        var decoded = new float[values.Length - 1];
        file.ReadFloats(file.Tensors[0], 1, decoded);
        Assert.Equal(values.Skip(1).Select(x => (float)x), decoded); // Exact: all values are chosen to be codes of their type.
    }

    [Fact]
    public void ForeignE4M3CodesBeyondNeuronsRangeAreRead()
    {
        using var file = SafetensorsFile.Open(_files.Safetensors("a.safetensors",
            "{" + TestFiles.Entry("a", "F8_E4M3", "4", "0,4") + "}", 0x77, 0x7E, 0x7F, 0xFE));
        var decoded = new float[4];
        file.ReadFloats(file.Tensors[0], 0, decoded);
        Assert.Equal([240f, 448f, float.NaN, -448f], decoded); // OCP fp8 specification, table of e4m3.
    }

    [Theory]
    [InlineData("BOOL", 8)]
    [InlineData("F4", 4)]
    [InlineData("F8_E8M0", 8)]
    [InlineData("F8_E4M3FNUZ", 8)]
    [InlineData("I64", 64)]
    [InlineData("C64", 64)]
    public void OtherTypesAreRefusedByName(string type, int bits)
    {
        using var file = SafetensorsFile.Open(_files.Safetensors("a.safetensors",
            "{" + TestFiles.Entry("a", type, "2", $"0,{bits / 4}") + "}", new byte[bits / 4]));
        var error = Assert.Throws<CheckpointException>(() => file.ReadFloats(file.Tensors[0], 0, new float[2]));
        Assert.Equal((CheckpointFailure.TypeNotDecodable, "a"), (error.Failure, error.Tensor));
    }

    [Fact]
    public void TwentyFourGigabytesOpenInMillisecondsAndReadBeyondTwo()
    {
        // Sparse files: 3 GB tensors that occupy a few blocks.
        const long elements = 1_500_000_000;
        var map = new StringBuilder();
        for (int i = 0; i < 8; i++)
        {
            string header = "{" + TestFiles.Entry($"t{i}", "BF16", $"{elements}", $"0,{2 * elements}") + "}";
            byte[] head = TestFiles.Compose(Encoding.UTF8.GetBytes(header), []);
            using var stream = File.Create(_files.PathOf($"{i}.safetensors"));
            stream.Write(head);
            stream.SetLength(head.Length + 2 * elements);
            stream.Position = head.Length + 2 * elements - 2;
            stream.Write([0x80, 0x3F]); // 1 as the last element.
            map.Append(i == 0 ? "" : ",").Append($"\"t{i}\":\"{i}.safetensors\"");
        }
        _files.Text(Index, $"{{\"weight_map\":{{{map}}}}}");
        var watch = Stopwatch.StartNew();
        using var checkpoint = Checkpoint.Open(_files.Folder);
        Assert.InRange(watch.ElapsedMilliseconds, 0, 4000); // Takes about 5, and reading them 6000; the room is for a loaded machine.
        Assert.Equal(24_000_000_000, checkpoint.ByteCount);
        var last = new float[2];
        checkpoint.ReadFloats(checkpoint["t7"], elements - 2, last);
        Assert.Equal([0f, 1f], last);
        Assert.Equal(0x3F, checkpoint.Bytes(checkpoint["t3"], 2 * elements - 1, 1)[0]);
    }

    [Theory]
    [InlineData(-4)]
    [InlineData(0)]
    [InlineData(4)]
    public void A_file_that_is_written_to_while_it_is_read_is_an_error_and_not_the_end_of_the_process(int grown)
    {
        string path = _files.Safetensors("a.safetensors", $"{{{TestFiles.Entry("a", "F32", "4096", "0,16384")}}}", new byte[16384]);
        using var file = SafetensorsFile.Open(path);
        var values = new float[4096];
        file.ReadFloats(file.Tensors[0], 0, values);
        using (var writer = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            writer.SetLength(writer.Length + grown * 2048);
            writer.WriteByte(0);
        }
        File.SetLastWriteTimeUtc(path, DateTime.UtcNow.AddSeconds(1)); // The clock of files may be coarse.
        Thread.Sleep(30); // The clock that says when to look again ticks every few milliseconds.
        var error = Assert.Throws<CheckpointException>(() => file.ReadFloats(file.Tensors[0], 0, values));
        Assert.Equal((CheckpointFailure.ReadFailed, path), (error.Failure, error.File));
    }

    [Fact]
    public void A_file_that_another_takes_the_name_of_is_read_to_its_end()
    {
        string path = _files.Safetensors("a.safetensors", $"{{{TestFiles.Entry("a", "F32", "1", "0,4")}}}", BitConverter.GetBytes(1.5f));
        using var file = SafetensorsFile.Open(path);
        var values = new float[1];
        file.ReadFloats(file.Tensors[0], 0, values);
        File.Move(_files.Safetensors("b.safetensors", $"{{{TestFiles.Entry("a", "F32", "1", "0,4")}}}", BitConverter.GetBytes(2.5f)), path, overwrite: true);
        Thread.Sleep(30); // The clock that says when to look again ticks every few milliseconds.
        file.ReadFloats(file.Tensors[0], 0, values);
        Assert.Equal(1.5f, values[0]);
    }
}
