using System.Collections.Immutable;

namespace NeuronQuant.Checkpoints;

/// <summary>How a checkpoint's weights are stored: as they are, as codes whose product with a scale is the weight, or in a way that is refused.</summary>
/// <remarks>
/// The tensors decide, config.json and hf_quant_config.json are held against them. Refused is what is not known to be a product: a method
/// that is not of the list, a companion tensor that marks another scheme, a code without a scale, a float weight beside one, a linear
/// module that has tensors but no weight. Packed integers are read where their config says how and every column lies in its group. A weight is
/// never read as its bare code, and no module is left out of a profile because of how it is stored: <see cref="Checkpoint.Open"/> throws instead.
/// </remarks>
public sealed class SourceScheme
{
    private readonly List<IComputedTensor> _scaled = [];
    private readonly Dictionary<string, (PackedTensor? Weight, string? Obstacle)> _packed = new(StringComparer.Ordinal);
    private readonly HashSet<string> _consumed = new(StringComparer.Ordinal);
    private readonly Checkpoint _stored;
    private readonly DeclaredQuantization? _declared;

    private SourceScheme(Checkpoint stored)
    {
        (_stored, _declared) = (stored, DeclaredQuantization.Read(stored.ConfigPath));
        if (_declared?.Packing is { } packing)
            foreach (var tensor in stored.Tensors.Where(tensor => tensor.Name.EndsWith(".qweight", StringComparison.Ordinal)))
                _packed[Stem(tensor)] = PackedTensor.Of(stored, tensor, packing);
        Refusal = FindRefusal();
        if (Refusal is null) Pair();
    }

    /// <summary>True when some weights are codes with scales.</summary>
    public bool IsQuantized => _scaled.Count > 0;

    /// <summary>The scheme in words: fp8 with block scales of 128 x 128; null for plain floating point.</summary>
    public string? Name => Refusal is not null ? RefusedName
        : IsQuantized ? string.Join(" and ", _scaled.Select(weight => weight.Kind).Distinct()) : null;

    /// <summary>Why no weight can be read; null when all can.</summary>
    public CheckpointException? Refusal { get; private set; }

    /// <summary>What was decided, in sentences to say aloud.</summary>
    public IEnumerable<string> Notes
    {
        get
        {
            if (IsQuantized)
                yield return $"read from {Name}: {_scaled.Count} weights are code x scale, in float32 and then bf16 "
                    + $"({(_declared is null ? "no config names the method" : _declared.Name)}). What quantization lost before stays lost.";
            else if (Refusal is null && _declared is not null)
                yield return $"the config names {_declared.Name}, but every weight is floating point: they are read as they lie.";
            int left = _consumed.Count - _scaled.Sum(weight => weight.Companions.Count());
            if (left > 0)
                yield return $"{left} scales of activations or of the cache are left out: they concern the runtime that they were made for.";
        }
    }

    internal long StoredBytes => _stored.ByteCount;

    /// <summary>Every weight that is computed.</summary>
    internal IReadOnlyList<IComputedTensor> Computed => _scaled;

    /// <summary>Those that lie as codes and scales, a byte a code.</summary>
    internal IReadOnlyList<ScaledTensor> Scaled => [.. _scaled.OfType<ScaledTensor>()];

    /// <summary>Those that lie as packed integers.</summary>
    internal IReadOnlyList<PackedTensor> Packed => [.. _scaled.OfType<PackedTensor>()];

    private string RefusedName { get; set; } = "";

    /// <summary>Finds out how a checkpoint's weights are stored; only headers, configs and, where there are any, zero points are read.</summary>
    /// <param name="stored">a checkpoint opened by <see cref="Checkpoint.OpenStored"/></param>
    public static SourceScheme Of(Checkpoint stored)
    {
        ArgumentNullException.ThrowIfNull(stored);
        return new SourceScheme(stored);
    }

    /// <summary>The tensors as they are read: weights by value, their scales left out.</summary>
    internal ImmutableArray<TensorInfo> Tensors()
    {
        if (!IsQuantized) return _stored.Tensors;
        var values = _scaled.ToDictionary(weight => weight.Code.Name, weight => weight.Values, StringComparer.Ordinal);
        return [.. _stored.Tensors.Where(tensor => !_consumed.Contains(tensor.Name)).Select(tensor => values.GetValueOrDefault(tensor.Name, tensor))];
    }

