using static TorchSharp.torch;

namespace NeuronQuant.Tensors;

/// <summary>How the input of a linear module is rounded while a model runs: 8 bits, with a scale that each token finds for itself.</summary>
/// <remarks>
/// With a = max_j |x_tj| of token t:
///   int8   s = max(a / 127, floor), x^ = s * clamp(round(x / s), +-127), ties to even: vLLM's and SmoothQuant's dynamic quantization per token
///          (mit-han-lab/smoothquant fake_quant.py:27-34; the floor of 1e-5 is on a there)
///   e4m3   s = max(a / largest, floor), x^ = s * cast(x / s); largest is 448 in vLLM (floor 1 / (448 * 512)), 240 in NxD Inference (floor 1e-5)
/// int8 sums of products are exact in int32, and every x^ and scale * code is exact or rounded once here, so computing x^ w^T in floating point
/// gives what the integer path gives, to the rounding of float32.
/// NxD Inference (nxd quantization/quantization_layers.py:643-667) knows e4m3 alone, and takes the maximum over the batch too: one scale for each
/// position, so an answer depends on who else is in the batch. It then rounds outputs to bf16 as every bf16 model does, which is left out: the study is
/// of inputs. On Inferentia2 there is no speed to be had from it, and int8 inputs do not exist; the study is for other hardware, and to know why.
/// Softmax, norms, the rotary embedding, the cache and lm_head are not touched.
/// </remarks>
/// <param name="Name">what tables call it, with the program that does it so</param>
/// <param name="Cast">the float to cast to; null for int8</param>
/// <param name="Floor">smallest scale</param>
/// <param name="SharedByBatch">whether the texts of a batch share the scale of a position</param>
public sealed record InputFormat(string Name, CastFormat? Cast, double Floor, bool SharedByBatch = false)
{
    private const double LargestCode = 127;

    /// <summary>int8 with a scale for each token, as vLLM and SmoothQuant have it.</summary>
    public static InputFormat Int8 { get; } = new("int8 per token", null, 1e-5 / LargestCode);

    /// <summary>e4m3 up to 448 with a scale for each token, as vLLM has it.</summary>
    public static InputFormat E4M3 { get; } = new("e4m3 per token", CastFormat.E4M3Ocp, 1.0 / (448 * 512));

    /// <summary>e4m3 up to 240 with a scale for each position of a batch, as NxD Inference has it.</summary>
    public static InputFormat E4M3Neuron { get; } = new("e4m3 per position (NxDI)", CastFormat.E4M3, 1e-5, SharedByBatch: true);

    /// <summary>The three of them.</summary>
    public static IReadOnlyList<InputFormat> All { get; } = [Int8, E4M3, E4M3Neuron];

    /// <summary>What the module reads instead, of the same shape and type.</summary>
    /// <param name="x">[texts, length, in]</param>
    public Tensor Round(Tensor x)
    {
        ArgumentNullException.ThrowIfNull(x);
        if (x.dim() != 3) throw new TorchException(Name, $"rounds [texts, length, in], not [{string.Join(", ", x.shape)}]. Add the missing dimension.");
        var wide = x.dtype == ScalarType.BFloat16 ? x.to(ScalarType.Float32) : x;
        var scale = wide.abs().amax(SharedByBatch ? [0, 2] : [2L], keepdim: true)
            .div_(Torch.Number(Cast?.Largest ?? LargestCode)).clamp_min_(Torch.Number(Floor));
        var ratio = wide / scale;
        return (Cast?.Round(ratio) ?? ratio.round_().clamp_(Torch.Number(-LargestCode), Torch.Number(LargestCode))).mul(scale).to(x.dtype);
    }
}
