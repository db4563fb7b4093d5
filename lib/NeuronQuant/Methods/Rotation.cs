using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Methods;

/// <summary>
/// A random rotation, as in QuaRot: the residual stream, and what heads carry, in another basis. An outlier in one channel becomes a little of
/// every channel, so rows get nearly normal, and a grid by the largest weight fits them better. The model computes the same.
/// </summary>
/// <remarks>
/// Ashkboos et al., "QuaRot", 2024 (arXiv 2404.00456); Liu et al., "SpinQuant", 2024 (arXiv 2405.16406), whose names R1 to R4 are used:
///   R1 [hidden]: E R1; q, k, v, gate, up, head W R1; o, down R1^T W and their biases R1^T b. Norm gains go into the weights first.
///   R2 [head size], one a layer: v_h R2^T of every key head with its bias, o's columns of every query head times R2. SpinQuant's; QuaRot turns o
///   by a
///   matrix across all heads, which needs a kernel when the model runs.
/// R1 and R2 here are diag(+-1) H / sqrt(n), see <see cref="Hadamard"/>, computed in float64 and rounded once: in float32 a bf16 model lost 10 % of
/// its pass rate (QuaRot issue 72).
/// Left out are R3, on q and k behind the rotary embedding for a quantized key cache, and R4, in front of down: both run with the model, and NxDI
/// has no kernel for them. What that costs: without R4 down keeps the outliers of its input, and the authors' 4-bit figures (Llama 3 8B perplexity
/// 7.8 by rounding, 6.4 rotated) have R4 and GPTQ in them. Activations and the cache stay bf16 on Inferentia2, so R3 would serve nothing there.
/// It may lose, too. A row becomes normal, with a largest weight of so many times its rms as normal numbers have, whatever it was; rows that were
/// tamer get worse. The demo model is such a one: its blocks' rows have a crest factor of 2.8 before and after, those of its head go from 2.45
/// to 2.7, and at 3 bits the loss on held-out answers is above that of rounding (0.0150 nats against 0.0125; in groups of 64 0.0129
/// against 0.0102), at 4 bits below it (0.0061 against 0.0063). Users report weight-only 4 bits worse behind a rotation, too (QuaRot issues 16, 22).
/// A tied head becomes a head of its own, since the last gain goes into it alone. Known faults of the tools that are not here: the embedding's mean
/// subtracted, v's bias left as it was (hadamard_utils.py:144-179), head size taken as hidden / heads (rotation_utils.py:131).
/// </remarks>
/// <param name="Stream">whether R1 is applied</param>
/// <param name="Heads">whether R2 is; alone it needs no fold of gains and leaves a tied head tied</param>
public sealed record Rotation(bool Stream = true, bool Heads = true) : IModelTransform
{
    /// <inheritdoc/>
    public string Name => Stream ? "hadamard" : "hadamard-heads";

    /// <inheritdoc/>
    public MethodNeeds Needs => MethodNeeds.Nothing;

    /// <inheritdoc/>
    public FoldedModel Fold(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, MethodInput input)
    {
        ArgumentNullException.ThrowIfNull(model);
        var config = model.Config;
        return Turned(model, Stream ? Hadamard.Random(config.HiddenSize, input.Seed) : null,
            Heads ? [.. model.Blocks.Select(block => Hadamard.Random(config.HeadSize, HeadSeed(input.Seed, block.Layer)))] : null);
    }

    /// <summary>A model in another basis.</summary>
    /// <param name="model">it is not changed</param>
    /// <param name="stream">R1, [hidden, hidden] row-major; null for none</param>
    /// <param name="heads">R2 of each layer, [head size, head size]; null for none</param>
    public static FoldedModel Turned(LlamaModel model, double[]? stream, IReadOnlyList<double[]>? heads)
    {
        ArgumentNullException.ThrowIfNull(model);
        var folds = new List<Fold>();
        var turned = stream is null ? model.Copy() : RotatedModel.Prepared(model, folds);
        Torch.Run(() =>
        {
            if (stream is not null)
            {
                RotatedModel.TurnStream(turned, Square(stream));
                folds.Add(new Fold("residual stream", "R1", "an RMSNorm without gain commutes with an orthogonal matrix"));
            }
            foreach (var block in heads is null ? [] : turned.Blocks)
            {
                RotatedModel.TurnHeads(block, Square(heads![block.Layer]));
                folds.Add(new Fold($"layers.{block.Layer} v_proj; o_proj", "R2 a head",
                    "attention mixes tokens, and every channel of a head alike"));
            }
        });
        return new FoldedModel(turned, folds);
    }

    internal static ulong HeadSeed(ulong seed, int layer) => seed + 1 + (ulong)layer;

    internal static Tensor Square(double[] matrix) => tensor(matrix).view((long)Math.Sqrt(matrix.Length), -1);
}
