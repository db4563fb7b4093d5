using NeuronQuant.Checkpoints;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>Counts <see cref="IntegerChanges"/> while a folder is written, whoever chose its codes.</summary>
/// <param name="source">opened by value</param>
/// <param name="request">what was asked for instead of the source's own codes, in words; null where these are kept if NxDI holds them</param>
internal sealed class IntegerCount(Checkpoint source, string? request)
{
    private readonly List<ModuleIntegers> _modules = [];

    /// <summary>The count so far; null for a source in floating point.</summary>
    public IntegerChanges? Result => source.Scheme is { IsQuantized: true } ? new IntegerChanges(_modules) : null;

    /// <summary>Adds rows of a weight, which come in order.</summary>
    /// <param name="tensor">the weight in the source</param>
    /// <param name="first">the number of the first row</param>
    /// <param name="rows">what is written</param>
    /// <param name="asBf16">whether it is written as bf16, which NxDI rounds again</param>
    public void Add(TensorInfo tensor, int first, QuantizedWeight rows, bool asBf16 = false)
    {
        if (source.CodesOf(tensor) is not { } codes) return;
        bool compared = codes.WhyNoIntegers is null && rows.Grid is { IsInteger: true, WhyNotOnNeuron: null };
        if (first == 0)
            _modules.Add(new ModuleIntegers(
                ModuleName.OfTensor(tensor.Name, out _), tensor.ElementCount, compared ? 0 : null, 0, codes.WhyNotOnNeuron ?? request));
        if (!compared) return;
        if (asBf16) rows = SecondRounding.ByNxdi(rows);
        var (before, changed, scales) = (new int[rows.Columns], 0L, 0L);
        for (int row = 0; row < rows.Rows; row++)
        {
            float scale = codes.ReadRow(first + row, before), written = rows.Scale(row);
            int sign = MathF.Sign(scale) * MathF.Sign(written);
            if (MathF.Abs(scale) != MathF.Abs(written)) scales++;
            var after = rows.Integers.Slice(row * rows.Columns, rows.Columns);
            for (int i = 0; i < before.Length; i++)
                if (sign * before[i] != after[i]) changed++;
        }
        var module = _modules[^1];
        _modules[^1] = module with { Changed = module.Changed + changed, ScalesChanged = module.ScalesChanged + scales };
    }
}
