using NeuronQuant.Methods;
using NeuronQuant.Models;
using NeuronQuant.Tensors;
using NeuronQuant.Tests.Neuron;
using NeuronQuant.Checkpoints;
using NeuronQuant.Sensitivity;
using Xunit;

namespace NeuronQuant.Tests.Methods;

public class OutlierInjectionTests
{
    [Fact]
    public void The_function_is_preserved_while_the_crest_factor_grows()
    {
        using var files = new TinyModel();
        var (plain, changed) = (LlamaModel.Load(files.Folder), LlamaModel.Load(files.Folder));
        OutlierInjection.Apply(changed, factor: 32, channels: 2, seed: 5);
        var batch = new TokenBatch([1, 5, 9, 33, 60, 2], [], 1);
        float[] expected = plain.Logits(batch).ToFloats(), found = changed.Logits(batch).ToFloats();
        for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], found[i], 2e-5f); // the order of sums is the same, their sizes are not
        var (before, after) = (Sqnr(plain.Blocks[1]["self_attn.q_proj"]), Sqnr(changed.Blocks[1]["self_attn.q_proj"]));
        Assert.True(after < before - 6, $"SQNR {before:0.0} dB became {after:0.0} dB");
        Assert.Equal(Sqnr(plain.Blocks[1]["mlp.down_proj"]), Sqnr(changed.Blocks[1]["mlp.down_proj"]));
    }

    [Theory]
    [InlineData(3, 1)]
    [InlineData(0, 1)]
    [InlineData(2, 33)]
    public void Factors_that_would_round_and_channels_that_are_not_there_are_refused(int factor, int channels)
    {
        using var files = new TinyModel();
        Assert.Throws<ModelException>(() => OutlierInjection.Apply(LlamaModel.Load(files.Folder), factor, channels));
    }

    // Noise against the ordinary weights: the signal of the outliers themselves would hide it.
    private static double Sqnr(Linear linear)
    {
        var weight = linear.ToWeightMatrix();
        double mse = ModuleMetrics.Measure(ModuleName.Parse(linear.Name), weight).Int8Mse;
        double median = linear.Weight.ToArray().Select(w => (double)w * w).Order().ElementAt(linear.Weight.Values.Length / 2);
        return 10 * Math.Log10(median / mse);
    }
}
