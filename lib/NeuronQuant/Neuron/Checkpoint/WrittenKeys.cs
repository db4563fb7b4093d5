using NeuronQuant.Checkpoints;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>
/// The keys of a written folder as NxDI's loader sees them: one leading "model." is dropped, ".weight_scale" means ".scale"
/// (models/application_base.py:690-737 at SDK 2.28). Checks what is there against what the plan makes the loader ask for.
/// </summary>
internal sealed class WrittenKeys
{
    private readonly Dictionary<string, TensorInfo> _byName = new(StringComparer.Ordinal);

    public WrittenKeys(Checkpoint written, CheckpointLayout layout)
    {
        Layout = layout;
        foreach (var tensor in written.Tensors) _byName[Canonical(tensor.Name)] = tensor;
    }

    public CheckpointLayout Layout { get; }

    /// <summary>The written counterpart of a source tensor.</summary>
    public TensorInfo? Find(TensorInfo source) => _byName.GetValueOrDefault(Canonical(source.Name));

    /// <summary>The scale beside it.</summary>
    public TensorInfo? Scale(TensorInfo source) => _byName.GetValueOrDefault(NeuronCheckpoint.ScaleName(Canonical(source.Name)));

    /// <summary>Compares presence, type and shape of what a source tensor becomes; false when its values cannot be compared.</summary>
    public bool Check(TensorInfo source, QuantizationPlan plan, HashSet<string> expected, List<AuditFinding> findings)
    {
        int before = findings.Count;
        foreach (var declaration in NeuronCheckpoint.Declare(source, plan, Layout))
        {
            string name = Canonical(declaration.Name);
            expected.Add(name);
            if (!_byName.TryGetValue(name, out var found))
            {
                findings.Add(new AuditFinding(AuditDefect.KeyMissing, name,
                    "the loader will ask for it and it is not in the folder. Write the folder again, whole."));
                continue;
            }
            if (!TypeFits(declaration.Type, found.Type))
                findings.Add(new AuditFinding(AuditDefect.WrongType, name, $"is {found.Type.Name()}; the loader expects {declaration.Type.Name()} "
                    + "there. Write the folder with the options that NeuronConfig will get."));
            if (!declaration.Shape.AsSpan().SequenceEqual(found.Shape.AsSpan()))
                findings.Add(new AuditFinding(AuditDefect.WrongShape, name,
                    $"has shape [{string.Join(", ", found.Shape)}]; expected [{string.Join(", ", declaration.Shape)}]. Is it of another model?"));
        }
        return findings.Count == before;
    }

    /// <summary>Keys that no source tensor explains.</summary>
    public IEnumerable<AuditFinding> Extra(HashSet<string> expected) => _byName.Keys.Where(name => !expected.Contains(name))
        .Select(name => new AuditFinding(AuditDefect.KeyExtra, name, name.EndsWith(".scale", StringComparison.Ordinal)
            ? "a scale for a module that stays in bf16; NxDI drops it and reads the weight as it lies. Remove it, or quantize the module."
            : "is not in the source; nothing will read it. Is it of another model?"));

    // Anything that stays float may lie in any float type: NxDI casts it to torch_dtype.
    private static bool TypeFits(TensorType expected, TensorType found) =>
        expected == found || (expected == TensorType.BF16 && NeuronCheckpoint.IsFloat(found));

    private static string Canonical(string name)
    {
        if (name.StartsWith("model.", StringComparison.Ordinal)) name = name["model.".Length..];
        return name.EndsWith(".weight_scale", StringComparison.Ordinal) ? name[..^"weight_scale".Length] + "scale" : name;
    }
}
