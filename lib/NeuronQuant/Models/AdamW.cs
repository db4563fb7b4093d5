using System.Numerics;

namespace NeuronQuant.Models;

/// <summary>Adam with decoupled weight decay.</summary>
/// <remarks>
/// m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w = w - rate * (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon) + decay * w)
/// Decay is for the matrices of linear modules only: norms, biases and embeddings (so a tied head too) have none.
/// Source: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
/// </remarks>
public sealed class AdamW
{
    private const int BlockSize = 16_384; // Values a part updates.

    private readonly (Parameter Parameter, float[] Mean, float[] Square, float Decay)[] _states;
    private readonly float _beta1, _beta2, _epsilon;
    private int _steps;

    /// <summary>An optimizer over parameters, whose gradients are set to zero.</summary>
    /// <param name="parameters">what is trained</param>
    /// <param name="weightDecay">of linear weights, per step and unit of the rate</param>
    /// <param name="beta1">memory of the mean</param>
    /// <param name="beta2">memory of the square</param>
    /// <param name="epsilon">added to the root</param>
    public AdamW(IEnumerable<Parameter> parameters, float weightDecay = 0.1f, float beta1 = 0.9f, float beta2 = 0.95f, float epsilon = 1e-8f)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        (_beta1, _beta2, _epsilon) = (beta1, beta2, epsilon);
        _states = [.. parameters.Select(p => (p, new float[p.Values.Length], new float[p.Values.Length], HasDecay(p) ? weightDecay : 0f))];
        ZeroGradients();
    }

    /// <summary>Steps taken.</summary>
    public int Steps => _steps;

    /// <summary>Sets all gradients to zero.</summary>
    public void ZeroGradients()
    {
        foreach (var state in _states) state.Parameter.ZeroGradient();
    }

    /// <summary>Length of the gradient of all parameters together.</summary>
    public double GradientNorm()
    {
        double sum = 0;
        foreach (var state in _states)
            for (int first = 0; first < state.Mean.Length; first += BlockSize)
            {
                var part = state.Parameter.Gradient.AsSpan(first, Math.Min(BlockSize, state.Mean.Length - first));
                sum += VectorMath.Dot(part, part);
            }
        return Math.Sqrt(sum);
    }

    /// <summary>One update of all parameters; gradients stay as they are.</summary>
    /// <param name="rate">learning rate</param>
    /// <param name="gradientFactor">what gradients are multiplied by: below 1 when they are clipped</param>
    public void Step(double rate, double gradientFactor = 1)
    {
        _steps++;
        float correction1 = (float)(1 / (1 - Math.Pow(_beta1, _steps))), correction2 = (float)(1 / (1 - Math.Pow(_beta2, _steps)));
        foreach (var (parameter, mean, square, decay) in _states)
            RowParts.Each((mean.Length + BlockSize - 1) / BlockSize, block => Update(parameter.Values, parameter.Gradient!, mean, square, block * BlockSize,
                Math.Min(mean.Length, (block + 1) * BlockSize), (float)rate, decay, (float)gradientFactor, correction1, correction2));
    }

    private void Update(float[] w, float[] g, float[] m, float[] v, int first, int last, float rate, float decay, float factor,
        float correction1, float correction2)
    {
        int i = first;
        for (; i <= last - Vector<float>.Count; i += Vector<float>.Count)
        {
            var gradient = new Vector<float>(g, i) * factor;
            var mean = new Vector<float>(m, i) * _beta1 + gradient * (1 - _beta1);
            var square = new Vector<float>(v, i) * _beta2 + gradient * gradient * (1 - _beta2);
            mean.CopyTo(m, i);
            square.CopyTo(v, i);
            var weight = new Vector<float>(w, i);
            var step = mean * correction1 / (Vector.SquareRoot(square * correction2) + new Vector<float>(_epsilon)) + weight * decay;
            (weight - step * rate).CopyTo(w, i);
        }
        for (; i < last; i++)
        {
            float gradient = g[i] * factor;
            m[i] = m[i] * _beta1 + gradient * (1 - _beta1);
            v[i] = v[i] * _beta2 + gradient * gradient * (1 - _beta2);
            w[i] -= (m[i] * correction1 / (MathF.Sqrt(v[i] * correction2) + _epsilon) + w[i] * decay) * rate;
        }
    }

    private static bool HasDecay(Parameter parameter) =>
        parameter.Name.EndsWith("_proj.weight", StringComparison.Ordinal) || parameter.Name == "lm_head.weight";
}
