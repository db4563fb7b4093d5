using System.Text;
using System.Text.Json;
using NeuronQuant.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Checkpoints;

/// <summary>Writing: round trips, the layout of the reference, sharding, and that nothing half-written can be opened.</summary>
public sealed class CheckpointWriterTests : IDisposable
{
    private static readonly TensorDeclaration[] Three =
    [
        new("model.b.weight", TensorType.I8, [3]), new("model.b.scale", TensorType.F32, [1, 1]), new("model.a.weight", TensorType.BF16, [2]),
    ];

    private readonly TestFiles _files = new();

    public void Dispose() => _files.Dispose();

    private static byte[] Content(TensorInfo tensor, int seed = 1)
    {
        byte[] bytes = new byte[tensor.ByteCount];
        new Random(tensor.Name.Sum(c => c) + seed).NextBytes(bytes);
        return bytes;
    }

    private static byte[] Content(TensorDeclaration t, int seed = 1) => Content(new TensorInfo(t.Name, t.Type, t.Shape, "", 0,
        t.Shape.Aggregate(1L, (x, y) => x * y) * t.Type.BitSize() / 8), seed);

    private void Write(TensorDeclaration[] tensors, long shard = 1000, bool overwrite = false, int seed = 1)
    {
        using var writer = CheckpointWriter.Create(_files.Folder, tensors, shard, overwrite);
        foreach (var tensor in tensors) writer.Write(tensor.Name, Content(tensor, seed));
        writer.Complete();
    }

    private void AssertHolds(TensorDeclaration[] tensors, int seed = 1)
    {
        using var checkpoint = Checkpoint.OpenStored(_files.Folder);
        Assert.Equal(tensors.Select(t => t.Name).Order(), checkpoint.Tensors.Select(t => t.Name).Order());
        Assert.Empty(checkpoint.Notes);
        foreach (var tensor in checkpoint.Tensors)
            Assert.Equal(Content(tensor, seed), checkpoint.Bytes(tensor, 0, (int)tensor.ByteCount).ToArray());
    }

    private string[] Names() => [.. Directory.EnumerateFileSystemEntries(_files.Folder).Select(path => Path.GetFileName(path)).Order()];

    private static CheckpointException Fails(CheckpointFailure failure, Action action)
    {
        var error = Assert.Throws<CheckpointException>(action);
        Assert.Equal(failure, error.Failure);
        return error;
    }

    [Fact]
    public void TheBytesAreThoseOfTheFormat()
    {
        Write(Three);
        // F32 before BF16 before I8, although declared otherwise; padded to a multiple of eight.
        string header = "{\"__metadata__\":{\"format\":\"pt\"}," + TestFiles.Entry("model.b.scale", "F32", "1,1", "0,4") + ","
            + TestFiles.Entry("model.a.weight", "BF16", "2", "4,8") + "," + TestFiles.Entry("model.b.weight", "I8", "3", "8,11") + "}";
        header = header.PadRight((header.Length + 7) / 8 * 8);
        byte[] data = [.. Content(Three[1]), .. Content(Three[2]), .. Content(Three[0])];
        Assert.Equal(TestFiles.Compose(Encoding.UTF8.GetBytes(header), data), File.ReadAllBytes(_files.PathOf("model.safetensors")));
        Assert.Equal(["model.safetensors"], Names());
        AssertHolds(Three);
    }

    [Fact]
    public void ARealModelIsRewrittenToTheSameBytes()
    {
        string source = RealModel.Folder();
        using var original = Checkpoint.OpenStored(source);
        using (var writer = CheckpointWriter.Create(_files.Folder, original.Tensors.Select(t => new TensorDeclaration(t.Name, t.Type, t.Shape))))
        {
            foreach (var tensor in original.Tensors) writer.Write(tensor.Name, original.Bytes(tensor, 0, (int)tensor.ByteCount));
            writer.Complete();
        }
        Assert.Equal(File.ReadAllBytes(original.Source), File.ReadAllBytes(_files.PathOf("model.safetensors")));
    }

