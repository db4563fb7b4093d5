using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;

namespace NeuronQuant.Quantization;

/// <summary>
/// The plan of a quantization: which format each linear module gets. It is what NxDI's options say (quantization_dtype,
/// quantization_type, modules_to_not_convert), resolved against a checkpoint before anything is written.
/// </summary>
/// <remarks>
/// NxDI quantizes every linear layer, lm_head included, unless an entry excludes it; embeddings and norms stay float. A tied lm_head is
/// overwritten by the embedding when NxDI loads, so it must stay float and be listed: the plan adds "lm_head" to the entries and says so
/// in <see cref="Notes"/>. Per-tensor quantization ignores the list when NxDI quantizes, so entries are refused with it.
/// </remarks>
public sealed class QuantizationPlan
{
    private readonly IReadOnlyDictionary<ModuleName, Format> _formats;

    private QuantizationPlan(
        Format format, Granularity granularity, IReadOnlyList<string> entries, IReadOnlyDictionary<ModuleName, Format> formats, IReadOnlyList<string> notes)
    {
        (Format, Granularity, ModulesToNotConvert, _formats, Notes) = (format, granularity, entries, formats, notes);
    }

    /// <summary>The format of the modules that are quantized.</summary>
    public Format Format { get; }

    /// <summary>One scale a row, or one a weight.</summary>
    public Granularity Granularity { get; }

    /// <summary>The entries to give to NeuronConfig; the same that this plan was resolved with.</summary>
    public IReadOnlyList<string> ModulesToNotConvert { get; }

    /// <summary>What the plan decided on its own, in sentences.</summary>
    public IReadOnlyList<string> Notes { get; }

    /// <summary>True when "lm_head" is among the entries only because the plan added it for a tied head.</summary>
    public bool AddedTiedHead { get; private init; }

    /// <summary>All linear modules, in the order of a forward pass.</summary>
    public IEnumerable<ModuleName> Modules => _formats.Keys;

    /// <summary>The linear modules that stay in bf16.</summary>
    public IEnumerable<ModuleName> Kept => _formats.Where(pair => pair.Value == Format.Bf16).Select(pair => pair.Key);

    /// <summary>The format of a module; anything but a planned linear module stays bf16.</summary>
    public Format this[ModuleName module] => _formats.GetValueOrDefault(module, Format.Bf16);

    /// <summary>Resolves a plan against the linear modules of a checkpoint.</summary>
    /// <param name="checkpoint">the model; only its tensor names and its config are read</param>
    /// <param name="format">int8, f8e4m3 or f8e5m2</param>
    /// <param name="granularity">per channel or per tensor</param>
    /// <param name="modulesToNotConvert">entries as NxDI takes them</param>
    /// <exception cref="QuantizationException">an entry is unsafe or matches nothing, or the combination does not work in NxDI</exception>
    public static QuantizationPlan Create(
        Checkpoint checkpoint, Format format, Granularity granularity = Granularity.PerChannelSymmetric, IReadOnlyList<string>? modulesToNotConvert = null) =>
        Create(LinearModules(checkpoint), checkpoint.HasConfig && checkpoint.Config.TieWordEmbeddings, format, granularity, modulesToNotConvert ?? [],
            checkpoint.HasConfig && checkpoint.Config.HasQueryKeyValueBias, checkpoint.HeadTie == HeadTie.Contradicted);

    /// <summary>The same for a list of linear modules, with no checkpoint at hand.</summary>
    public static QuantizationPlan Create(
        IReadOnlyList<ModuleName> modules, bool tiedHead, Format format, Granularity granularity, IReadOnlyList<string> modulesToNotConvert,
        bool attentionBias = false, bool contradictedHead = false)
    {
        if (format == Format.Bf16) throw new QuantizationException("plan", "bf16 is not a quantization format. Choose int8, f8e4m3 or f8e5m2.");
        if (modules.Count == 0) throw new QuantizationException("plan", "the checkpoint has no linear module that NxDI would quantize (…q_proj, …down_proj, lm_head).");
        if (granularity == Granularity.PerTensorSymmetric && modulesToNotConvert.Count > 0)
            throw new QuantizationException(modulesToNotConvert[0],
                "NxDI ignores modules_to_not_convert with per_tensor_symmetric, so the file and the graph would disagree. Use per_channel_symmetric.");
        var notes = new List<string>();
        var entries = modulesToNotConvert.ToList();
        bool addHead = tiedHead && !entries.Any(entry => "lm_head".Contains(entry, StringComparison.Ordinal));
        if (addHead)
        {
            entries.Add("lm_head");
            notes.Add($"{(contradictedHead ? "lm_head will be overwritten by the embedding" : "lm_head shares the embedding's weight")} (tie_word_embeddings), so it stays in bf16; \"lm_head\" was added to modules_to_not_convert.");
        }
        if (contradictedHead) notes.Add($"{TiedHead.Contradiction}.");
        if (format != Format.Int8 && granularity == Granularity.PerTensorSymmetric)
            notes.Add($"NxDI's own save_quantized_state_dict writes a 0-dimensional scale for {format.NxdiName()} per tensor, which its loader refuses; this writes [1].");
        var named = entries.Where(entry => entry != "lm_head" || !tiedHead).ToArray();
        var kept = Exclusions.Resolve(named, modules);
        if (attentionBias && modules.Any(module => module.Type == "self_attn.q_proj" && !kept.Contains(module)))
            notes.Add("q, k and v have biases, and NxD raises NotImplementedError for quantized attention with biases (neuronx-distributed issue 60); keep \"self_attn\".");
        return new QuantizationPlan(format, granularity, entries,
            modules.ToDictionary(module => module, module => kept.Contains(module) || (tiedHead && module.Type == "lm_head") ? Format.Bf16 : format), notes)
        {
            AddedTiedHead = addHead,
        };
    }

    /// <summary>The linear modules of a checkpoint, in the order of a forward pass.</summary>
    public static IReadOnlyList<ModuleName> LinearModules(Checkpoint checkpoint) =>
        [.. checkpoint.Tensors.Where(tensor => ModuleName.OfTensor(tensor.Name, out string parameter).IsLinear && parameter == "weight")
            .Select(tensor => ModuleName.OfTensor(tensor.Name, out _)).Distinct().Order()];

    /// <summary>The linear modules of an architecture, in the order of a forward pass.</summary>
    public static IReadOnlyList<ModuleName> LinearModules(ModelConfig config) =>
        [.. ExpectedTensors.Of(config).Where(tensor => tensor.Module.IsLinear && tensor.Parameter == "weight").Select(tensor => tensor.Module)];
}
