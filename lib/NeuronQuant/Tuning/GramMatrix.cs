using NeuronQuant.Checkpoints;
using NeuronQuant.Models;

namespace NeuronQuant.Tuning;

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
    private readonly float[] _values;

    internal GramMatrix(int size) => (Size, _values) = (size, new float[checked(size * size)]);

    /// <summary>In features.</summary>
    public int Size { get; }

    /// <summary>Tokens that were added.</summary>
    public long Tokens { get; private set; }

    /// <summary>[in, in], symmetric.</summary>
    public float[] Values => _values;

    /// <summary>Mean of x_j^2 over the tokens, for each input channel: the diagonal over the number of tokens.</summary>
    public double[] MeanSquares => [.. Enumerable.Range(0, Size).Select(j => Tokens == 0 ? 0 : _values[j * Size + j] / (double)Tokens)];

    /// <summary>A matrix of the given inputs.</summary>
    /// <param name="inputs">[tokens, size]</param>
    /// <param name="size">in features</param>
    public static GramMatrix Of(ReadOnlySpan<float> inputs, int size)
    {
        var gram = new GramMatrix(size);
        gram.Add(inputs, inputs.Length / size);
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
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(calibration);
        var grams = new Dictionary<ModuleName, GramMatrix>();
        var shared = new Dictionary<(int Layer, string Source), GramMatrix>();
        foreach (var block in model.Blocks)
            foreach (var linear in block.Linears)
            {
                var module = ModuleName.Parse(linear.Name);
                var key = (block.Layer, Source(module.Type));
                if (!shared.TryGetValue(key, out var gram)) shared[key] = gram = new GramMatrix(linear.In);
                grams[module] = gram;
            }
        var pass = new ModelPass(model);
        for (int first = 0; first < calibration.Count; first += batch)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = Math.Min(batch, calibration.Count - first);
            pass.Forward(new TokenBatch([.. Enumerable.Range(first, count).SelectMany(i => calibration.Tokens[i])], [], count));
            bool[] counted = [.. Enumerable.Range(first, count).SelectMany(i => calibration.Counted[i])];
            foreach (var ((layer, source), gram) in shared)
                gram.Add(Gathered(pass.Activations[layer].InputOf(source), counted, gram.Size), counted.Count(value => value));
        }
        return grams;
    }

    /// <summary>tr(E H E^T) with E = quantized - original: the squared error of the layer's outputs, summed over tokens.</summary>
    /// <param name="original">[rows, size]</param>
    /// <param name="quantized">[rows, size]</param>
    public double Error(ReadOnlySpan<float> original, ReadOnlySpan<float> quantized)
    {
        int rows = original.Length / Size;
        float[] errors = new float[original.Length], products = new float[original.Length];
        for (int i = 0; i < errors.Length; i++) errors[i] = quantized[i] - original[i];
        MatrixMultiply.Forward(errors, _values, products, rows, Size, Size);
        double sum = 0;
        for (int i = 0; i < errors.Length; i++) sum += (double)errors[i] * products[i];
        return sum;
    }

    internal void Add(ReadOnlySpan<float> inputs, int tokens)
    {
        if (tokens == 0) return;
        MatrixMultiply.WeightGradient(inputs, inputs, _values, tokens, Size, Size);
        Tokens += tokens;
    }

    private static string Source(string type) => type switch
    {
        "self_attn.k_proj" or "self_attn.v_proj" => "self_attn.q_proj",
        "mlp.up_proj" => "mlp.gate_proj",
        _ => type,
    };

    private static float[] Gathered(float[] inputs, bool[] counted, int width)
    {
        var gathered = new float[counted.Count(value => value) * width];
        int next = 0;
        for (int row = 0; row < counted.Length; row++)
            if (counted[row]) inputs.AsSpan(row * width, width).CopyTo(gathered.AsSpan(next++ * width));
        return gathered;
    }
}
