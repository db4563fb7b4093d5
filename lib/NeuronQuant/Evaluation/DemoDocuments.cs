using NeuronQuant.Tokenization;

namespace NeuronQuant.Evaluation;

/// <summary>A document that asks at its end for a number which a note told at its beginning.</summary>
/// <param name="Ids">tokens of the document; the last <paramref name="AnswerLength"/> are the answer</param>
/// <param name="AnswerLength">tokens to be found</param>
/// <param name="Distance">tokens from the note's number to the answer</param>
public sealed record RecallDocument(int[] Ids, int AnswerLength, int Distance);

/// <summary>Long texts of the demo task: problems with their answers, notes that tell a number, and questions that ask for it much later.</summary>
/// <remarks>
/// A word problem is answered from its own sentences, so a model that only knows problems has no use for a long context, and a study of its cache
/// measures nothing. Here every piece is a text of its own, from &lt;s&gt; to &lt;/s&gt;, one after another until the document is full:
///   Note: the number of Mia is 47.          a person and a number, both at random, a person once a document
///   Question: What is the number of Mia? / Answer: #### 47          of any note before it, near or far
///   Question: … / Answer: …          a problem of the demo task, from its training part
/// Numbers and persons of notes cannot be foreseen; the answer to a question can only be looked up. Answers always count in the loss. The rest of a
/// piece counts in one of four: enough for the perplexity of a whole text to mean something, and not so much that what is drawn at random drowns
/// what can be learned. Source of the idea: associative recall, Arora et al., "Zoology", 2023, and the needle in a haystack of long-context
/// evaluations.
/// </remarks>
public sealed class DemoDocuments
{
    private const int Notes = 40, Recalls = 30; // In a hundred pieces; the rest are problems, which are six times as long.
    private const int WholeOneIn = 4;
    private const string AnswerMark = "\nAnswer:";

    private readonly Tokenizer _tokenizer;
    private readonly DemoRandom _random;
    private readonly IEnumerator<DemoProblem> _problems;
    private readonly int _end;

    /// <summary>A source of documents.</summary>
    /// <param name="tokenizer">with the tokens of <see cref="BpeTrainer"/></param>
    /// <param name="seed">the same seed gives the same documents in the same order</param>
    /// <param name="part">of the problems: what a model learns from, or what it is measured on</param>
    public DemoDocuments(Tokenizer tokenizer, ulong seed, DemoPart part = DemoPart.Training)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        (_tokenizer, _random, _end) = (tokenizer, new DemoRandom(seed), tokenizer.IdOf(BpeTrainer.EndToken)!.Value);
        _problems = DemoTask.Generate(part, seed + 1, int.MaxValue).GetEnumerator();
    }

    /// <summary>A document of exactly so many tokens, and which of them count in a loss; its last piece is cut.</summary>
    /// <param name="length">tokens</param>
    public (int[] Ids, bool[] Counts) Next(int length)
    {
        var ids = new List<int>();
        var counts = new List<bool>();
        var notes = new List<(string Person, int Number)>();
        while (ids.Count < length)
        {
            int draw = _random.Between(0, 99);
            bool whole = _random.Between(1, WholeOneIn) == 1;
            if (draw >= Notes + Recalls) Add(ProblemText());
            else if (notes.Count > 0 && (draw >= Notes || notes.Count == DemoTemplates.People.Length)) Add(Question(_random.Pick(notes)));
            else
            {
                notes.Add((Someone(notes), Number()));
                Add(Note(notes[^1]));
            }

            void Add(string text)
            {
                int answer = text.IndexOf(AnswerMark, StringComparison.Ordinal) + AnswerMark.Length;
                int[] piece = Piece(text);
                int given = answer < AnswerMark.Length ? piece.Length : _tokenizer.Encode(text[..answer]).Length;
                ids.AddRange(piece);
                counts.AddRange(piece.Select((_, i) => whole || i >= given));
            }
        }
        return ([.. ids.Take(length)], [.. counts.Take(length)]);
    }

    /// <summary>A document that begins with a note, goes on with other notes and problems, and asks for the first note's number.</summary>
    /// <param name="distance">tokens from the note's number to the answer, at most; a piece less where the next would not fit</param>
    public RecallDocument Recall(int distance)
    {
        var notes = new List<(string Person, int Number)> { (_random.Pick(DemoTemplates.People), Number()) };
        var ids = new List<int>(Piece(Note(notes[0])));
        int told = ids.Count - 2; // Behind the number come a full stop and the end token.
        int[] asked = _tokenizer.Encode(Question(notes[0])), given = _tokenizer.Encode(Question(notes[0], answered: false));
        while (true)
        {
            bool note = _random.Between(0, 99) < Notes && notes.Count < DemoTemplates.People.Length;
            if (note) notes.Add((Someone(notes), Number()));
            int[] piece = Piece(note ? Note(notes[^1]) : ProblemText());
            if (ids.Count + piece.Length + given.Length - told > distance) break;
            ids.AddRange(piece);
        }
        int answerAt = ids.Count + given.Length;
        return new RecallDocument([.. ids, .. asked], asked.Length - given.Length, answerAt - told);
    }

    /// <summary>Texts to train a tokenizer on: problems, notes and questions.</summary>
    /// <param name="seed">chooses them</param>
    /// <param name="count">problems; notes and questions are as many</param>
    public static IEnumerable<string> Texts(ulong seed, int count)
    {
        var random = new DemoRandom(seed);
        foreach (var problem in DemoTask.Generate(DemoPart.Training, seed, count))
        {
            var note = (random.Pick(DemoTemplates.People), random.Between(10, 99));
            yield return Text(problem.Problem);
            yield return Note(note);
            yield return Question(note);
        }
    }

    private static string Text(WordProblem problem) => $"{WordProblemTask.Prompt([], problem.Question)} {problem.Answer}";

    private static string Note((string Person, int Number) note) => FormattableString.Invariant($"Note: the number of {note.Person} is {note.Number}.");

    private static string Question((string Person, int Number) note, bool answered = true) =>
        FormattableString.Invariant($"{WordProblemTask.Prompt([], $"What is the number of {note.Person}?")} ####{(answered ? FormattableString.Invariant($" {note.Number}") : "")}");

    private string ProblemText() => _problems.MoveNext() ? Text(_problems.Current.Problem) : throw new InvalidOperationException("The problems are without end.");

    private int[] Piece(string text) => [.. _tokenizer.Encode(text), _end];

    private int Number() => _random.Between(10, 99);

    private string Someone(List<(string Person, int Number)> notes)
    {
        while (true)
            if (_random.Pick(DemoTemplates.People) is var person && !notes.Exists(note => note.Person == person)) return person;
    }
}
