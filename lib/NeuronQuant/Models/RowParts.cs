namespace NeuronQuant.Models;

/// <summary>Rows on all cores: what the layers between the multiplications run on.</summary>
/// <remarks>
/// Rows are divided by a fixed size, never by the number of threads, so that a sum over rows taken part by part has the same bits on any
/// machine. A call costs one small closure; decoding, which must allocate nothing, calls the row functions of the layers directly.
/// </remarks>
internal static class RowParts
{
    /// <summary>Rows of a part: enough for the sum over them to be cheap, few enough that small batches still fill the cores.</summary>
    public const int Size = 64;

    /// <summary>Number of parts of so many rows.</summary>
    public static int Count(int rows) => (rows + Size - 1) / Size;

    /// <summary>Calls body(part, first row, row after the last) for all parts.</summary>
    public static void Run(int rows, Action<int, int, int> body)
    {
        var work = new Work(rows, body);
        ThreadTeam.Run(ref work, Count(rows));
    }

    /// <summary>Calls body(i) for all i below count, each a part of its own.</summary>
    public static void Each(int count, Action<int> body)
    {
        var work = new EachWork(body);
        ThreadTeam.Run(ref work, count);
    }

    private readonly struct Work(int rows, Action<int, int, int> body) : IWork
    {
        public void Part(int part) => body(part, part * Size, Math.Min(rows, (part + 1) * Size));
    }

    private readonly struct EachWork(Action<int> body) : IWork
    {
        public void Part(int part) => body(part);
    }
}
