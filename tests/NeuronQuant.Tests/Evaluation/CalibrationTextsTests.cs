using System.Text;
using NeuronQuant.Evaluation;
using NeuronQuant.Tests.Checkpoints;
using NeuronQuant.Tokenization;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

public sealed class CalibrationTextsTests : IDisposable
{
    private readonly TestFiles _files = new();
    private readonly Tokenizer _tokenizer = Tokenizer.Load(Repository.PathOf("data", "demo-model"));

    public void Dispose() => _files.Dispose();

    [Fact]
    public void A_line_may_hold_a_text_or_a_problem()
    {
        string path = _files.Bytes("mixed.jsonl", [.. Encoding.UTF8.Preamble, .. """
            {"text":"Carl has 8 nuts.","meta":{"source":"x"}}

            {"question":"1 + 1?","answer":"#### 2"}
            """u8]);
        var texts = CalibrationTexts.Read(path, _tokenizer, 512);
        Assert.Equal(["Carl has 8 nuts.", "Question: 1 + 1?\nAnswer: #### 2"], texts.Select(ids => _tokenizer.Decode(ids)));
        Assert.All(texts, ids => Assert.Equal(0, ids[0])); // <s>
    }

    [Fact]
    public void A_long_text_is_cut_into_pieces()
    {
        string text = string.Join(' ', Enumerable.Repeat("Carl has 8 nuts.", 40));
        var texts = CalibrationTexts.Read(_files.Text("long.jsonl", $$"""{"text":"{{text}}"}"""), _tokenizer, 16);
        Assert.Equal(_tokenizer.Encode(text), texts.SelectMany(piece => piece));
        Assert.All(texts, piece => Assert.InRange(piece.Length, 1, 16));
    }

    [Theory]
    [InlineData("""{"prompt":"x"}""", "neither \"text\" nor \"question\"")]
    [InlineData("""{"text":7}""", "no text \"text\"")]
    [InlineData("""{"question":"x"}""", "no text \"answer\"")]
    public void Any_other_line_is_named(string line, string found)
    {
        string path = _files.Text("bad.jsonl", "{\"text\":\"Carl has 8 nuts.\"}\n" + line);
        var error = Assert.Throws<EvaluationException>(() => CalibrationTexts.Read(path, _tokenizer, 512));
        Assert.Contains($"{path}, line 2: found {found}", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_text_without_tokens_and_a_file_without_lines_are_named()
    {
        Assert.Contains("line 1: holds 1 tokens", Assert.Throws<EvaluationException>(
            () => CalibrationTexts.Read(_files.Text("empty.jsonl", "{\"text\":\"\"}"), _tokenizer, 512)).Message, StringComparison.Ordinal);
        Assert.Contains("holds no line", Assert.Throws<EvaluationException>(
            () => CalibrationTexts.Read(_files.Text("none.jsonl", "\n"), _tokenizer, 512)).Message, StringComparison.Ordinal);
    }
}
