using System.CommandLine;
using NeuronQuant.Models;
using NeuronQuant.Tensors;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>
/// <c>nq study</c>: what happens beside the weights. <c>inputs</c> rounds what linear modules read, <c>cache</c> rounds keys and values. Both run the
/// float model on texts and simulate; the same verbs of the library are notebook 11.
/// </summary>
internal static class StudyCommand
{
    public static Command Create() =>
        new("study", "Simulate 8 bits beside the weights: at the inputs of modules, or in the cache.")
        {
            StudyInputsCommand.Create(), StudyCacheCommand.Create(),
        };
}

/// <summary>What both studies read: a model, and texts that it is measured on.</summary>
internal sealed class StudyOptions(int standardSamples, int standardLength)
{
    private readonly Argument<string> _model = Arguments.Model();
    private readonly Option<string?> _texts = new("--texts")
    {
        Description = "A text file, or .jsonl with text, or with question and answer. Without it the model writes its own texts.",
    };

    private readonly Option<int?> _samples = TuningOptions.Samples($"{standardSamples}", "Texts");
    private readonly Option<int> _length = TuningOptions.Sized(
        "--length", "Tokens of a text at most; the model's context is the other limit.", 2, int.MaxValue, standardLength);
    private readonly PlacementOptions _place = new();

    public void AddTo(Command command)
    {
        foreach (var symbol in new Option[] { _texts, _samples, _length }) command.Add(symbol);
        command.Arguments.Add(_model);
        _place.AddTo(command);
    }

    public StudySource Read(ParseResult result)
    {
        var texts = new CalibrationSource(result.GetValue(_texts), result.GetValue(_samples) ?? standardSamples, result.GetValue(_length));
        return new(result.GetRequiredValue(_model), texts with { Option = "--texts" }, _place.Read(result));
    }
}

/// <summary>A model to study and its texts.</summary>
internal sealed record StudySource(string Path, CalibrationSource Texts, Placement Place)
{
    /// <summary>The float model, token ids of 2 to the asked number each, and where they are from.</summary>
    /// <exception cref="UsageException">no text has two tokens, so there is nothing to predict</exception>
    public (LlamaModel Model, int[][] Texts, string Origin) Open(CancellationToken cancellation)
    {
        using var source = ModelSource.Open(Path);
        var model = ModelFiles.Load(source, Place);
        var (read, origin) = Texts.Read(model.Config, () => model, CalibrationSource.TokenizerOf(source), cancellation);
        int length = Math.Min(Texts.SequenceLength, model.Config.MaxPositionEmbeddings);
        // Problems come whole, and the last piece of a text may be a single token, which predicts nothing.
        int[][] texts = [.. read.Select(text => text[..Math.Min(length, text.Length)]).Where(text => text.Length > 1)];
        if (texts.Length == 0) throw new UsageException("--texts: no text has two tokens. Give longer texts.");
        return (model, texts, $"{origin}; {texts.Length} of 2 to {length} tokens, {texts.Sum(text => text.Length)} together");
    }
}
