namespace NeuronQuant.Models;

/// <summary>Texts token by token: a prompt is read at once, then every step adds one token to each text.</summary>
/// <remarks>
/// Several texts of different lengths are decoded together, each in a row with its own position, and each row's logits have the same
/// bits as if it were alone. A step allocates nothing. Weights are copied once, as bf16 where that is exact, so changes to
/// the model after the decoder was made are not seen by its steps: make a new one. For one thread at a time.
/// </remarks>
public sealed class Decoder
{
    private readonly LlamaModel _model;
    private readonly KeyValueCache _cache;
    private readonly StreamedWeight[][] _weights; // For each layer q, k, v, o, gate, up, down.
    private readonly StreamedWeight _head;
    private readonly BlockActivations _prompt = new();
    private readonly int[] _active;
    private readonly float[] _stream, _normed, _query, _key, _value, _mixed, _gate, _up, _logits;

    /// <summary>A decoder for so many texts at a time.</summary>
    /// <param name="model">the model</param>
    /// <param name="rows">texts decoded together</param>
    /// <param name="capacity">tokens of the longest text, prompt included</param>
    public Decoder(LlamaModel model, int rows = 1, int capacity = 1024)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentOutOfRangeException.ThrowIfLessThan(rows, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        var config = model.Config;
        (_model, Rows, _cache, _active) = (model, rows, new KeyValueCache(config, rows, capacity), new int[rows]);
        _weights = [.. model.Blocks.Select(block => block.Linears.Select(linear => new StreamedWeight(linear)).ToArray())];
        _head = new StreamedWeight(model.Head);
        (_stream, _normed) = (new float[rows * config.HiddenSize], new float[rows * config.HiddenSize]);
        (_query, _mixed) = (new float[rows * config.QuerySize], new float[rows * config.QuerySize]);
        (_key, _value) = (new float[rows * config.KeyValueSize], new float[rows * config.KeyValueSize]);
        (_gate, _up) = (new float[rows * config.IntermediateSize], new float[rows * config.IntermediateSize]);
        _logits = new float[checked(rows * config.VocabularySize)];
        model.Rotary.Prepare(capacity);
    }

    /// <summary>The token for a row that takes no part in a step.</summary>
    public const int Idle = -1;

    /// <summary>Texts decoded together.</summary>
    public int Rows { get; }

    /// <summary>Tokens that fit a row.</summary>
    public int Capacity => _cache.Capacity;

    /// <summary>Whether all linear weights are read as bf16, which a bf16 checkpoint's are.</summary>
    public bool ReadsBf16 => _head.IsBf16 && _weights.All(layer => layer.All(weight => weight.IsBf16));

    /// <summary>Tokens in a row.</summary>
    public int LengthOf(int row) => _cache.Lengths[row];

