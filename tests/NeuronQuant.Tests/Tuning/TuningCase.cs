using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tests.Models;
using NeuronQuant.Tuning;

namespace NeuronQuant.Tests.Tuning;

/// <summary>A small model, its calibration and a short recipe for the tests of tuning.</summary>
internal static class TuningCase
{
    public static readonly TuningRecipe Short = new("short", 40, 0.01, Samples: 16, BatchSize: 8, SequenceLength: 12);

    public static readonly ModuleName[] Modules = [.. Enumerable.Range(0, 2).SelectMany(layer => ModuleName.LinearTypes.Select(type => new ModuleName(layer, type)))];

    public static LlamaModel Model() => TestModels.Random(TestModels.Config());

    public static CalibrationSet Texts(int seed = 1) => CalibrationSet.Of(Enumerable.Range(0, 16).Select(i => TestModels.Tokens(12, seed + i)), 12);

    public static QuantizationPlan Plan(params string[] entries) => QuantizationPlan.Create(Modules, false, Format.Int8, Granularity.PerChannelSymmetric, entries);

    public static IReadOnlyDictionary<ModuleName, Grid> Grids(Grid grid) => TuningGrids.Of(Plan(), grid);
}