    [Fact]
    public void PiecesMayComeInAnyOrderAndEveryTensorIsAligned()
    {
        var random = new Random(7);
        var types = Enum.GetValues<TensorType>();
        TensorDeclaration[] tensors = [.. Enumerable.Range(0, 60)
            .Select(i => new TensorDeclaration($"t{i}", types[i % types.Length], [4, random.Next(9)]))];
        using (var writer = CheckpointWriter.Create(_files.Folder, tensors, 200))
        {
            foreach (int i in Enumerable.Range(0, tensors.Length).OrderBy(_ => random.Next()))
                for (byte[] left = Content(tensors[i]); left.Length > 0;)
                {
                    int piece = random.Next(1, left.Length + 1);
                    writer.Write(tensors[i].Name, left.AsSpan(0, piece));
                    left = left[piece..];
                }
            writer.Complete();
        }
        AssertHolds(tensors);
        using var checkpoint = Checkpoint.OpenStored(_files.Folder);
        Assert.All(checkpoint.Tensors, t => Assert.Equal(0, t.Offset % Math.Max(1, t.Type.BitSize() / 8)));
        Assert.True(checkpoint.Files.Count > 1);
    }

    [Fact]
    public void ShardsHoldAtMostTheLimitUnlessOneTensorExceedsIt()
    {
        TensorDeclaration[] tensors = [.. new[] { 40, 40, 30, 200, 1, 99, 1 }.Select((n, i) => new TensorDeclaration($"t{i}", TensorType.U8, [n]))];
        Write(tensors, 100);
        string[] shards = [.. Enumerable.Range(1, 5).Select(i => $"model-{i:D5}-of-00005.safetensors")];
        Assert.Equal([.. shards, "model.safetensors.index.json"], Names());
        using var index = JsonDocument.Parse(File.ReadAllText(_files.PathOf("model.safetensors.index.json")));
        Assert.Equal(411, index.RootElement.GetProperty("metadata").GetProperty("total_size").GetInt64());
        int[] shardOf = [1, 1, 2, 3, 4, 4, 5];
        Assert.Equal(shardOf.Select((shard, i) => ($"t{i}", shards[shard - 1])),
            index.RootElement.GetProperty("weight_map").EnumerateObject().Select(e => (e.Name, e.Value.GetString()!)));
        AssertHolds(tensors);
    }

    [Theory]
    [InlineData(1000, 1000)] // single over single
    [InlineData(4, 1000)] // single over shards
    [InlineData(1000, 4)] // shards over single: the single file would win
    [InlineData(4, 4)] // shards over shards of the same names
    [InlineData(4, 7)] // shards over more shards: some names go stale
    public void OverwritingLeavesOnlyTheNew(long before, long after)
    {
        Write(Three, before);
        _files.Text("config.json", "{}");
        Assert.Equal(CheckpointFailure.TargetExists, Assert.Throws<CheckpointException>(() => Write(Three, after)).Failure);
        AssertHolds(Three);
        Write(Three, after, overwrite: true, seed: 2);
        AssertHolds(Three, seed: 2);
        int shards = after switch { 1000 => 1, 4 => 3, _ => 2 };
        Assert.Equal(shards == 1 ? 1 : shards + 1, Names().Count(name => name != "config.json"));
        Assert.Contains("config.json", Names());
    }

    [Fact]
    public void ShardsWithoutAnIndexAreNotDeletedUnasked()
    {
        _files.Bytes("model-00001-of-00002.safetensors", 1, 2, 3);
        Fails(CheckpointFailure.TargetExists, () => Write(Three));
        Assert.Equal(["model-00001-of-00002.safetensors"], Names());
    }

    [Fact]
    public void NothingIsVisibleBeforeCompleteAndDisposeDeletesAll()
    {
        string target = _files.PathOf("new");
        using (var writer = CheckpointWriter.Create(target, Three))
        {
            writer.Write(Three[0].Name, Content(Three[0]));
            Fails(CheckpointFailure.NoCheckpoint, () => Checkpoint.Open(target));
        }
        Assert.False(Directory.Exists(target));
    }

    [Fact]
    public void AnAbandonedOverwriteKeepsTheOldCheckpoint()
    {
        Write(Three);
        using (var writer = CheckpointWriter.Create(_files.Folder, Three, 4, overwrite: true)) writer.Write(Three[1].Name, new byte[4]);
        AssertHolds(Three);
        Assert.Equal(["model.safetensors"], Names());
    }

    [Fact]
    public void WhatAKilledWriterLeftIsIgnoredAndCleared()
    {
        string partial = Directory.CreateDirectory(_files.PathOf(".partial-checkpoint")).FullName;
        File.WriteAllText(Path.Combine(partial, "lock"), "");
        File.WriteAllText(Path.Combine(partial, "model.safetensors"), "half");
        Fails(CheckpointFailure.NoCheckpoint, () => Checkpoint.Open(_files.Folder));
        Write(Three);
        AssertHolds(Three);
        Assert.Equal(["model.safetensors"], Names());
    }

