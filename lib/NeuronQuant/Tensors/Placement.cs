using NeuronQuant.Quantization;
using TorchSharp;
using static TorchSharp.torch;

namespace NeuronQuant.Tensors;

/// <summary>Where a model's weights are and in which type they are multiplied.</summary>
/// <remarks>
/// In bfloat16 a linear layer costs half the memory and, where the processor has the instruction, half the time; its products have 8 significant bits.
/// The residual stream, norms, softmax and losses are float32 in both. float64 is for tests of gradients.
/// </remarks>
/// <param name="Type">float32, bfloat16 or float64</param>
/// <param name="Device">the processor, or one GPU</param>
public sealed record Placement(ScalarType Type, Device Device)
{
    /// <summary>float32 on the processor.</summary>
    public static Placement Standard => Of(ScalarType.Float32);

    /// <summary>Type of the residual stream.</summary>
    public ScalarType StreamType => Type == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32;

    /// <summary>Bytes of a weight.</summary>
    public int Bytes => Type switch { ScalarType.Float64 => 8, ScalarType.BFloat16 => 2, _ => 4 };

    /// <summary>A type on the processor.</summary>
    public static Placement Of(ScalarType type)
    {
        TorchLibrary.Load();
        return type is ScalarType.Float32 or ScalarType.BFloat16 or ScalarType.Float64 ? new Placement(type, CPU)
            : throw new TorchException("dtype", $"{type} is not computed in. Use float32 or bfloat16.");
    }

    /// <summary>Reads what was asked for on a command line.</summary>
    /// <param name="dtype">float32 or bfloat16</param>
    /// <param name="device">cpu, cuda, cuda:N, or auto: the first GPU if there is one</param>
    /// <exception cref="TorchException">an unknown name, or a GPU that this build of libtorch cannot use</exception>
    public static Placement Parse(string dtype, string device)
    {
        var place = Of(dtype switch
        {
            "float32" => ScalarType.Float32,
            "bfloat16" => ScalarType.BFloat16,
            _ => throw new TorchException("dtype", $"'{dtype}' is not known. Use float32 or bfloat16."),
        });
        if (device == "cpu" || (device == "auto" && !cuda.is_available())) return place;
        int index = device is "auto" or "cuda" ? 0 : device.StartsWith("cuda:", StringComparison.Ordinal) && int.TryParse(device[5..], out int n) && n >= 0 ? n
            : throw new TorchException("device", $"'{device}' is not known. Use cpu, cuda, cuda:N or auto.");
        int count = cuda.is_available() ? cuda.device_count() : 0;
        return index < count ? place with { Device = new Device(DeviceType.CUDA, index) }
            : throw new TorchException("device", $"{device}: libtorch sees {count} GPUs. Build with -p:LibTorch=cuda on a machine that has one, or use --device cpu.");
    }

    /// <summary>The record of a computation here, for what is written from it.</summary>
    /// <param name="seed">of everything that was drawn; null where nothing was</param>
    /// <param name="calibration">where the texts came from</param>
    public Computation Record(ulong? seed, string calibration) => new(Name, $"{Device}", Torch.Threads, calibration, seed);

    /// <summary>"float32 on cpu".</summary>
    public override string ToString() => $"{Name} on {Device}";

    private string Name => Type.ToString().ToLowerInvariant();
}
