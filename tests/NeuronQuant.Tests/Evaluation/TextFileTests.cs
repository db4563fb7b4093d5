using System.Text;
using NeuronQuant.Evaluation;
using NeuronQuant.Tests.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

/// <summary>Bytes written by hand from the encodings' definitions: "é𝄞" is C3 A9 F0 9D 84 9E in UTF-8, 00E9 D834 DD1E in UTF-16.</summary>
public sealed class TextFileTests : IDisposable
{
    private readonly TestFiles _files = new();

    public void Dispose() => _files.Dispose();

    [Theory]
    [InlineData("C3A9F09D849E")]
    [InlineData("EFBBBFC3A9F09D849E")]
    [InlineData("FFFEE90034D81EDD")]
    [InlineData("FEFF00E9D834DD1E")]
    [InlineData("FFFE0000E90000001ED10100")]
    [InlineData("0000FEFF000000E90001D11E")]
    public void AByteOrderMarkSaysTheEncoding(string bytes) => Assert.Equal("é\U0001D11E", TextFile.Read(Write(bytes)));

    [Theory]
    [InlineData("6162E963", 2, "UTF-8")] // "abéc" in Latin-1
    [InlineData("EFBBBF61FF", 4, "UTF-8")]
    [InlineData("61C3", 1, "UTF-8")] // half a character at the end
    [InlineData("61EDA080", 1, "UTF-8")] // a surrogate
    [InlineData("FFFE610034D86200", 4, "UTF-16")]
    [InlineData("FFFE610034", 4, "UTF-16")]
    [InlineData("FFFE00006100000000001100", 8, "UTF-32")]
    public void OtherBytesAreRefusedWithTheirOffset(string bytes, int offset, string encoding)
    {
        string path = Write(bytes);
        var error = Assert.Throws<EvaluationException>(() => TextFile.Read(path));
        Assert.Equal((EvaluationFailure.DataInvalid, path), (error.Failure, error.Where));
        Assert.Contains($"offset {offset},", error.Message, StringComparison.Ordinal);
        Assert.Contains(encoding, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void LinesEndWithAnyLineEnd() => Assert.Equal(["a", "", "b"], TextFile.Lines(Write("EFBBBF610A0D0A620D0A")));

    [Fact]
    public void ATaskFileWithAMarkIsReadAndOneThatIsNoTextIsNamed()
    {
        byte[] line = """{"question":"1+1?","answer":"#### 2"}"""u8.ToArray();
        Assert.Equal("1+1?", Assert.Single(WordProblemFile.Read(_files.Bytes("marked.jsonl", [.. Encoding.UTF8.Preamble, .. line]))).Question);
        var error = Assert.Throws<EvaluationException>(() => WordProblemFile.Read(_files.Bytes("bad.jsonl", [.. line, 0xFF])));
        Assert.Contains($"offset {line.Length}", error.Message, StringComparison.Ordinal);
    }

    private string Write(string hex) => _files.Bytes("text.txt", Convert.FromHexString(hex));
}
