using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Tensors;

namespace NeuronQuant.Selection;

/// <summary>What a model predicts on texts as it is, kept to measure what rounded inputs change, for any number of formats and choices.</summary>
/// <remarks>Each text is read alone, since a format may share its scales with the texts of a batch. What is kept: 4 bytes times the hidden size of each token.</remarks>
public sealed class InputReference : IDisposable
{
    private readonly LlamaModel _model;
    private readonly Predictions _predictions;

    /// <param name="model">in floating point; it is not changed</param>
    /// <param name="texts">token ids of each text</param>
    /// <param name="cancellation">checked before each text</param>
    public InputReference(LlamaModel model, IReadOnlyList<int[]> texts, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        TokenBatch.Require(texts);
        (_model, _predictions) = (model, new Predictions(model, texts.Select(text => TokenBatch.Of([text])), cancellation));
    }

    /// <summary>Mean divergence with the inputs of all modules rounded but those kept, nats per token.</summary>
    /// <param name="format">how inputs are rounded</param>
    /// <param name="kept">modules that read their input as it is; null for none</param>
    /// <param name="cancellation">checked before each text</param>
    public double Divergence(InputFormat format, IEnumerable<ModuleName>? kept = null, CancellationToken cancellation = default)
    {
        var stay = (kept ?? []).ToHashSet();
        var simulated = new Simulation(Inputs: new InputRounding(format, module => !stay.Contains(module.Module)));
        return _predictions.Divergence(_model, batch => _model.Hidden(batch, simulated: simulated), cancellation);
    }

    /// <summary>Frees what is kept.</summary>
    public void Dispose() => _predictions.Dispose();
}
