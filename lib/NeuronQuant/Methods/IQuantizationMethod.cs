using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tuning;

namespace NeuronQuant.Methods;

/// <summary>What a method must be given besides the model.</summary>
public enum MethodNeeds
{
    /// <summary>The weights say all.</summary>
    Nothing,

    /// <summary>Calibration texts, which no model is graded on.</summary>
    Calibration,
}

/// <summary>What a method works on besides the model and its grids.</summary>
/// <param name="Calibration">token sequences; null where there are none</param>
/// <param name="Seed">of everything that is drawn: the same seed gives the same integers on the same machine</param>
/// <param name="Cancellation">checked between modules or iterations</param>
public sealed record MethodInput(CalibrationSet? Calibration = null, ulong Seed = 42, CancellationToken Cancellation = default)
{
    /// <summary>The calibration texts of a method that cannot do without.</summary>
    /// <param name="method">its name, for the error</param>
    /// <exception cref="TuningException">there are none</exception>
    public CalibrationSet Texts(string method) => Calibration
        ?? throw new TuningException(method, "looks at what layers do on texts, and was given none. Give calibration texts (--calibration FILE).");
}

/// <summary>
/// A way to make integers for a model. Ours and a reader's own are the same to everything that compares, writes and audits.
/// </summary>
/// <remarks>
/// There are two kinds. Some choose integers for the weights as they are (GPTQ, AutoRound, AdaRound). Others first turn the model into another
/// one that computes the same and whose weights round better (AWQ, SmoothQuant, rotations): see <see cref="IModelTransform"/>. A method of the
/// first kind may follow one of the second, <c>new Awq().Then(new GptqMethod())</c>. Which modules are quantized at all is no matter of the method:
/// the grids say so, and a module without a grid stays in floating point.
/// </remarks>
public interface IQuantizationMethod
{
    /// <summary>What tables, records and <c>--methods</c> call it: short, in small letters, without '+' and ','.</summary>
    string Name { get; }

    /// <summary>What it must be given.</summary>
    MethodNeeds Needs { get; }

    /// <summary>Makes the integers.</summary>
    /// <param name="model">the model in floating point; it is not changed</param>
    /// <param name="grids">the grid of each module that is quantized, see <see cref="ModelGrids"/>; every one of them gets codes</param>
    /// <param name="input">texts, seed, cancellation</param>
    QuantizedModel Apply(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, MethodInput input);
}

/// <summary>A method that changes weights so that the model computes what it did, but rounds better; the rounding itself may be another's.</summary>
public interface IModelTransform : IQuantizationMethod
{
    /// <summary>The model after the change, in floating point.</summary>
    /// <param name="model">it is not changed</param>
    /// <param name="grids">the grid of each module that will be quantized</param>
    /// <param name="input">texts, seed, cancellation</param>
    FoldedModel Fold(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, MethodInput input);

    /// <summary>The change, and then rounding to nearest.</summary>
    QuantizedModel IQuantizationMethod.Apply(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, MethodInput input) =>
        ComposedMethod.RoundFolded(Name, Fold(model, grids, input), grids, input);
}
