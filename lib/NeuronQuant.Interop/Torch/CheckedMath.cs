using static TorchSharp.torch;

namespace NeuronQuant.Interop.Torch;

/// <summary>Multiplications that look at the shapes first.</summary>
/// <remarks>
/// torch.matmul and torch.autograd.grad reach native code that has no guard: a wrong shape there ends the process, and with it a notebook.
/// linear and bmm throw, and are the only ones used here; the check before them says which operation it was.
/// </remarks>
internal static class CheckedMath
{
    /// <summary>x w^T + b.</summary>
    /// <param name="what">for the error: the module's name</param>
    /// <param name="x">[rows, in]</param>
    /// <param name="weight">[out, in]</param>
    /// <param name="bias">[out]; null for none</param>
    /// <exception cref="ArgumentException">the shapes do not fit</exception>
    public static Tensor Linear(string what, Tensor x, Tensor weight, Tensor? bias)
    {
        if (x.dim() != 2 || weight.dim() != 2 || x.shape[1] != weight.shape[1] || x.dtype != weight.dtype || (bias is not null && (bias.dim() != 1 || bias.shape[0] != weight.shape[0])))
            throw Misfit(what, $"[rows, in] by [out, in], of one type{(bias is null ? "" : ", and a bias [out]")}", x, weight);
        return nn.functional.linear(x, weight, bias);
    }

    /// <summary>Products of matrices, one for each head: [batch, rows, inner] by [batch, inner, columns].</summary>
    /// <exception cref="ArgumentException">the shapes do not fit</exception>
    public static Tensor Batched(string what, Tensor left, Tensor right)
    {
        if (left.dim() != 3 || right.dim() != 3 || left.shape[0] != right.shape[0] || left.shape[2] != right.shape[1] || left.dtype != right.dtype)
            throw Misfit(what, "[batch, rows, inner] by [batch, inner, columns], of one type", left, right);
        return left.bmm(right);
    }

    /// <summary>Checks that a tensor has a shape.</summary>
    /// <exception cref="ArgumentException">it has not</exception>
    public static Tensor Shaped(string what, Tensor tensor, params long[] shape) => tensor.shape.SequenceEqual(shape) ? tensor
        : throw new ArgumentException($"{what}: expected [{string.Join(", ", shape)}], found {Describe(tensor)}.");

    private static ArgumentException Misfit(string what, string expected, Tensor left, Tensor right) =>
        new($"{what}: expected {expected}; found {Describe(left)} by {Describe(right)}.");

    private static string Describe(Tensor tensor) => $"{tensor.dtype} [{string.Join(", ", tensor.shape)}]";
}
