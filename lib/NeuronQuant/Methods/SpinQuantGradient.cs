using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Methods;

/// <summary>dL/dR1 and dL/dR2 of a rounded, rotated network, by the chain rule from the gradients of its weights.</summary>
internal static class SpinQuantGradient
{
    /// <summary>A copy in another basis.</summary>
    /// <param name="plain">without gains</param>
    /// <param name="stream">R1; null for none</param>
    /// <param name="heads">R2 of each layer; null for none</param>
    public static LlamaModel Turned(LlamaModel plain, double[]? stream, double[][]? heads)
    {
        var copy = plain.Copy();
        Torch.Run(() =>
        {
            if (stream is not null) RotatedModel.TurnStream(copy, Rotation.Square(stream));
            foreach (var block in heads is null ? [] : copy.Blocks) RotatedModel.TurnHeads(block, Rotation.Square(heads![block.Layer]));
        });
        return copy;
    }

    /// <summary>Rounds a model to nearest, in place.</summary>
    public static LlamaModel Rounded(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids)
    {
        foreach (var linear in model.Linears)
            if (grids.TryGetValue(linear.Module, out var grid)) linear.Apply(RoundToNearestMethod.Round(linear, grid));
        return model;
    }

    /// <summary>The gradients on a batch, as if rounding were not there.</summary>
    public static (double[] Stream, double[][] Heads) Of(
        LlamaModel plain, double[] stream, double[][] heads, IReadOnlyDictionary<ModuleName, Grid> grids, TokenBatch batch)
    {
        using var rounded = Rounded(Turned(plain, stream, heads), grids);
        using LlamaModel byHeads = Turned(plain, null, heads), byStream = Turned(plain, stream, null);
        rounded.LossAndGradients(batch);
        var found = Torch.Run(() => (Stream(byHeads, rounded).contiguous().data<double>().ToArray(),
            byStream.Blocks.Select(block => Heads(block, rounded.Blocks[block.Layer], heads[block.Layer].Length)).ToArray()));
        rounded.DropGradients();
        return found;
    }

    // W' = W R1 of what reads the stream: W^T G. W' = R1^T W of what writes it: W G^T; b' = R1^T b: b g^T. W has R2 in it already.
    private static Tensor Stream(LlamaModel before, LlamaModel after)
    {
        var sum = zeros(before.Config.HiddenSize, before.Config.HiddenSize, ScalarType.Float64);
        void Reads(Parameter weight, Parameter turned) => sum.Plus_(Folds.Double(weight).t().mm(Gradient(turned)));
        Reads(before.Embedding, after.Embedding);
        Reads(before.Head.Weight, after.Head.Weight);
        foreach (var (linear, turned) in before.Blocks.SelectMany(block => block.Linears).Zip(after.Blocks.SelectMany(block => block.Linears)))
        {
            if (linear.Module.Type is not ("self_attn.o_proj" or "mlp.down_proj"))
            {
                Reads(linear.Weight, turned.Weight);
                continue;
            }
            sum.Plus_(Folds.Double(linear.Weight).mm(Gradient(turned.Weight).t()));
            if (linear.Bias is { } bias) sum.Plus_(Folds.Double(bias).unsqueeze(1).mm(Gradient(turned.Bias!).unsqueeze(0)));
        }
        return sum;
    }

    // v_h' = R2^T v_h: sum of v_h g_h^T over key heads, with the bias; o_h' = o_h R2: sum of o_h^T g_h over query heads. Both have R1 in them
    // already.
    private static double[] Heads(DecoderBlock before, DecoderBlock after, int values)
    {
        long size = (long)Math.Sqrt(values);
        Linear value = before["self_attn.v_proj"], output = before["self_attn.o_proj"];
        var heads = Folds.Double(value.Weight).view(-1, size, value.In);
        var sum = heads.bmm(Gradient(after[value.Module.Type].Weight).view(-1, size, value.In).transpose(1, 2)).sum([0L]);
        if (value.Bias is { } bias) sum.Plus_(Folds.Double(bias).view(-1, size).t().mm(Gradient(after[value.Module.Type].Bias!).view(-1, size)));
        sum.Plus_(Folds.Double(output.Weight).reshape(-1, size).t().mm(Gradient(after[output.Module.Type].Weight).reshape(-1, size)));
        return sum.contiguous().data<double>().ToArray();
    }

    private static Tensor Gradient(Parameter parameter) => parameter.Gradient!.to(ScalarType.Float64).cpu().contiguous();
}
