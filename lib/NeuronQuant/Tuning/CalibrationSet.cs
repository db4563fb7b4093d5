namespace NeuronQuant.Tuning;

/// <summary>The token sequences on which tuning compares a block with its original, and which of their positions count.</summary>
/// <remarks>
/// auto-round's rules (calibration/llm.py:338-361, calib_dataset.py:910-919): texts are cut to one length; a shorter text is dropped; a
/// text more than half of which is its last token is dropped; the last position and a run of equal tokens at the end do not count.
/// One addition: with a padding token, shorter texts are kept and filled with it, and what was filled does not count. That is how short
/// questions can be used; nothing real sees the padding, since attention is causal.
/// </remarks>
public sealed class CalibrationSet
{
    private CalibrationSet(int length, IReadOnlyList<int[]> tokens, IReadOnlyList<bool[]> counted) => (Length, Tokens, Counted) = (length, tokens, counted);

    /// <summary>Tokens of each sequence.</summary>
    public int Length { get; }

    /// <summary>Token ids, [sequences][length].</summary>
    public IReadOnlyList<int[]> Tokens { get; }

    /// <summary>Whether a position is part of the loss, [sequences][length].</summary>
    public IReadOnlyList<bool[]> Counted { get; }

    /// <summary>Number of sequences.</summary>
    public int Count => Tokens.Count;

    /// <summary>As many sequences, of such a length, as a recipe asks for.</summary>
    /// <param name="texts">token ids of each text</param>
    /// <param name="recipe">samples and sequence length</param>
    /// <param name="padding">token that fills shorter texts; null to drop them</param>
    /// <exception cref="TuningException">no text is usable</exception>
    public static CalibrationSet Of(IEnumerable<int[]> texts, TuningRecipe recipe, int? padding = null)
    {
        ArgumentNullException.ThrowIfNull(recipe);
        recipe.Check();
        return Of(texts, recipe.SequenceLength, recipe.Samples, padding);
    }

    /// <summary>Cuts, pads or drops texts until there are enough.</summary>
    /// <param name="texts">token ids of each text</param>
    /// <param name="length">tokens of a sequence</param>
    /// <param name="samples">sequences wanted at most</param>
    /// <param name="padding">token that fills shorter texts; null to drop them</param>
    /// <exception cref="TuningException">no text is usable</exception>
    public static CalibrationSet Of(IEnumerable<int[]> texts, int length, int samples = 128, int? padding = null)
    {
        ArgumentNullException.ThrowIfNull(texts);
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 2);
        var (tokens, counted) = (new List<int[]>(), new List<bool[]>());
        int seen = 0;
        foreach (int[] text in texts)
        {
            seen++;
            if (tokens.Count == samples) break;
            int real = Math.Min(text.Length, length);
            if (real < 2 || (real < length && padding is null) || text.AsSpan(0, real).Count(text[real - 1]) > real / 2.0) continue;
            int[] sequence = new int[length];
            if (padding is int filler) Array.Fill(sequence, filler);
            text.AsSpan(0, real).CopyTo(sequence);
            tokens.Add(sequence);
            counted.Add(Mask(sequence, real));
        }
        return tokens.Count > 0 ? new CalibrationSet(length, tokens, counted)
            : throw new TuningException("calibration",
                $"none of {seen} texts has {length} tokens with a varied end. Give other or longer texts (--calibration FILE), a shorter length, or a padding token.");
    }

    /// <summary>How many positions count, of all sequences together.</summary>
    public long CountedPositions => Counted.Sum(mask => (long)mask.Count(value => value));

    private static bool[] Mask(int[] sequence, int real)
    {
        var mask = new bool[sequence.Length];
        int last = real - 1, end = last;
        while (end > 0 && sequence[end - 1] == sequence[last]) end--; // A run at the end; a lone last token is a run of one.
        mask.AsSpan(0, end).Fill(true);
        return mask;
    }
}