    [Fact]
    public void TwoWritersInOneFolderAreRefused()
    {
        using var first = CheckpointWriter.Create(_files.Folder, Three);
        Fails(CheckpointFailure.TargetBusy, () => CheckpointWriter.Create(_files.Folder, Three));
        foreach (var tensor in Three) first.Write(tensor.Name, Content(tensor));
        first.Complete();
        AssertHolds(Three);
    }

    [Fact]
    public void WrongCallsAreNamed()
    {
        using var writer = CheckpointWriter.Create(_files.Folder, Three);
        Assert.Equal("c", Fails(CheckpointFailure.TensorNotFound, () => writer.Write("c", [])).Tensor);
        writer.Write("model.b.weight", [1, 2]);
        Assert.Equal("model.b.weight", Fails(CheckpointFailure.TooManyBytes, () => writer.Write("model.b.weight", [3, 4])).Tensor);
        writer.Write("model.b.weight", [3]);
        writer.Write("model.a.weight", [1, 2, 3, 4]);
        Assert.Equal("model.b.scale", Fails(CheckpointFailure.TensorIncomplete, writer.Complete).Tensor);
        writer.Write("model.b.scale", [1, 2, 3, 4]); // Complete may be called again after the missing bytes came.
        writer.Complete();
        Assert.Throws<ObjectDisposedException>(() => writer.Write("model.b.scale", []));
        Assert.Throws<ObjectDisposedException>(writer.Complete);
    }

    [Theory]
    [InlineData("")]
    [InlineData("__metadata__")]
    [InlineData("model.a.weight")]
    public void UnusableNamesAreRefused(string name) => Fails(CheckpointFailure.InvalidDeclaration,
        () => CheckpointWriter.Create(_files.Folder, [.. Three, new TensorDeclaration(name, TensorType.U8, [1])]));

    [Fact] // Not in the theory above: a test runner replaces half a pair when it passes it on.
    public void HalfASurrogatePairIsRefused() => UnusableNamesAreRefused("a\ud800");

    [Theory]
    [InlineData(TensorType.U8, -1L)]
    [InlineData(TensorType.F4, 3L)]
    [InlineData(TensorType.F32, long.MaxValue)]
    public void UnusableShapesAreRefused(TensorType type, long dimension) => Fails(CheckpointFailure.InvalidDeclaration,
        () => CheckpointWriter.Create(_files.Folder, [new TensorDeclaration("a", type, [dimension])]));

    [Fact]
    public void NoTensorsAreRefused() => Fails(CheckpointFailure.InvalidDeclaration, () => CheckpointWriter.Create(_files.Folder, []));

    [Fact]
    public void NamesWithQuotesAndAccentsSurvive()
    {
        TensorDeclaration[] odd = [new("a\"b\\c\n", TensorType.U8, [2]), new("größe\U0001F600", TensorType.U8, [1])];
        Write(odd);
        AssertHolds(odd);
    }

    [Fact]
    public void AFullDiskIsANamedErrorBeforeTheFirstByteAndLeavesNothing()
    {
        // 2^60 bytes: more than any disk, and more than the largest file of common file systems.
        var error = Fails(CheckpointFailure.WriteFailed,
            () => CheckpointWriter.Create(_files.Folder, [new TensorDeclaration("a", TensorType.U8, [1L << 60])], long.MaxValue));
        Assert.Equal(_files.PathOf("model.safetensors"), error.File);
        Assert.Empty(Names());
    }

    [Fact]
    public void AFileInTheFoldersPlaceIsANamedError() => Fails(CheckpointFailure.WriteFailed,
        () => CheckpointWriter.Create(Path.Combine(_files.Text("file", ""), "target"), Three));

    [Fact]
    public void AFailedRenameIsANamedError()
    {
        Directory.CreateDirectory(_files.PathOf("model.safetensors")); // A folder where the file should go.
        Fails(CheckpointFailure.WriteFailed, () => Write(Three));
        Assert.Equal(["model.safetensors"], Names());
    }

    [Fact]
    public void APublicationThatStopsHalfwayLeavesNoMixtureOfOldAndNew()
    {
        Write(Three, 4);
        string second = _files.PathOf("model-00002-of-00003.safetensors");
        File.Delete(second);
        Directory.CreateDirectory(second); // The first shard can be renamed into place, the second cannot.
        Fails(CheckpointFailure.WriteFailed, () => Write(Three, 4, overwrite: true, seed: 2));
        Fails(CheckpointFailure.NoCheckpoint, () => Checkpoint.Open(_files.Folder));
    }
}
