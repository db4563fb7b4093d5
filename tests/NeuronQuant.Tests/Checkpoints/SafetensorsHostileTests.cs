using System.Text;
using NeuronQuant.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Checkpoints;

/// <summary>One hostile file a test; each must end in its own named error, at once, whatever number the file states.</summary>
public sealed class SafetensorsHostileTests : IDisposable
{
    private readonly TestFiles _files = new();

    public void Dispose() => _files.Dispose();

    private static string E(string name, string type, string shape, string offsets) => TestFiles.Entry(name, type, shape, offsets);

    private CheckpointException Refused(CheckpointFailure expected, string header, int dataBytes = 0) =>
        RefusedFile(expected, _files.Safetensors("x.safetensors", header, new byte[dataBytes]));

    private static CheckpointException RefusedFile(CheckpointFailure expected, string path)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        var error = Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(path));
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.Equal(expected, error.Failure);
        Assert.Equal(path, error.File);
        Assert.Contains(path, error.Message, StringComparison.Ordinal);
        Assert.InRange(error.Message.Length, 1, 2000);
        // Memory follows the file's real size: parsing costs at most about 100 bytes for a byte of header, an exception some kilobytes.
        Assert.InRange(allocated, 0, 300_000 + 100 * new FileInfo(path).Length);
        return error;
    }

    [Fact]
    public void EmptyFile() => RefusedFile(CheckpointFailure.FileTooSmall, _files.Bytes("x.safetensors"));

    [Fact]
    public void SevenBytes() => RefusedFile(CheckpointFailure.FileTooSmall, _files.Bytes("x.safetensors", 1, 0, 0, 0, 0, 0, 0));

    [Theory]
    [InlineData(100_000_001UL)]
    [InlineData(1UL << 63)]
    [InlineData(ulong.MaxValue)]
    public void HeaderBeyondTheLimit(ulong length) =>
        RefusedFile(CheckpointFailure.HeaderTooLarge, _files.Bytes("x.safetensors", [.. BitConverter.GetBytes(length), (byte)'{', (byte)'}']));

    [Theory]
    [InlineData(3UL)]
    [InlineData(100_000_000UL)]
    public void HeaderBeyondTheFile(ulong length) =>
        RefusedFile(CheckpointFailure.HeaderTruncated, _files.Bytes("x.safetensors", [.. BitConverter.GetBytes(length), (byte)'{', (byte)'}']));

    [Fact]
    public void HeaderNotUtf8() => RefusedFile(CheckpointFailure.HeaderNotUtf8,
        _files.Bytes("x.safetensors", TestFiles.Compose([(byte)'{', (byte)'"', 0xC3, 0x28, (byte)'"', (byte)'}'], [])));

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData(" {}")]
    [InlineData("{")]
    [InlineData("{\"a\"}")]
    [InlineData("{} x")]
    [InlineData("{}\0")]
    [InlineData("{\"\\ud800\":1}")]
    [InlineData("{/**/}")]
    public void HeaderNotJson(string header) => Refused(CheckpointFailure.HeaderNotJson, header);

    [Fact]
    public void HeaderNestedDeeply() =>
        Refused(CheckpointFailure.HeaderNotJson, "{\"a\":{\"extra\":" + new string('[', 1_000_000) + new string(']', 1_000_000) + "}}");

    [Theory]
    [InlineData("{\"a\":1}")]
    [InlineData("{\"a\":null}")]
    [InlineData("{\"a\":[]}")]
    [InlineData("{\"a\":{}}")]
    [InlineData("{\"a\":{\"dtype\":1,\"shape\":[],\"data_offsets\":[0,0]}}")]
    [InlineData("{\"a\":{\"dtype\":\"U8\",\"shape\":3,\"data_offsets\":[0,0]}}")]
    [InlineData("{\"a\":{\"dtype\":\"U8\",\"shape\":[\"1\"],\"data_offsets\":[0,1]}}")]
    [InlineData("{\"a\":{\"dtype\":\"U8\",\"shape\":[[1]],\"data_offsets\":[0,1]}}")]
    [InlineData("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}")]
    [InlineData("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,1]}}")]
    [InlineData("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}")]
    public void HeaderOfAnotherStructure(string header) =>
        Assert.Equal("a", Refused(CheckpointFailure.HeaderWrongStructure, header, 1).Tensor);

    [Fact]
    public void TooManyDimensions() =>
        Refused(CheckpointFailure.HeaderWrongStructure, "{" + E("a", "U8", string.Join(",", Enumerable.Repeat("1", 65)), "0,1") + "}", 1);

    [Theory]
    [InlineData("1")]
    [InlineData("[\"a\"]")]
    [InlineData("{\"a\":1}")]
    [InlineData("{\"a\":{\"b\":\"c\"}}")]
    public void MetadataNotStrings(string metadata) => Refused(CheckpointFailure.MetadataNotStrings, $"{{\"__metadata__\":{metadata}}}");

    [Fact]
    public void TensorTwice()
    {
        string header = "{" + E("a", "U8", "1", "0,1") + "," + E("\\u0061", "U8", "1", "1,2") + "}"; // \u0061 is another spelling of a.
        Assert.Equal("a", Refused(CheckpointFailure.DuplicateName, header, 2).Tensor);
    }

    [Fact]
    public void MemberTwice() => Refused(CheckpointFailure.DuplicateName,
        "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1);

    [Fact]
    public void MetadataTwice() => Refused(CheckpointFailure.DuplicateName, "{\"__metadata__\":{},\"__metadata__\":{}}");

    [Theory]
    [InlineData("FP8")]
    [InlineData("f32")]
    [InlineData("")]
    public void UnknownType(string type)
    {
        var error = Refused(CheckpointFailure.UnknownType, "{" + E("a", type, "1", "0,4") + "}", 4);
        Assert.Contains("F8_E4M3FNUZ", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("-1", "0,1")]
    [InlineData("1.0", "0,1")]
    [InlineData("1e0", "0,1")]
    [InlineData("9223372036854775808", "0,1")]
    [InlineData("1", "-1,0")]
    [InlineData("1", "0,99999999999999999999999999999999")]
    public void NumberOutOfRange(string shape, string offsets) =>
        Refused(CheckpointFailure.NumberOutOfRange, "{" + E("a", "U8", shape, offsets) + "}", 1);

    [Theory]
    [InlineData("9223372036854775807,2", "U8")]
    [InlineData("4611686018427387904,4,0", "U8")] // Overflows on the way, as in the reference, although the product is 0.
    [InlineData("4294967296,4294967296", "U8")] // 2^64 would wrap to 0.
    [InlineData("4611686018427387904", "F32")] // Elements fit, bytes do not.
    public void ShapeOverflow(string shape, string type) =>
        Refused(CheckpointFailure.ShapeOverflow, "{" + E("a", type, shape, "0,0") + "}");

    [Theory]
    [InlineData("F4", "3", "0,2")]
    [InlineData("F6_E2M3", "2", "0,2")]
    public void PartialByte(string type, string shape, string offsets) =>
        Refused(CheckpointFailure.PartialByte, "{" + E("a", type, shape, offsets) + "}", 2);

    [Theory]
    [InlineData("2,3", "0,23")]
    [InlineData("2,3", "0,25")]
    [InlineData("0", "0,4")]
    public void ShapeContradictsBytes(string shape, string offsets) => Refused(CheckpointFailure.SizeMismatch,
        "{" + E("a", "F32", shape, offsets) + "}", int.Parse(offsets[2..], System.Globalization.CultureInfo.InvariantCulture));

    [Fact]
    public void OffsetsReversed() => Refused(CheckpointFailure.OffsetsReversed, "{" + E("a", "U8", "1", "2,1") + "}", 2);

    [Fact]
    public void OffsetsOverlap() => Assert.Equal("b", Refused(CheckpointFailure.OffsetsOverlap,
        "{" + E("a", "U8", "4", "0,4") + "," + E("b", "U8", "4", "3,7") + "}", 7).Tensor);

    [Fact]
    public void TheSameBytesTwice() => Refused(CheckpointFailure.OffsetsOverlap,
        "{" + E("a", "U8", "4", "0,4") + "," + E("b", "U8", "4", "0,4") + "}", 4);

    [Fact]
    public void HoleBetween() => Assert.Equal("b", Refused(CheckpointFailure.OffsetsHole,
        "{" + E("a", "U8", "4", "0,4") + "," + E("b", "U8", "4", "5,9") + "}", 9).Tensor);

    [Fact]
    public void HoleAtTheStart() => Refused(CheckpointFailure.OffsetsHole, "{" + E("a", "U8", "1", "1,2") + "}", 2);

    [Fact]
    public void TruncatedData() => Refused(CheckpointFailure.OffsetsOutOfRange, "{" + E("a", "F32", "1024", "0,4096") + "}", 4095);

    [Fact]
    public void OffsetsFarBeyondTheFile() => Refused(CheckpointFailure.OffsetsOutOfRange,
        "{" + E("a", "U8", "9223372036854775807", "0,9223372036854775807") + "}", 1);

    [Theory]
    [InlineData("{}")]
    [InlineData("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}")]
    public void BytesAfterTheLastTensor(string header) => Refused(CheckpointFailure.TrailingBytes, header, 2);

    [Fact]
    public void MissingFile() => Assert.Equal(CheckpointFailure.NotFound,
        Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(_files.PathOf("absent.safetensors"))).Failure);

    [Fact]
    public void ALongNameDoesNotFloodTheMessage() =>
        Refused(CheckpointFailure.OffsetsReversed, "{" + E(new string('n', 100_000), "U8", "1", "1,0") + "}", 1);

    // What looks odd but is legal.
    [Theory]
    [InlineData("{}", 0)]
    [InlineData("{}      ", 0)]
    [InlineData("{\"__metadata__\":null}", 0)]
    [InlineData("{\"a\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,1]}}", 1)]
    [InlineData("{\"a\":{\"dtype\":\"F6_E3M2\",\"shape\":[4],\"data_offsets\":[0,3]}}", 3)]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4)]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[0,0]}}", 0)]
    [InlineData("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"extra\":{\"x\":[1]}}}", 1)]
    [InlineData("{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]},\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 2)]
    public void LegalOddities(string header, int dataBytes)
    {
        using var file = SafetensorsFile.Open(_files.Safetensors("x.safetensors", header, new byte[dataBytes]));
        Assert.Equal(dataBytes, file.Tensors.Sum(tensor => file.Bytes(tensor, 0, (int)tensor.ByteCount).Length));
    }

    [Fact]
    public void FuzzedBytesEndInANamedErrorOrInAFileThatReads()
    {
        string header = "{\"__metadata__\":{\"format\":\"pt\"}," + E("b.weight", "BF16", "2,3", "0,12") + "," + E("a", "F32", "1", "12,16") + "}";
        byte[] valid = TestFiles.Compose(Encoding.UTF8.GetBytes(header), new byte[16]);
        var random = new Random(20240601);
        int opened = 0;
        for (int round = 0; round < 2000; round++)
        {
            string path = _files.Bytes("fuzz.safetensors", Damage(valid, random));
            if (Record.Exception(() => ReadAll(path)) is { } error) Assert.IsType<CheckpointException>(error);
            else opened++;
        }
        Assert.InRange(opened, 20, 1900); // Both outcomes occur: flips within names and data are harmless, most others are not.
    }

    private static byte[] Damage(byte[] valid, Random random)
    {
        byte[] bytes = [.. valid];
        if (random.Next(4) == 0) return bytes[..random.Next(bytes.Length)];
        for (int flips = random.Next(1, 4); flips > 0; flips--) bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
        return bytes;
    }

    private static void ReadAll(string path)
    {
        using var file = SafetensorsFile.Open(path);
        int sum = 0;
        foreach (var tensor in file.Tensors)
            foreach (byte b in file.Bytes(tensor, 0, (int)tensor.ByteCount)) sum += b;
        Assert.True(sum >= 0);
    }
}
