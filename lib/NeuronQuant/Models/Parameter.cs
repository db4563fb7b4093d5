namespace NeuronQuant.Models;

/// <summary>A trained tensor: its values and, when asked for, the gradient of the loss.</summary>
/// <remarks>
/// Backward passes add to the gradient of whoever has one and skip the work for all others: block-wise tuning asks for a few weights'
/// gradients, training for all, inference for none. Values may be replaced in place at any time, as fake quantization does.
/// </remarks>
/// <param name="name">name in a Hugging Face checkpoint</param>
/// <param name="rows">out features; 1 for a vector</param>
/// <param name="columns">in features; the length of a vector</param>
public sealed class Parameter(string name, int rows, int columns)
{
    /// <summary>Name in a Hugging Face checkpoint, such as model.layers.0.mlp.up_proj.weight.</summary>
    public string Name { get; } = name;

    /// <summary>Out features; 1 for a vector.</summary>
    public int Rows { get; } = rows;

    /// <summary>In features; the length of a vector.</summary>
    public int Columns { get; } = columns;

    /// <summary>Values, [rows, columns] in C order.</summary>
    public float[] Values { get; } = new float[checked(rows * columns)];

    /// <summary>Gradient of the loss, [rows, columns]; null when nobody asked for it.</summary>
    public float[]? Gradient { get; private set; }

    /// <summary>Asks for the gradient: makes it when missing and sets it to zero.</summary>
    public float[] ZeroGradient()
    {
        if (Gradient is null) return Gradient = new float[Values.Length];
        Array.Clear(Gradient);
        return Gradient;
    }

    /// <summary>
    /// Asks for the gradient in a buffer of the caller's, at least as long as the values and zero. Parameters may share one when each
    /// gradient is taken, and the buffer cleared, before the next is computed; see <see cref="DecoderBlock.Backward"/>.
    /// </summary>
    /// <param name="buffer">the gradients are added to its first values</param>
    /// <exception cref="ArgumentException">the buffer is too short</exception>
    public void UseGradient(float[] buffer)
    {
        ArgumentNullException.ThrowIfNull(buffer);
        if (buffer.Length < Values.Length) throw new ArgumentException($"{buffer.Length} values cannot hold the gradient of {Name}, which has {Values.Length}.", nameof(buffer));
        Gradient = buffer;
    }

    /// <summary>Backward passes no longer compute the gradient.</summary>
    public void DropGradient() => Gradient = null;

    /// <summary>The name.</summary>
    public override string ToString() => Name;
}
