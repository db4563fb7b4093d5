using System.Text.Json;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using NeuronQuant.Tuning;
using Xunit;
using static TorchSharp.torch;

namespace NeuronQuant.Tests.Tuning;

/// <summary>
/// One block tuned here in float32 and by torch's autograd in float64 (tests/python/make_autoround_golden.py): the loss of every iteration,
/// the iteration that is kept, every code and every scale.
/// </summary>
public class AutoRoundGoldenTests
{
    private const int Samples = 6, Length = 8, Hidden = 16;

    public sealed record Module(string Type, int[] Codes, double[] Scales);

    public sealed record Case(string Grid, int Bits, double Rate, double[] Losses, int BestIteration, Module[] Modules);

    private sealed record Golden(string Torch, int Iterations, Case[] Cases);

    private static readonly Golden File = JsonSerializer.Deserialize<Golden>(
        System.IO.File.ReadAllText(Repository.PathOf("tests", "NeuronQuant.Tests", "Golden", "autoround_block.json")),
        new JsonSerializerOptions { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower })!;

    public static TheoryData<Case> Cases => [.. File.Cases];

    [Theory]
    [MemberData(nameof(Cases), DisableDiscoveryEnumeration = true)]
    public void A_block_learns_as_torch_does(Case golden)
    {
        var tuning = BlockTuner.Tune(Task(golden));
        Assert.Equal(golden.BestIteration, tuning.BestIteration);
        for (int i = 0; i < golden.Losses.Length; i++) Assert.Equal(1, tuning.Losses[i] / golden.Losses[i], 1e-5); // float32 against float64.
        foreach (var module in golden.Modules)
        {
            var weight = tuning.Weights[new ModuleName(0, module.Type)];
            Assert.Equal(module.Codes, weight.Integers.ToArray().Select(code => (int)code));
            for (int row = 0; row < weight.Rows; row++) Assert.Equal(1, weight.Scales[row] / module.Scales[row], 1e-6);
        }
    }

    internal static BlockTask Task(Case golden)
    {
        var config = new ModelConfig
        {
            File = "golden",
            Family = ModelFamily.Llama,
            HiddenSize = Hidden,
            IntermediateSize = 24,
            LayerCount = 1,
            HeadCount = 2,
            KeyValueHeadCount = 1,
            HeadSize = 8,
            VocabularySize = 4,
            MaxPositionEmbeddings = 64,
            RmsNormEpsilon = 1e-5,
            RopeTheta = 10000,
        };
        ulong state = 7;
        var block = new DecoderBlock(config, 0, Placement.Standard);
        foreach (var norm in new[] { block.InputNorm, block.MiddleNorm })
            for (int i = 0; i < Hidden; i++) norm.Values[i] = 1 + Next(ref state);
        foreach (var linear in block.Linears)
            for (int i = 0; i < linear.Out * linear.In; i++) linear.Weight.Values[i] = BFloat16.Round(8 * Next(ref state));
        float[][] targets = Streams(ref state, 32), inputs = [.. targets.Select(stream => stream.ToArray())], noise = Streams(ref state, 1);
        for (int s = 0; s < Samples; s++)
            for (int i = 0; i < inputs[s].Length; i++) inputs[s][i] += noise[s][i];
        var rotary = new RotaryEmbedding(config, Placement.Standard);
        Tensor Stream(float[][] values) => tensor(values.SelectMany(one => one).ToArray()).view(Samples, Length, Hidden);
        var target = Torch.Run(() => block.Forward(Stream(targets), Positions.Of(rotary, Length, Placement.Standard)));
        var grids = block.Linears.ToDictionary(linear => ModuleName.Parse(linear.Name), _ => Grid.Parse(golden.Grid, golden.Bits));
        float[] counted = [.. Enumerable.Range(0, Samples).SelectMany(s => Enumerable.Range(0, Length).Select(t => t < (s == 1 ? 5 : Length - 1) ? 1f : 0f))];
        return new BlockTask(block, rotary, grids, Stream(inputs), target, tensor(counted).view(Samples, Length, 1),
            new TuningRecipe("golden", File.Iterations, golden.Rate, BatchSize: 4), new TuningRules());
    }

    private static float[][] Streams(ref ulong state, float gain)
    {
        var streams = new float[Samples][];
        for (int s = 0; s < Samples; s++)
        {
            streams[s] = new float[Length * Hidden];
            for (int i = 0; i < streams[s].Length; i++) streams[s][i] = gain * Next(ref state);
        }
        return streams;
    }

    private static float Next(ref ulong state)
    {
        state = state * 6364136223846793005 + 1442695040888963407;
        long total = (long)(state & 0xFFFF) + (long)((state >> 16) & 0xFFFF) + (long)((state >> 32) & 0xFFFF) + (long)(state >> 48) - 131070;
        return (float)(total * Math.Pow(2, -20));
    }
}