    /// <summary>Starts a row with a prompt, forgetting what was there.</summary>
    /// <param name="row">the row</param>
    /// <param name="prompt">at least one token</param>
    /// <returns>[vocabulary] logits of the token after the prompt; valid until the next call</returns>
    /// <exception cref="ModelException">the prompt is empty, too long or not of the vocabulary</exception>
    public ReadOnlySpan<float> Prefill(int row, ReadOnlySpan<int> prompt)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)row, (uint)Rows, nameof(row));
        if (prompt.Length == 0 || prompt.Length > Capacity)
            throw new ModelException("prompt", $"has {prompt.Length} tokens, expected 1 to {Capacity}: shorten it or make the decoder's capacity larger.");
        int hidden = _model.Config.HiddenSize, keyWidth = _model.Config.KeyValueSize, count = prompt.Length;
        var stream = new float[count * hidden];
        Embedding.Forward(prompt, _model.Embedding.Values, stream, hidden);
        foreach (var block in _model.Blocks.SkipLast(1))
        {
            block.Forward(stream, stream, 1, count, _prompt);
            _cache.Write(block.Layer, row, 0, _prompt.Key.AsSpan(0, count * keyWidth), _prompt.Value.AsSpan(0, count * keyWidth));
        }
        // Of the last layer all tokens need keys and values, and the rest is asked of the last token alone: that is a step.
        var last = _model.Blocks[^1];
        last.KeysAndValues(stream, count, _prompt);
        _cache.Write(last.Layer, row, 0, _prompt.Key.AsSpan(0, count * keyWidth), _prompt.Value.AsSpan(0, count * keyWidth));
        stream.AsSpan((count - 1) * hidden).CopyTo(_stream);
        (_active[0], _cache.Lengths[row]) = (row, count - 1);
        Block(last.Layer, 1);
        _cache.Lengths[row] = count;
        return Logits(1);
    }

    /// <summary>Adds one token to each row and gives the logits of what follows.</summary>
    /// <param name="tokens">[rows] token ids, or <see cref="Idle"/> for a row that rests</param>
    /// <returns>[active rows, vocabulary] in the order of the rows that are not idle; valid until the next call</returns>
    /// <exception cref="ModelException">a row is full or has no prompt yet</exception>
    public ReadOnlySpan<float> Step(ReadOnlySpan<int> tokens)
    {
        if (tokens.Length != Rows) throw new ModelException("tokens", $"{tokens.Length} tokens for {Rows} rows; give each row one, or Idle.");
        int count = 0, hidden = _model.Config.HiddenSize;
        for (int row = 0; row < Rows; row++)
        {
            if (tokens[row] == Idle) continue;
            if (LengthOf(row) is 0 || LengthOf(row) >= Capacity)
                throw new ModelException("tokens", $"row {row} holds {LengthOf(row)} of {Capacity} tokens; prefill an empty row, start a full one again.");
            Embedding.Forward(tokens.Slice(row, 1), _model.Embedding.Values, _stream.AsSpan(count * hidden), hidden);
            _active[count++] = row;
        }
        for (int layer = 0; layer < _weights.Length; layer++) Block(layer, count);
        for (int i = 0; i < count; i++) _cache.Lengths[_active[i]]++;
        return Logits(count);
    }

    private void Block(int layer, int count)
    {
        var config = _model.Config;
        var (block, weights) = (_model.Blocks[layer], _weights[layer]);
        Norm(block.InputNorm, count);
        weights[0].Forward(_normed, _query, count);
        weights[1].Forward(_normed, _key, count);
        weights[2].Forward(_normed, _value, count);
        for (int i = 0; i < count; i++)
        {
            int row = _active[i], position = LengthOf(row);
            var key = _key.AsSpan(i * config.KeyValueSize, config.KeyValueSize);
            _model.Rotary.Row(_query.AsSpan(i * config.QuerySize, config.QuerySize), position);
            _model.Rotary.Row(key, position);
            _cache.Write(layer, row, position, key, _value.AsSpan(i * config.KeyValueSize, config.KeyValueSize));
        }
        _cache.Attend(layer, _active, count, _query, _mixed);
        weights[3].Forward(_mixed, _normed, count);
        VectorMath.AddScaled(_stream.AsSpan(0, count * config.HiddenSize), _normed, 1);
        Norm(block.MiddleNorm, count);
        weights[4].Forward(_normed, _gate, count);
        weights[5].Forward(_normed, _up, count);
        int values = count * config.IntermediateSize;
        SwiGlu.Forward(_gate.AsSpan(0, values), _up.AsSpan(0, values), _gate.AsSpan(0, values));
        weights[6].Forward(_gate, _normed, count);
        VectorMath.AddScaled(_stream.AsSpan(0, count * config.HiddenSize), _normed, 1);
    }

    private void Norm(Parameter weight, int count)
    {
        int hidden = _model.Config.HiddenSize;
        for (int i = 0; i < count; i++)
            RmsNorm.Row(_stream.AsSpan(i * hidden, hidden), weight.Values, _normed.AsSpan(i * hidden, hidden), (float)_model.Config.RmsNormEpsilon);
    }

    private ReadOnlySpan<float> Logits(int count)
    {
        Norm(_model.Norm, count);
        _head.Forward(_normed, _logits, count);
        return _logits.AsSpan(0, count * _model.Config.VocabularySize);
    }
}
