using NeuronQuant.Models;
using NeuronQuant.Tensors;

namespace NeuronQuant.Methods;

/// <summary>
/// Plants outliers in the weights of a small model, without changing what it computes: a channel of a norm's gain is divided by a
/// factor, and the matching columns of the linear layers that read it are multiplied by it. Their products are as before, but each row of
/// those weights now holds a few very large numbers, and its int8 scale must reach them.
/// </summary>
/// <remarks>
/// The factor is a power of two, so that bf16 and float32 weights change their exponents alone: the function is preserved to the last bit,
/// as long as nothing overflows. Large language models grow such channels in training; a small one does not, so this is an experiment on the
/// side and must be said wherever it is used. It is off by default everywhere.
/// The transform is SmoothQuant's (Xiao et al. 2023, equation 3) run the other way.
/// </remarks>
public static class OutlierInjection
{
    /// <summary>Changes the model in place.</summary>
    /// <param name="model">any model; the norms before attention and MLP of every layer are changed</param>
    /// <param name="factor">a power of two</param>
    /// <param name="channels">how many channels of each norm</param>
    /// <param name="seed">chooses the channels</param>
    /// <exception cref="ModelException">the factor is no power of two, or there are not so many channels</exception>
    public static void Apply(LlamaModel model, int factor = 64, int channels = 2, ulong seed = 1)
    {
        if (factor < 1 || (factor & (factor - 1)) != 0)
            throw new ModelException("outlier injection", $"a factor of {factor} would round weights; use a power of two.");
        if (channels < 0 || channels > model.Config.HiddenSize)
            throw new ModelException("outlier injection", $"{channels} channels of {model.Config.HiddenSize} cannot be chosen.");
        var random = new RandomNumbers(seed);
        foreach (var block in model.Blocks)
        {
            Scale(block.InputNorm, [.. block.Linears.Take(3)], factor, channels, random);
            Scale(block.MiddleNorm, [.. block.Linears.Skip(4).Take(2)], factor, channels, random);
        }
    }

    private static void Scale(Parameter norm, Linear[] readers, int factor, int channels, RandomNumbers random)
    {
        var chosen = new HashSet<int>();
        while (chosen.Count < channels) chosen.Add((int)(random.Next() % (ulong)norm.Rows));
        Torch.Run(() =>
        {
            foreach (int channel in chosen)
            {
                norm.Tensor.narrow(0, channel, 1).div_(Torch.Number(factor));
                foreach (var reader in readers) reader.Weight.Tensor.narrow(1, channel, 1).mul_(Torch.Number(factor));
            }
        });
    }
}
