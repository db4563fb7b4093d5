namespace NeuronQuant.Evaluation;

/// <summary>Ranges of positions or distances that double, so that each holds as much of a long text as the next: 1 to 15, 16 to 31, 32 to 63, ...</summary>
internal static class PositionBuckets
{
    private const int First = 16;

    /// <summary>The first value of the bucket that holds a value.</summary>
    public static int Of(int value) => value < First ? 0 : 1 << (int)Math.Log2(value);

    /// <summary>"16 to 31"; the first is told from 1.</summary>
    public static string Name(int start) => start == 0 ? $"1 to {First - 1}" : $"{start} to {(2 * start) - 1}";

    /// <summary>Where a bucket stands on an axis.</summary>
    public static double Middle(int start) => start == 0 ? First / 2.0 : 1.5 * start;
}
