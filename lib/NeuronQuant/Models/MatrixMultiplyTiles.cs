using System.Runtime.CompilerServices;

namespace NeuronQuant.Models;

/// <summary>A few rows times a bf16 weight in tiles: the multiplication of decoding, at the rate of memory.</summary>
/// <remarks>
/// Effectively computes y[r, o] = sum over i of x[r, i] * w[o, i], in as many running sums as a vector has lanes, in the order of
/// <see cref="MatrixMultiplyRows{TLanes,TVector}"/>: the bits are the same. Four rows of x share each load of a tile.
/// The loops call nothing that is not inlined: the compiler would keep their sums in memory across a call.
/// </remarks>
internal readonly unsafe struct MatrixMultiplyTiles<TLanes, TVector>(float* x, TiledWeight weight, float* y, int rows, int tilesInPart) : IWork
    where TLanes : struct, ILanes<TVector> where TVector : struct
{
    private const int PartsForThread = 4; // So that a core that comes late leaves little work behind.
    private const int WordsInPart = 4096; // Less is not worth handing over.

    /// <summary>y[rows, outer] = x[rows, inner] * w^T.</summary>
    public static void Run(float* x, TiledWeight weight, float* y, int rows)
    {
        int share = (weight.Tiles + PartsForThread * ThreadTeam.Size - 1) / (PartsForThread * ThreadTeam.Size);
        int tilesInPart = Math.Max(share, WordsInPart / Math.Max(1, weight.WordsInTile) + 1);
        var work = new MatrixMultiplyTiles<TLanes, TVector>(x, weight, y, rows, tilesInPart);
        ThreadTeam.Run(ref work, (weight.Tiles + tilesInPart - 1) / tilesInPart);
    }

    public void Part(int part)
    {
        float* sums = stackalloc float[TiledWeight.Rows * 4];
        int end = Math.Min(weight.Tiles, (part + 1) * tilesInPart);
        for (int tile = part * tilesInPart; tile < end; tile++)
        {
            uint* words = weight.Words + (nint)tile * weight.WordsInTile;
            int row = 0;
            for (; row <= rows - 4; row += 4)
            {
                FourRows(x + (nint)row * weight.Inner, weight.Inner, words, weight.Vectors, sums);
                for (int i = 0; i < 4; i++) Put(row + i, tile, sums + i * TiledWeight.Rows);
            }
            for (; row < rows; row++)
            {
                OneRow(x + (nint)row * weight.Inner, words, weight.Vectors, sums);
                Put(row, tile, sums);
            }
        }
    }

    // Adds what fills no vector, and drops the rows that only fill the last tile.
    private void Put(int row, int tile, float* sums)
    {
        int first = tile * TiledWeight.Rows, count = Math.Min(TiledWeight.Rows, weight.Outer - first);
        float* tail = x + (nint)row * weight.Inner + weight.Inner - weight.TailColumns;
        for (int j = 0; j < count; j++)
        {
            float sum = sums[j];
            for (int i = 0; i < weight.TailColumns; i++) sum = MathF.FusedMultiplyAdd(tail[i], weight.TailValue(first + j, i), sum);
            y[(nint)row * weight.Outer + first + j] = sum;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OneRow(float* x, uint* words, int vectors, float* sums)
    {
        TVector s0 = default, s1 = default, s2 = default, s3 = default;
        for (int pair = 0; pair < vectors / 2; pair++, x += 2 * TLanes.Count, words += 4 * TLanes.Count)
        {
            TVector low = TLanes.Load(x), high = TLanes.Load(x + TLanes.Count);
            s0 = Pair(low, high, words, s0);
            s1 = Pair(low, high, words + TLanes.Count, s1);
            s2 = Pair(low, high, words + 2 * TLanes.Count, s2);
            s3 = Pair(low, high, words + 3 * TLanes.Count, s3);
        }
        if (vectors % 2 != 0)
        {
            var a = TLanes.Load(x);
            s0 = TLanes.MultiplyAdd(a, TLanes.LowHalves(words), s0);
            s1 = TLanes.MultiplyAdd(a, TLanes.LowHalves(words + TLanes.Count), s1);
            s2 = TLanes.MultiplyAdd(a, TLanes.LowHalves(words + 2 * TLanes.Count), s2);
            s3 = TLanes.MultiplyAdd(a, TLanes.LowHalves(words + 3 * TLanes.Count), s3);
        }
        Sums(sums, s0, s1, s2, s3);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourRows(float* x0, int stride, uint* words, int vectors, float* sums)
    {
        float* x1 = x0 + stride, x2 = x1 + stride, x3 = x2 + stride;
        TVector s00 = default, s01 = default, s02 = default, s03 = default, s10 = default, s11 = default, s12 = default, s13 = default;
        TVector s20 = default, s21 = default, s22 = default, s23 = default, s30 = default, s31 = default, s32 = default, s33 = default;
        for (int vector = 0; vector < vectors; vector++)
        {
            int i = vector * TLanes.Count;
            uint* row = words + vector / 2 * 4 * TLanes.Count;
            TVector a0 = TLanes.Load(x0 + i), a1 = TLanes.Load(x1 + i), a2 = TLanes.Load(x2 + i), a3 = TLanes.Load(x3 + i);
            var b = Half(row, vector);
            (s00, s10) = (TLanes.MultiplyAdd(a0, b, s00), TLanes.MultiplyAdd(a1, b, s10));
            (s20, s30) = (TLanes.MultiplyAdd(a2, b, s20), TLanes.MultiplyAdd(a3, b, s30));
            b = Half(row + TLanes.Count, vector);
            (s01, s11) = (TLanes.MultiplyAdd(a0, b, s01), TLanes.MultiplyAdd(a1, b, s11));
            (s21, s31) = (TLanes.MultiplyAdd(a2, b, s21), TLanes.MultiplyAdd(a3, b, s31));
            b = Half(row + 2 * TLanes.Count, vector);
            (s02, s12) = (TLanes.MultiplyAdd(a0, b, s02), TLanes.MultiplyAdd(a1, b, s12));
            (s22, s32) = (TLanes.MultiplyAdd(a2, b, s22), TLanes.MultiplyAdd(a3, b, s32));
            b = Half(row + 3 * TLanes.Count, vector);
            (s03, s13) = (TLanes.MultiplyAdd(a0, b, s03), TLanes.MultiplyAdd(a1, b, s13));
            (s23, s33) = (TLanes.MultiplyAdd(a2, b, s23), TLanes.MultiplyAdd(a3, b, s33));
        }
        Sums(sums, s00, s01, s02, s03);
        Sums(sums + 4, s10, s11, s12, s13);
        Sums(sums + 8, s20, s21, s22, s23);
        Sums(sums + 12, s30, s31, s32, s33);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Half(uint* words, int vector) => vector % 2 == 0 ? TLanes.LowHalves(words) : TLanes.HighHalves(words);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Pair(TVector low, TVector high, uint* words, TVector sum) =>
        TLanes.MultiplyAdd(high, TLanes.HighHalves(words), TLanes.MultiplyAdd(low, TLanes.LowHalves(words), sum));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Sums(float* sums, TVector s0, TVector s1, TVector s2, TVector s3) =>
        (sums[0], sums[1], sums[2], sums[3]) = (TLanes.Sum(s0), TLanes.Sum(s1), TLanes.Sum(s2), TLanes.Sum(s3));
}
