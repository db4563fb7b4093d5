using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using NeuronQuant.Tests.Tuning;
using Xunit;
using static TorchSharp.torch;

namespace NeuronQuant.Tests.Tensors;

/// <summary>Tensors of the library in torch: shared where torch can share, exact everywhere.</summary>
public class TensorConversionTests
{
    public TensorConversionTests() => TorchLibrary.Load();

    [Fact]
    public void A_parameter_is_shared_and_not_copied()
    {
        var parameter = new Parameter("w", zeros(4, 3), 1, 2);
        var shared = parameter.Tensor;
        Assert.Equal([2L, 3], shared.shape);
        parameter.Values[4] = 7;
        Assert.Equal(7, shared[1, 1].item<float>());
        shared[0, 2] = tensor(5f);
        Assert.Equal(5, parameter.Values[2]);
        using var turned = shared.t();
        Assert.Equal([0, 0, 0, 7, 5, 0], turned.ToFloats());
        Assert.Throws<ArgumentException>(() => TensorConversion.Share(new float[5], 2, 3));
    }

    [Fact]
    public void A_tensor_of_a_checkpoint_has_its_own_type_and_exact_values()
    {
        using var folder = new TemporaryFolder();
        float[] values = [1, -0.5f, 3.140625f, 65280, -0f, float.PositiveInfinity];
        ushort[] codes = [.. values.Select(BFloat16.Encode)];
        using (var writer = CheckpointWriter.Create(folder.Path, [new TensorDeclaration("a", TensorType.BF16, [2, 3]), new TensorDeclaration("b", TensorType.I64, [2]), new TensorDeclaration("f", TensorType.F8E4M3, [3])]))
        {
            writer.Write("a", System.Runtime.InteropServices.MemoryMarshal.AsBytes(codes.AsSpan()));
            writer.Write("b", System.Runtime.InteropServices.MemoryMarshal.AsBytes<long>([-1L << 40, 9]));
            writer.Write("f", [1, 2, 200]);
            writer.Complete();
        }
        Tensor a, b, f;
        using (var source = Checkpoint.Open(folder.Path)) (a, b, f) = (source.ToTensor("a"), source.ToTensor("b"), source.ToTensor("f"));
        Assert.Equal((ScalarType.BFloat16, ScalarType.Int64, ScalarType.Byte), (a.dtype, b.dtype, f.dtype));
        Assert.Equal(values, a.ToFloats()); // the file is closed by now
        Assert.Equal([-1L << 40, 9], b.data<long>().ToArray());
        Assert.Equal([1f, 2, 200], f.ToFloats());
    }

    [Fact]
    public void Codes_times_scales_are_the_weight()
    {
        var weight = RoundToNearest.Quantize(TestWeights.Matrix(5, 7, 3), Grid.Nxd());
        var (codes, scales) = weight.ToTensor();
        float[] row = new float[7];
        float[] product = (codes.to(ScalarType.Float32) * scales).ToFloats();
        for (int i = 0; i < 5; i++)
        {
            weight.DequantizeRow(i, row);
            Assert.Equal(row, product.Skip(i * 7).Take(7));
        }
    }
}
