using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Selection;

/// <summary>What a model predicts on texts as it is, kept to measure what rounded inputs change, for any number of formats and choices.</summary>
/// <remarks>
/// Of each token the state behind the last norm is kept, in host memory: 4 bytes times the hidden size. Logits would be some twenty times that, and
/// are one multiplication away.
/// </remarks>
public sealed class InputReference : IDisposable
{
    private readonly LlamaModel _model;
    private readonly IReadOnlyList<int[]> _texts;
    private readonly Tensor?[] _states;

    /// <param name="model">in floating point; it is not changed</param>
    /// <param name="texts">token ids of each text</param>
    /// <param name="cancellation">checked before each text</param>
    public InputReference(LlamaModel model, IReadOnlyList<int[]> texts, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        TokenBatch.Require(texts);
        (_model, _texts, _states) = (model, texts, new Tensor?[texts.Count]);
        try
        {
            ForEach(i => _states[i] = Torch.Keep(model.Hidden(new TokenBatch(texts[i], [], 1)).cpu()), cancellation);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Mean divergence with the inputs of all modules rounded but those kept, nats per token.</summary>
    /// <param name="format">how inputs are rounded</param>
    /// <param name="kept">modules that read their input as it is; null for none</param>
    /// <param name="cancellation">checked before each text</param>
    public double Divergence(InputFormat format, IEnumerable<ModuleName>? kept = null, CancellationToken cancellation = default)
    {
        var (stay, sums) = ((kept ?? []).ToHashSet(), new double[_texts.Count]);
        var simulated = new Simulation(Inputs: new InputRounding(format, module => !stay.Contains(module.Module)));
        ForEach(i => sums[i] = LogitsDivergence.Sum(_model.LogitsOf(_states[i]!.to(_model.Place.Device)),
            _model.LogitsOf(_model.Hidden(new TokenBatch(_texts[i], [], 1), simulated: simulated))), cancellation);
        return sums.Sum() / _texts.Sum(text => (double)text.Length);
    }

    /// <summary>Frees what is kept.</summary>
    public void Dispose()
    {
        foreach (var states in _states) states?.Dispose();
    }

    private void ForEach(Action<int> work, CancellationToken cancellation) => Torch.ForEach(
        _model.Config.HiddenSize, [.. Enumerable.Range(0, _texts.Count)], i => Torch.Run(() => work(i)), cancellation);
}
