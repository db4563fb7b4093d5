using System.Runtime.InteropServices;
using NeuronQuant.Checkpoints;
using NeuronQuant.Quantization;
using static TorchSharp.torch;

namespace NeuronQuant.Tensors;

/// <summary>The library's tensors as torch's, and back.</summary>
/// <remarks>
/// A tensor of a checkpoint is copied once, from the mapped file into torch's memory, since the file may be closed first. No version of TorchSharp has float8,
/// so such a tensor becomes its bytes. All results are on the CPU; move them with <c>.to(device)</c>.
/// </remarks>
public static class TensorConversion
{
    /// <summary>An array as a tensor of a shape, shared and not copied.</summary>
    /// <exception cref="ArgumentException">the shape has another number of values</exception>
    public static Tensor Share(float[] values, params long[] shape)
    {
        ArgumentNullException.ThrowIfNull(values);
        if (shape.Aggregate(1L, (product, size) => product * size) != values.LongLength)
            throw new ArgumentException($"{values.Length} values do not fill [{string.Join(", ", shape)}].", nameof(shape));
        using var flat = from_array(values);
        return flat.view(shape);
    }

    /// <summary>A tensor of a checkpoint in its own type and shape; float8 and what torch does not know as bytes.</summary>
    /// <exception cref="CheckpointException">the checkpoint has no such tensor</exception>
    public static Tensor ToTensor(this Checkpoint checkpoint, string name)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        var info = checkpoint[name];
        var type = TypeOf(info.Type);
        var tensor = empty(type == ScalarType.Byte && info.Type != TensorType.U8 ? [info.ByteCount] : [.. info.Shape.Select(size => (long)size)], type);
        return Fill(name, tensor, checkpoint.Bytes(info, 0, checked((int)info.ByteCount)));
    }

    /// <summary>The codes of a quantized weight, [rows, columns] int8, and its scales, [rows, 1] float32: code * scale is the weight.</summary>
    public static (Tensor Codes, Tensor Scales) ToTensor(this QuantizedWeight weight)
    {
        ArgumentNullException.ThrowIfNull(weight);
        if (weight.Granularity != Granularity.PerChannelSymmetric || !weight.Grid.IsInteger)
            throw new ArgumentException($"{weight.Name} is {weight.Grid} {weight.Granularity}: only int8 codes with one scale a row become a pair of tensors.", nameof(weight));
        return (Fill(weight.Name, empty([weight.Rows, weight.Columns], ScalarType.Int8), weight.Codes), Share(weight.Scales, weight.Rows, 1));
    }

    /// <summary>All values of a tensor as float32, in C order, wherever the tensor is.</summary>
    public static float[] ToFloats(this Tensor tensor)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        using var scope = NewDisposeScope();
        var plain = tensor.detach().to(CPU).to(ScalarType.Float32).contiguous();
        var values = new float[plain.numel()];
        if (values.Length > 0) MemoryMarshal.Cast<byte, float>(plain.bytes).CopyTo(values);
        return values;
    }

    /// <summary>The value of a tensor of one number.</summary>
    internal static double ToDouble(this Tensor tensor) => tensor.detach().to(ScalarType.Float64).cpu().data<double>()[0];

    private static Tensor Fill(string name, Tensor tensor, ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length == 0) return tensor;
        if (tensor.numel() * tensor.ElementSize != bytes.Length)
            throw new ArgumentException($"{name}: {bytes.Length} bytes do not fill {tensor.dtype} [{string.Join(", ", tensor.shape)}].");
        bytes.CopyTo(tensor.bytes);
        return tensor;
    }

    private static ScalarType TypeOf(TensorType type) => type switch
    {
        TensorType.F32 => ScalarType.Float32,
        TensorType.F64 => ScalarType.Float64,
        TensorType.F16 => ScalarType.Float16,
        TensorType.BF16 => ScalarType.BFloat16,
        TensorType.I8 => ScalarType.Int8,
        TensorType.I16 => ScalarType.Int16,
        TensorType.I32 => ScalarType.Int32,
        TensorType.I64 => ScalarType.Int64,
        TensorType.Bool => ScalarType.Bool,
        _ => ScalarType.Byte,
    };
}
