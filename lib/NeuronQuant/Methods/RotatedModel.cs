using NeuronQuant.Models;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Methods;

/// <summary>The three steps of a rotation, each of which leaves the logits alone.</summary>
/// <remarks>
/// RMSNorm without gain commutes with an orthogonal R, since |x R| = |x|; with a gain it does not, so gains go into the weights first. The published
/// tools subtract each embedding row's mean besides (fuse_norm_utils.py:42-45 of SpinQuant, fake_quant/rotation_utils.py:51-54 of QuaRot): that is
/// right for LayerNorm, which has a mean, and wrong here; with a mean of 0.3 a toy model's logits go wrong by 4.
/// </remarks>
internal static class RotatedModel
{
    /// <summary>A copy without gains and with a head of its own: what can be rotated.</summary>
    /// <param name="model">it is not changed</param>
    /// <param name="folds">told what was done</param>
    public static LlamaModel Prepared(LlamaModel model, List<Fold> folds)
    {
        var copy = Untied(model, folds);
        Torch.Run(() =>
        {
            foreach (var block in copy.Blocks)
            {
                FoldGain(block.InputNorm, [.. block.Linears.Take(3)], folds);
                FoldGain(block.MiddleNorm, [.. block.Linears.Where(linear => linear.Module.Type is "mlp.gate_proj" or "mlp.up_proj")], folds);
            }
            FoldGain(copy.Norm, [copy.Head], folds);
        });
        return copy;
    }

    /// <summary>Turns the residual stream: E R; W R of what reads it; R^T W and R^T b of what writes it.</summary>
    /// <param name="model">without gains, changed in place</param>
    /// <param name="rotation">R1, [hidden, hidden] float64</param>
    public static void TurnStream(LlamaModel model, Tensor rotation)
    {
        void Reads(Parameter weight) => Folds.Write(weight, Folds.Double(weight).mm(rotation));
        Reads(model.Embedding);
        Reads(model.Head.Weight);
        foreach (var linear in model.Blocks.SelectMany(block => block.Linears))
        {
            if (linear.Module.Type is not ("self_attn.o_proj" or "mlp.down_proj"))
            {
                Reads(linear.Weight);
                continue;
            }
            Folds.Write(linear.Weight, rotation.t().mm(Folds.Double(linear.Weight)));
            if (linear.Bias is { } bias) Folds.Write(bias, Folds.Double(bias).unsqueeze(0).mm(rotation).squeeze(0));
        }
    }

    /// <summary>Turns what a head carries from v to o: R^T v_h and R^T b_h of every key head; o's columns of every query head times R.</summary>
    /// <param name="block">changed in place</param>
    /// <param name="rotation">R2, [head size, head size] float64, the same for all heads of the layer</param>
    public static void TurnHeads(DecoderBlock block, Tensor rotation)
    {
        long size = rotation.shape[0]; // config.head_dim, which need not be hidden / heads.
        var (value, output) = (block["self_attn.v_proj"], block["self_attn.o_proj"]);
        var heads = Folds.Double(value.Weight).view(-1, size, value.In);
        Folds.Write(value.Weight, rotation.t().unsqueeze(0).expand(heads.shape[0], -1, -1).bmm(heads).view(value.Out, value.In));
        if (value.Bias is { } bias) Folds.Write(bias, Folds.Double(bias).view(-1, size).mm(rotation).view(-1));
        Folds.Write(output.Weight, Folds.Double(output.Weight).reshape(-1, size).mm(rotation).view(output.Out, output.In));
    }

    private static LlamaModel Untied(LlamaModel model, List<Fold> folds)
    {
        if (!model.Config.TieWordEmbeddings) return model.Copy();
        var copy = new LlamaModel(model.Config with { TieWordEmbeddings = false }, model.Place);
        var before = model.Parameters.ToDictionary(parameter => parameter.Name);
        Torch.Run(() =>
        {
            foreach (var parameter in copy.Parameters) parameter.Tensor.copy_(before.GetValueOrDefault(parameter.Name, model.Embedding).Tensor);
        });
        folds.Add(new Fold("lm_head.weight",
            FormattableString.Invariant($"untied from the embedding: {2L * model.Embedding.Rows * model.Embedding.Columns} bytes more in bf16"),
            "the last norm's gain goes into the head alone; config.json must say tie_word_embeddings false, "
                + "or NxDI overwrites it with the embedding"));
        return copy;
    }

    private static void FoldGain(Parameter norm, Linear[] consumers, List<Fold> folds)
    {
        var gain = Folds.Double(norm);
        foreach (var linear in consumers) Folds.Write(linear.Weight, Folds.Double(linear.Weight) * gain);
        norm.Tensor.fill_(Torch.Number(1));
        folds.Add(new Fold($"{norm.Name}; {string.Join(", ", consumers.Select(linear => linear.Module.Type))}", "columns * gain, gain := 1",
            "the gain is on the input of all of them"));
    }
}