    private void Pair()
    {
        foreach (var weight in _packed.Values.Select(packed => packed.Weight).OfType<PackedTensor>())
        {
            _scaled.Add(weight);
            _consumed.UnionWith(weight.Companions.Select(tensor => tensor.Name));
        }
        try
        {
            foreach (var tensor in _stored.Tensors.Where(tensor => IsCode(tensor) && tensor.Name.EndsWith(".weight", StringComparison.Ordinal)))
                if (ScaleOf(tensor) is { } scale)
                {
                    _scaled.Add(ScaledTensor.Of(_stored, tensor, scale, _declared?.Block));
                    _consumed.Add(scale.Name);
                }
        }
        catch (CheckpointException error)
        {
            (Refusal, RefusedName) = (error, "codes whose scales do not fit");
            _scaled.Clear();
        }
        if (IsQuantized)
            foreach (var tensor in _stored.Tensors)
                if (ModuleName.OfTensor(tensor.Name, out string parameter) is not null
                    && (CompanionTensors.IsActivation(parameter) || parameter == CompanionTensors.ZeroPoint)) _consumed.Add(tensor.Name);
    }

    private CheckpointException? FindRefusal()
    {
        foreach (var tensor in _stored.Tensors)
            if (SchemeOf(tensor) is { } scheme)
                return Refuse(_declared is { IsExact: false } ? _declared.Name : scheme, tensor, Why(tensor));
        if (_declared is not { IsExact: false } || _packed.Count > 0) return null;
        var first = _stored.Tensors.FirstOrDefault(tensor =>
            ModuleName.OfTensor(tensor.Name, out string parameter).IsLinear && parameter == "weight");
        return Refuse(_declared.Name, first ?? _stored.Tensors.FirstOrDefault(),
            first is { } weight && IsFloat(weight) ? " If its weights are plain floating point after all, remove quantization_config from config.json." : "");
    }

    // The scheme, not a product, that a tensor shows; null when it shows none.
    private string? SchemeOf(TensorInfo tensor)
    {
        var module = ModuleName.OfTensor(tensor.Name, out string parameter);
        if (_packed.GetValueOrDefault(Stem(tensor)).Weight is { } packed && (tensor == packed.Code || packed.Companions.Contains(tensor)))
            return null;
        if (CompanionTensors.Scheme(module, parameter) is { } marked) return marked;
        if (parameter == CompanionTensors.ZeroPoint && !IsZero(tensor)) return "codes with zero points";
        if (parameter == "weight" && (module.IsKnown || tensor.Shape.Length == 2)) return WeightScheme(tensor);
        bool lacksWeight = module.IsLinear && _stored.Find(module, "weight") is null && _packed.GetValueOrDefault(Stem(tensor)).Weight is null;
        return lacksWeight && parameter != "bias" && !CompanionTensors.IsActivation(parameter) ? $"tensors named .{parameter} without a weight" : null;
    }

    private string Why(TensorInfo tensor) =>
        _packed.GetValueOrDefault(Stem(tensor)).Obstacle is { } obstacle ? $" {Stem(tensor)}qweight {obstacle}." : "";

    private static string Stem(TensorInfo tensor) => tensor.Name[..(tensor.Name.LastIndexOf('.') + 1)];

    private string? WeightScheme(TensorInfo weight)
    {
        int scales = Scales(weight).Count();
        if (scales > 1) return "two scales for one weight";
        if (IsFloat(weight)) return scales == 0 ? null : "a float weight beside a scale";
        if (IsCode(weight) && scales == 1) return null;
        return $"{weight.Type.Name()} codes{(IsCode(weight) ? " without a scale" : "")}";
    }

    private bool IsZero(TensorInfo tensor)
    {
        for (long first = 0; first < tensor.ByteCount; first += 1 << 20)
            if (_stored.Bytes(tensor, first, (int)Math.Min(1 << 20, tensor.ByteCount - first)).ContainsAnyExcept((byte)0)) return false;
        return true;
    }

    private TensorInfo? ScaleOf(TensorInfo weight) => Scales(weight).FirstOrDefault();

    private IEnumerable<TensorInfo> Scales(TensorInfo weight)
    {
        string stem = weight.Name[..^"weight".Length];
        return CompanionTensors.Scales.Select(name => _stored.Find(stem + name)).OfType<TensorInfo>();
    }

    private CheckpointException Refuse(string scheme, TensorInfo? first, string hint = "")
    {
        RefusedName = scheme;
        return new CheckpointException(CheckpointFailure.SourceQuantized, first?.File ?? _stored.Source, first?.Name,
            $"weights quantized already: {scheme}",
            "floating point, or a scheme that is a product of code and scale (fp8 or int8 of compressed-tensors, ModelOpt, fbgemm, DeepSeek or "
            + "NxD; GPTQ and auto-round with their columns in order)",
            "Use the original checkpoint that it was made from; or dequantize it with the program that wrote it, save bf16, and use that folder." + hint);
    }

    private static bool IsCode(TensorInfo tensor) => tensor.Type is TensorType.I8 or TensorType.F8E4M3 or TensorType.F8E5M2;

    private static bool IsFloat(TensorInfo tensor) => tensor.Type is TensorType.F64 or TensorType.F32 or TensorType.F16 or TensorType.BF16;
}
