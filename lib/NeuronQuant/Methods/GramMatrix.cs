using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Tensors;
using NeuronQuant.Tuning;
using static TorchSharp.torch;

namespace NeuronQuant.Methods;

/// <summary>What a linear module's inputs have in common: H = sum over tokens of x x^T, [in, in]. All that a layer-wise method needs of the data.</summary>
/// <remarks>
/// The squared error of a layer's output over all tokens is tr((W^-W) H (W^-W)^T), so a calibration of any length becomes one
/// matrix, and tuning costs the same for a thousand tokens as for a million. GPTQ's H is 2 X X^T / n; the factor changes nothing, since
/// it is divided out of every formula here. Positions that do not count in calibration are left out.
/// Modules that read the same input (q, k and v; gate and up) share one matrix. Sums are in float32 within a batch of sequences and added up over
/// batches in float32: relative errors of 1e-6, far below the damping of one percent.
/// </remarks>
public sealed class GramMatrix
{
    private GramMatrix(int size) => (Size, Values) = (size, new float[checked(size * size)]);

    /// <summary>In features.</summary>
    public int Size { get; }

    /// <summary>Tokens that were added.</summary>
    public long Tokens { get; private set; }

    /// <summary>[in, in], symmetric.</summary>
    public float[] Values { get; }

    /// <summary>Mean of x_j^2 over the tokens, for each input channel: the diagonal over the number of tokens.</summary>
    public double[] MeanSquares => [.. Enumerable.Range(0, Size).Select(j => Tokens == 0 ? 0 : Values[j * Size + j] / (double)Tokens)];

    /// <summary>A matrix of the given inputs.</summary>
    /// <param name="inputs">[tokens, size]</param>
    /// <param name="size">in features</param>
    public static GramMatrix Of(float[] inputs, int size)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        var gram = new GramMatrix(size);
        Torch.Run(() => gram.Add(TensorConversion.Share(inputs, inputs.Length / size, size)));
        return gram;
    }

    /// <summary>The inputs of all linear modules of a model on calibration texts, in floating point.</summary>
    /// <param name="model">the model</param>
    /// <param name="calibration">token sequences</param>
    /// <param name="batch">sequences at a time</param>
    /// <param name="cancellation">checked before each batch</param>
    /// <returns>one matrix for each linear module of the blocks; those with the same input have the same object</returns>
    public static IReadOnlyDictionary<ModuleName, GramMatrix> Capture(LlamaModel model, CalibrationSet calibration, int batch = 8, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(calibration);
        var (walk, grams) = (ModelWalk.Of(model), new Dictionary<ModuleName, GramMatrix>());
        using var streams = walk.Embed(calibration.Tokens);
        foreach (var block in walk.Blocks)
        {
            var shared = block.Linears.GroupBy(linear => DecoderBlock.InputOf(linear.Module.Type)).ToDictionary(group => group.Key, group => new GramMatrix(group.First().In));
            walk.Forward(block, streams, batch, (first, module, output) =>
            {
                if (shared.GetValueOrDefault(module) is { } gram) gram.Add(Counted(output, calibration, first));
            }, cancellation);
            foreach (var linear in block.Linears) grams[linear.Module] = shared[DecoderBlock.InputOf(linear.Module.Type)];
        }
        return grams;
    }

    /// <summary>tr(E H E^T) with E = quantized - original: the squared error of the layer's outputs, summed over tokens.</summary>
    /// <param name="original">[rows, size]</param>
    /// <param name="quantized">[rows, size]</param>
    public double Error(float[] original, float[] quantized) => Torch.Run(() =>
    {
        var errors = TensorConversion.Share(quantized, quantized.Length / Size, Size) - TensorConversion.Share(original, original.Length / Size, Size);
        return errors.mm(ToTensor()).mul_(errors).sum(ScalarType.Float64).item<double>();
    });

    /// <summary>The matrix as a tensor that shares its memory, [in, in].</summary>
    internal Tensor ToTensor() => TensorConversion.Share(Values, Size, Size);

    // [tokens, size]
    private void Add(Tensor inputs)
    {
        var wide = inputs.to(ScalarType.Float32);
        ToTensor().Plus_(wide.t().mm(wide).cpu());
        Tokens += inputs.shape[0];
    }

    private static Tensor Counted(Tensor output, CalibrationSet calibration, int first)
    {
        long texts = output.shape[0], length = output.shape[1];
        long[] rows = [.. Enumerable.Range(0, (int)(texts * length)).Where(row => calibration.Counted[first + (int)(row / length)][row % length]).Select(row => (long)row)];
        return output.view(texts * length, -1).index_select(0, tensor(rows).to(output.device));
    }
}
