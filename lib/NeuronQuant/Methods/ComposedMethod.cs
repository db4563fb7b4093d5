using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;

namespace NeuronQuant.Methods;

/// <summary>Puts a transform in front of another method.</summary>
public static class ComposedMethod
{
    /// <summary>First the change of weights, then the other method on the changed model: <c>new Rotation().Then(new GptqMethod())</c>.</summary>
    /// <param name="first">the transform</param>
    /// <param name="second">any method, another transform among them</param>
    public static IQuantizationMethod Then(this IModelTransform first, IQuantizationMethod second)
    {
        ArgumentNullException.ThrowIfNull(first);
        ArgumentNullException.ThrowIfNull(second);
        return second is IModelTransform next ? new TwoTransforms(first, next) : new TransformThenMethod(first, second);
    }

    internal static QuantizedModel RoundFolded(
        string name, FoldedModel folded, IReadOnlyDictionary<ModuleName, Grid> grids, MethodInput input) =>
        Named(name, folded.Folds, new RoundToNearestMethod().Apply(folded.Model, grids, input));

    private static QuantizedModel Named(string name, IReadOnlyList<Fold> folds, QuantizedModel made) =>
        made with { Method = name, Folds = [.. folds, .. made.Folds] };

    private static MethodNeeds Both(IQuantizationMethod first, IQuantizationMethod second) =>
        first.Needs == MethodNeeds.Calibration ? first.Needs : second.Needs;

    private sealed record TransformThenMethod(IModelTransform First, IQuantizationMethod Second) : IQuantizationMethod
    {
        public string Name => $"{First.Name}+{Second.Name}";

        public MethodNeeds Needs => Both(First, Second);

        public QuantizedModel Apply(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, MethodInput input)
        {
            var folded = First.Fold(model, grids, input);
            return Named(Name, folded.Folds, Second.Apply(folded.Model, grids, input));
        }
    }

    private sealed record TwoTransforms(IModelTransform First, IModelTransform Second) : IModelTransform
    {
        public string Name => $"{First.Name}+{Second.Name}";

        public MethodNeeds Needs => Both(First, Second);

        public FoldedModel Fold(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, MethodInput input)
        {
            var first = First.Fold(model, grids, input);
            var second = Second.Fold(first.Model, grids, input);
            return second with { Folds = [.. first.Folds, .. second.Folds] };
        }

        // The second may choose integers in its own way, as AWQ clips.
        public QuantizedModel Apply(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, MethodInput input)
        {
            var first = First.Fold(model, grids, input);
            return Named(Name, first.Folds, Second.Apply(first.Model, grids, input));
        }
    }
}
