namespace NeuronQuant.Quantization;

/// <summary>
/// Rows on all cores. Rows are taken in blocks of about half a megabyte of bf16, large enough that handing them out costs nothing and
/// small enough that two threads end together. Each thread has one float buffer for rows that must be decoded.
/// </summary>
internal static class RowLoop
{
    public delegate void RowAction(int row, Span<float> scratch);

    public static void Run(int rows, int columns, int scratch, RowAction action, CancellationToken cancellation)
    {
        int block = Math.Max(1, 262_144 / Math.Max(1, columns));
        int blocks = (rows + block - 1) / block;
        var options = new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount, CancellationToken = cancellation };
        try
        {
            Parallel.For(0, blocks, options, () => new float[scratch], (b, _, buffer) =>
            {
                int end = Math.Min(rows, (b + 1) * block);
                for (int row = b * block; row < end; row++) action(row, buffer);
                return buffer;
            }, _ => { });
        }
        catch (AggregateException many) when (many.InnerException is { } first)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(first);
        }
    }
}
