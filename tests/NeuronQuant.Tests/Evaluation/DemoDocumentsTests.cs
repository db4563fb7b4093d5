using System.Text.RegularExpressions;
using NeuronQuant.Evaluation;
using NeuronQuant.Tokenization;
using NeuronQuant.Tests.Tuning;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

/// <summary>Documents are read back as text, with patterns of our own, and every answer is looked for in what came before it.</summary>
public sealed partial class DemoDocumentsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly Tokenizer _tokenizer;

    public DemoDocumentsTests() => _tokenizer = BpeTrainer.Train(DemoDocuments.Texts(1, 300), 512, _folder.Path);

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(64)]
    [InlineData(257)]
    [InlineData(1024)]
    public void ADocumentHasItsLengthAndAsksOnlyForWhatItTold(int length)
    {
        var documents = new DemoDocuments(_tokenizer, 3);
        int asked = 0;
        double share = 0;
        for (int i = 0; i < 30; i++)
        {
            var (ids, counts) = documents.Next(length);
            Assert.Equal((length, length), (ids.Length, counts.Length));
            string text = _tokenizer.Decode(ids);
            string counted = _tokenizer.Decode([.. ids.Where((_, at) => counts[at])]);
            share += counts.Count(count => count) / (double)length;
            var notes = NotePattern().Matches(text);
            Assert.Equal(notes.Count, notes.Select(note => note.Groups[1].Value).Distinct().Count());
            foreach (Match question in QuestionPattern().Matches(text))
            {
                var note = Assert.Single(notes, one => one.Groups[1].Value == question.Groups[1].Value);
                Assert.True(note.Index < question.Index);
                Assert.Equal(note.Groups[2].Value, question.Groups[2].Value);
                Assert.Contains($"#### {note.Groups[2].Value}", counted, StringComparison.Ordinal);
                asked++;
            }
        }
        Assert.InRange(share / 30, 0.35, 0.75); // Answers are two fifths of a problem; the rest counts in one of four.
        Assert.True(asked > length / 64, $"{asked} questions in 30 documents of {length}");
    }

    [Fact]
    public void ARecallDocumentAsksForItsFirstNumberAtTheDistance()
    {
        var documents = new DemoDocuments(_tokenizer, 5, DemoPart.HeldOut);
        foreach (int distance in new[] { 40, 200, 900 })
        {
            var document = documents.Recall(distance);
            Assert.InRange(document.Distance, Math.Max(1, distance - 150), distance);
            string answer = _tokenizer.Decode(document.Ids[^document.AnswerLength..]).Trim(), text = _tokenizer.Decode(document.Ids);
            var first = NotePattern().Match(text);
            Assert.Equal(text.IndexOf("Note", StringComparison.Ordinal), first.Index);
            Assert.Equal(first.Groups[2].Value, answer);
            Assert.Equal(first.Groups[1].Value, Assert.Single(QuestionPattern().Matches(text + "<")).Groups[1].Value);
            int told = _tokenizer.Encode(text[..(first.Groups[2].Index + 2)].Replace("<s>", "", StringComparison.Ordinal)).Length;
            Assert.Equal(document.Ids.Length - document.AnswerLength - told, document.Distance);
        }
    }

    [Fact]
    public void TheSameSeedGivesTheSameDocuments()
    {
        int[] Second(ulong seed)
        {
            var documents = new DemoDocuments(_tokenizer, seed);
            documents.Next(100);
            return documents.Next(100).Ids;
        }
        Assert.Equal(Second(7), Second(7));
        Assert.NotEqual(Second(7), Second(8));
    }

    [GeneratedRegex(@"Note: the number of (\w+) is (\d\d)\.")]
    private static partial Regex NotePattern();

    [GeneratedRegex(@"What is the number of (\w+)\?\nAnswer: #### (\d\d)")]
    private static partial Regex QuestionPattern();
}
