namespace NeuronQuant.Models;

/// <summary>A whole model forward and backward over a batch, with buffers that the next batch uses again.</summary>
/// <remarks>
/// The head is the largest multiplication and its logits the largest tensor: [rows, vocabulary]. With a loss they are never whole: rows that
/// have a target are gathered, 512 at a time become logits, loss and gradient, and only the gradient of the hidden state stays. One
/// pass serves one thread at a time; several passes may share a model that is not being trained.
/// </remarks>
/// <param name="model">the model</param>
public sealed class ModelPass(LlamaModel model)
{
    private const int HeadRows = 512; // Rows of logits at a time: some MB for a small vocabulary, which the cache half holds.

    private readonly BlockActivations[] _kept = [.. model.Blocks.Select(_ => new BlockActivations())];
    private readonly BlockGradients _scratch = new();
    private float[] _stream = [], _normed = [], _scales = [], _gradient = [], _losses = [];
    private float[] _headInput = [], _headGradient = [], _logits = [];

    /// <summary>The model.</summary>
    public LlamaModel Model { get; } = model;

    /// <summary>What each block computed in the last forward pass.</summary>
    public IReadOnlyList<BlockActivations> Activations => _kept;

    /// <summary>The last norm's output of the last forward pass: [rows, hidden].</summary>
    public float[] Normed => _normed;

    /// <summary>The last block's output of the last forward pass: [rows, hidden].</summary>
    public float[] Stream => _stream;

    /// <summary>Hidden states after the last norm, in <see cref="Normed"/>.</summary>
    /// <param name="batch">tokens; targets are not looked at</param>
    public void Forward(TokenBatch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        int rows = batch.Rows, hidden = Model.Config.HiddenSize;
        if (_scales.Length < rows)
            (_stream, _normed, _gradient, _scales, _losses) =
                (new float[rows * hidden], new float[rows * hidden], new float[rows * hidden], new float[rows], new float[HeadRows]);
        Embedding.Forward(batch.Tokens, Model.Embedding.Values, _stream, hidden);
        for (int layer = 0; layer < _kept.Length; layer++)
            Model.Blocks[layer].Forward(_stream, _stream, batch.Sequences, batch.Length, _kept[layer]);
        RmsNorm.Forward(_stream, Model.Norm.Values, _normed, _scales, rows, (float)Model.Config.RmsNormEpsilon);
    }

    /// <summary>Logits of every position.</summary>
    /// <param name="batch">tokens</param>
    /// <returns>[rows, vocabulary]</returns>
    public float[] Logits(TokenBatch batch)
    {
        Forward(batch);
        var logits = new float[checked(batch.Rows * Model.Config.VocabularySize)];
        Model.Head.Forward(_normed, logits, batch.Rows);
        return logits;
    }

    /// <summary>Mean loss over the positions that have a target, in nats per token.</summary>
    /// <param name="batch">tokens and targets</param>
    public double Loss(TokenBatch batch)
    {
        Forward(batch);
        return Head(batch, withGradient: false);
    }

    /// <summary>Mean loss in nats per token, and the gradients of all parameters that have one, which are added to.</summary>
    /// <param name="batch">tokens and targets</param>
    public double LossAndGradients(TokenBatch batch)
    {
        Forward(batch);
        int rows = batch.Rows, hidden = Model.Config.HiddenSize;
        double loss = Head(batch, withGradient: true);
        Array.Clear(_gradient, 0, rows * hidden);
        RmsNorm.Backward(_stream, Model.Norm.Values, _scales, _normed, _gradient, Model.Norm.Gradient, rows);
        for (int layer = _kept.Length - 1; layer >= 0; layer--) Model.Blocks[layer].Backward(_gradient, _kept[layer], _scratch);
        if (Model.Embedding.Gradient is { } table) Embedding.Backward(batch.Tokens, _gradient, table, hidden);
        return loss;
    }

    // The loss; with gradients, _normed becomes the gradient of itself.
    private double Head(TokenBatch batch, bool withGradient)
    {
        int hidden = Model.Config.HiddenSize, vocabulary = Model.Config.VocabularySize;
        int[] counted = [.. Enumerable.Range(0, batch.Targets.Length).Where(r => batch.Targets[r] != CrossEntropy.Ignored)];
        if (counted.Length == 0) throw new ModelException("batch", "has no position with a target: nothing to learn. Check the loss mask.");
        if (_logits.Length == 0)
            (_headInput, _headGradient, _logits) = (new float[HeadRows * hidden], new float[HeadRows * hidden], new float[HeadRows * vocabulary]);
        var targets = new int[HeadRows];
        double total = 0;
        for (int first = 0; first < counted.Length; first += HeadRows)
        {
            var rows = counted.AsSpan(first, Math.Min(HeadRows, counted.Length - first));
            for (int i = 0; i < rows.Length; i++)
            {
                targets[i] = Target(batch, rows[i]);
                _normed.AsSpan(rows[i] * hidden, hidden).CopyTo(_headInput.AsSpan(i * hidden));
            }
            Model.Head.Forward(_headInput, _logits, rows.Length);
            CrossEntropy.ForwardBackward(_logits, targets.AsMemory(0, rows.Length), _losses, vocabulary, 1f / counted.Length);
            for (int i = 0; i < rows.Length; i++) total += _losses[i];
            if (!withGradient) continue;
            Model.Head.Backward(_headInput, _logits, _headGradient, rows.Length);
            for (int i = 0; i < rows.Length; i++) _headGradient.AsSpan(i * hidden, hidden).CopyTo(_normed.AsSpan(rows[i] * hidden));
        }
        if (withGradient) ClearIgnored(batch, hidden);
        return total / counted.Length;
    }

    private void ClearIgnored(TokenBatch batch, int hidden)
    {
        for (int r = 0; r < batch.Rows; r++)
            if (batch.Targets[r] == CrossEntropy.Ignored) _normed.AsSpan(r * hidden, hidden).Clear();
    }

    private int Target(TokenBatch batch, int row)
    {
        int target = batch.Targets[row];
        return (uint)target < (uint)Model.Config.VocabularySize ? target
            : throw new ModelException("batch", $"target {target} at position {row} is outside of the vocabulary of {Model.Config.VocabularySize}.");
    }
}
