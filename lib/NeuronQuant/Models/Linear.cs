namespace NeuronQuant.Models;

/// <summary>A linear module: y = x w^T + b.</summary>
/// <remarks>Gradients: dx = dy w, dw += dy^T x, db += sum over rows of dy. The multiplications are <see cref="MatrixMultiply"/>'s.</remarks>
/// <param name="name">module name in a Hugging Face checkpoint, such as model.layers.0.mlp.up_proj</param>
/// <param name="weight">[out, in]</param>
/// <param name="bias">[out]; null for none</param>
public sealed class Linear(string name, Parameter weight, Parameter? bias = null)
{
    /// <summary>Module name in a Hugging Face checkpoint.</summary>
    public string Name { get; } = name;

    /// <summary>[out, in]</summary>
    public Parameter Weight { get; } = weight;

    /// <summary>[out]; null for none.</summary>
    public Parameter? Bias { get; } = bias;

    /// <summary>In features.</summary>
    public int In => Weight.Columns;

    /// <summary>Out features.</summary>
    public int Out => Weight.Rows;

    /// <summary>y = x w^T + b, or y += x w^T + b: a residual stream takes the module's output in passing.</summary>
    /// <param name="x">[rows, in]</param>
    /// <param name="y">[rows, out]</param>
    /// <param name="rows">tokens</param>
    /// <param name="accumulate">add to y</param>
    public void Forward(ReadOnlySpan<float> x, Span<float> y, int rows, bool accumulate = false)
    {
        MatrixMultiply.Forward(x, Weight.Values, y, rows, In, Out, accumulate);
        AddBias(y, rows);
    }

    /// <summary>Gradients of the input, and of weight and bias where they are asked for.</summary>
    /// <param name="x">[rows, in], as in forward</param>
    /// <param name="dy">[rows, out]</param>
    /// <param name="dx">[rows, in]; empty for none</param>
    /// <param name="rows">tokens</param>
    /// <param name="accumulate">add to dx instead of replacing it</param>
    public void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> dy, Span<float> dx, int rows, bool accumulate = false)
    {
        if (!dx.IsEmpty) MatrixMultiply.InputGradient(dy, Weight.Values, dx, rows, In, Out, accumulate);
        if (Weight.Gradient is { } dw) MatrixMultiply.WeightGradient(dy, x, dw, rows, In, Out);
        if (Bias?.Gradient is not { } db) return;
        for (int r = 0; r < rows; r++) VectorMath.AddScaled(db, dy.Slice(r * Out, Out), 1);
    }

    internal void AddBias(Span<float> y, int rows)
    {
        if (Bias is null) return;
        for (int r = 0; r < rows; r++) VectorMath.AddScaled(y.Slice(r * Out, Out), Bias.Values, 1);
    }
}
