using NeuronQuant.Checkpoints;
using NeuronQuant.Models;

namespace NeuronQuant.Tests.Models;

/// <summary>Small models with sizes that fill no vector, and random texts.</summary>
internal static class TestModels
{
    public static ModelConfig Config(ModelFamily family = ModelFamily.Llama, bool tied = false, int? window = null, RopeScaling? scaling = null) => new()
    {
        File = "test config",
        Family = family,
        HiddenSize = 20,
        IntermediateSize = 27,
        LayerCount = 2,
        HeadCount = 4,
        KeyValueHeadCount = 2,
        HeadSize = 6,
        VocabularySize = 37,
        MaxPositionEmbeddings = 256,
        RmsNormEpsilon = 1e-5,
        TieWordEmbeddings = tied,
        HasQueryKeyValueBias = family == ModelFamily.Qwen2,
        HasQueryKeyNorm = family == ModelFamily.Qwen3,
        SlidingWindow = window,
        RopeScaling = scaling,
    };

    /// <summary>A model with weights ten times larger than usual, so that its layers are far from linear.</summary>
    public static LlamaModel Random(ModelConfig config, int seed = 1)
    {
        var model = new LlamaModel(config);
        foreach (var parameter in model.Parameters)
        {
            TestWeights.Normal(parameter.Values.Length, seed++, 0.25).CopyTo(parameter.Values);
            if (parameter.Name.EndsWith("norm.weight", StringComparison.Ordinal))
                for (int i = 0; i < parameter.Values.Length; i++) parameter.Values[i] += 1;
        }
        return model;
    }

    public static int[] Tokens(int count, int seed, int vocabulary = 37)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.Next(vocabulary))];
    }
}
