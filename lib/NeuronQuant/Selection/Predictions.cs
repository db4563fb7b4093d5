using NeuronQuant.Models;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Selection;

/// <summary>What a model predicts at every token of some texts, kept to measure by how much other predictions diverge, any number of times.</summary>
/// <remarks>
/// Of each token the state behind the last norm is kept, in host memory: 4 bytes times the hidden size. Logits would be some twenty times that, and
/// are one multiplication away.
/// </remarks>
internal sealed class Predictions : IDisposable
{
    private readonly LlamaModel _model;
    private readonly TokenBatch[] _batches;
    private readonly Tensor?[] _states;
    private readonly long _tokens;

    /// <param name="model">in floating point; it is not changed</param>
    /// <param name="batches">texts whose targets are their own next tokens, as <see cref="TokenBatch.Of"/> makes them</param>
    /// <param name="cancellation">checked before each batch</param>
    public Predictions(LlamaModel model, IEnumerable<TokenBatch> batches, CancellationToken cancellation)
    {
        (_model, _batches) = (model, [.. batches]);
        (_states, _tokens) = (new Tensor?[_batches.Length], _batches.Sum(batch => (long)RealRows(batch).Length));
        try
        {
            ForEach(i => _states[i] = Torch.Keep(Real(_batches[i], model.Hidden(_batches[i])).cpu()), cancellation);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Mean divergence KL(kept || other), nats per token.</summary>
    /// <param name="model">whose head gives the other logits</param>
    /// <param name="hidden">the other states behind the last norm, [sequences, length, hidden]; asked for by several threads</param>
    /// <param name="cancellation">checked before each batch</param>
    public double Divergence(LlamaModel model, Func<TokenBatch, Tensor> hidden, CancellationToken cancellation)
    {
        var sums = new double[_batches.Length];
        ForEach(i => sums[i] = LogitsDivergence.Sum(_model.LogitsOf(_states[i]!.to(_model.Place.Device)), model.LogitsOf(Real(_batches[i], hidden(_batches[i])))), cancellation);
        return sums.Sum() / _tokens;
    }

    /// <summary>The rows of real tokens, [rows, width].</summary>
    public static Tensor Real(TokenBatch batch, Tensor output) => output.view(batch.Rows, -1).index_select(0, tensor(RealRows(batch)).to(output.device));

    /// <summary>Frees what is kept.</summary>
    public void Dispose()
    {
        foreach (var states in _states) states?.Dispose();
    }

    private void ForEach(Action<int> work, CancellationToken cancellation) => Torch.ForEach(
        _model.Config.HiddenSize < Torch.Small, [.. Enumerable.Range(0, _batches.Length)], i => Torch.Run(() => work(i)), cancellation);

    // The last token of a text has no target, and padding neither, but only the first of those is real.
    private static long[] RealRows(TokenBatch batch) =>
    [
        .. Enumerable.Range(0, batch.Rows).Where(i => batch.Targets[i] != TokenBatch.Ignored || i % batch.Length == 0 || batch.Targets[i - 1] != TokenBatch.Ignored)
            .Select(i => (long)i),
    ];
}
