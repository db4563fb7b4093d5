using System.Runtime.CompilerServices;

namespace NeuronQuant.Models;

/// <summary>A few rows times a float32 weight that is read once, as it lies.</summary>
/// <remarks>
/// With one row every weight is used once, so memory sets the pace: nothing is packed, and each core streams its share of the weight's rows.
/// Four rows share each load of four weight rows. Weights that fit bf16 have a faster path, <see cref="MatrixMultiplyTiles{TLanes,TVector}"/>.
/// Effectively computes y[r, o] = sum over i of x[r, i] * w[o, i], in as many running sums as a vector has lanes. Each output has the same
/// sums whatever the number of rows and threads: decoding many prompts at once gives the bits of decoding each alone.
/// </remarks>
internal unsafe struct MatrixMultiplyRows<TLanes, TVector> : IWork
    where TLanes : struct, ILanes<TVector> where TVector : struct
{
    private const int WeightsInPart = 65_536; // Weights that one part reads: some microseconds of work.

    private float* _x, _w, _y;
    private int _rows, _inner, _outer, _block;

    /// <summary>y[rows, outer] = x[rows, inner] * w[outer, inner]^T.</summary>
    public static void Run(float* x, float* w, float* y, int rows, int inner, int outer)
    {
        int block = Math.Max(4, WeightsInPart / Math.Max(1, inner) & ~3);
        var work = new MatrixMultiplyRows<TLanes, TVector>
        {
            _x = x,
            _w = w,
            _y = y,
            _rows = rows,
            _inner = inner,
            _outer = outer,
            _block = block,
        };
        ThreadTeam.Run(ref work, (outer + block - 1) / block);
    }

    public readonly void Part(int part)
    {
        float* sums = stackalloc float[16 * TLanes.Count];
        int end = Math.Min(_outer, (part + 1) * _block), o = part * _block;
        for (; o <= end - 4; o += 4)
        {
            int row = 0;
            for (; row <= _rows - 4; row += 4)
            {
                FourByFour(_x + (nint)row * _inner, _w + (nint)o * _inner, _inner, sums);
                for (int i = 0; i < 16; i++) Put(row + i / 4, o + i % 4, sums + i * TLanes.Count);
            }
            for (; row < _rows; row++)
            {
                OneByFour(_x + (nint)row * _inner, _w + (nint)o * _inner, _inner, sums);
                for (int i = 0; i < 4; i++) Put(row, o + i, sums + i * TLanes.Count);
            }
        }
        for (; o < end; o++)
            for (int row = 0; row < _rows; row++)
            {
                One(_x + (nint)row * _inner, _w + (nint)o * _inner, _inner, sums);
                Put(row, o, sums);
            }
    }

    // Adds the lanes, then what fills no vector.
    private readonly void Put(int row, int o, float* sums)
    {
        float* x = _x + (nint)row * _inner;
        float* w = _w + (nint)o * _inner;
        float sum = TLanes.Sum(TLanes.Load(sums));
        for (int i = _inner - _inner % TLanes.Count; i < _inner; i++) sum = MathF.FusedMultiplyAdd(x[i], w[i], sum);
        _y[(nint)row * _outer + o] = sum;
    }

    // The loops below call nothing: the compiler would keep their sums in memory across a call, and on the way to it too.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void One(float* x, float* w, int inner, float* sums)
    {
        TVector sum = default;
        for (int i = 0; i <= inner - TLanes.Count; i += TLanes.Count) sum = TLanes.MultiplyAdd(TLanes.Load(x + i), TLanes.Load(w + i), sum);
        TLanes.Store(sum, sums);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OneByFour(float* x, float* w0, int inner, float* sums)
    {
        float* w1 = w0 + inner, w2 = w1 + inner, w3 = w2 + inner;
        TVector s0 = default, s1 = default, s2 = default, s3 = default;
        for (int i = 0; i <= inner - TLanes.Count; i += TLanes.Count)
        {
            var a = TLanes.Load(x + i);
            s0 = TLanes.MultiplyAdd(a, TLanes.Load(w0 + i), s0);
            s1 = TLanes.MultiplyAdd(a, TLanes.Load(w1 + i), s1);
            s2 = TLanes.MultiplyAdd(a, TLanes.Load(w2 + i), s2);
            s3 = TLanes.MultiplyAdd(a, TLanes.Load(w3 + i), s3);
        }
        Store(sums, s0, s1, s2, s3);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourByFour(float* x0, float* w0, int inner, float* sums)
    {
        float* x1 = x0 + inner, x2 = x1 + inner, x3 = x2 + inner;
        float* w1 = w0 + inner, w2 = w1 + inner, w3 = w2 + inner;
        TVector s00 = default, s01 = default, s02 = default, s03 = default, s10 = default, s11 = default, s12 = default, s13 = default;
        TVector s20 = default, s21 = default, s22 = default, s23 = default, s30 = default, s31 = default, s32 = default, s33 = default;
        for (int i = 0; i <= inner - TLanes.Count; i += TLanes.Count)
        {
            TVector b0 = TLanes.Load(w0 + i), b1 = TLanes.Load(w1 + i), b2 = TLanes.Load(w2 + i), b3 = TLanes.Load(w3 + i);
            var a = TLanes.Load(x0 + i);
            (s00, s01) = (TLanes.MultiplyAdd(a, b0, s00), TLanes.MultiplyAdd(a, b1, s01));
            (s02, s03) = (TLanes.MultiplyAdd(a, b2, s02), TLanes.MultiplyAdd(a, b3, s03));
            a = TLanes.Load(x1 + i);
            (s10, s11) = (TLanes.MultiplyAdd(a, b0, s10), TLanes.MultiplyAdd(a, b1, s11));
            (s12, s13) = (TLanes.MultiplyAdd(a, b2, s12), TLanes.MultiplyAdd(a, b3, s13));
            a = TLanes.Load(x2 + i);
            (s20, s21) = (TLanes.MultiplyAdd(a, b0, s20), TLanes.MultiplyAdd(a, b1, s21));
            (s22, s23) = (TLanes.MultiplyAdd(a, b2, s22), TLanes.MultiplyAdd(a, b3, s23));
            a = TLanes.Load(x3 + i);
            (s30, s31) = (TLanes.MultiplyAdd(a, b0, s30), TLanes.MultiplyAdd(a, b1, s31));
            (s32, s33) = (TLanes.MultiplyAdd(a, b2, s32), TLanes.MultiplyAdd(a, b3, s33));
        }
        Store(sums, s00, s01, s02, s03);
        Store(sums + 4 * TLanes.Count, s10, s11, s12, s13);
        Store(sums + 8 * TLanes.Count, s20, s21, s22, s23);
        Store(sums + 12 * TLanes.Count, s30, s31, s32, s33);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(float* sums, TVector s0, TVector s1, TVector s2, TVector s3)
    {
        TLanes.Store(s0, sums);
        TLanes.Store(s1, sums + TLanes.Count);
        TLanes.Store(s2, sums + 2 * TLanes.Count);
        TLanes.Store(s3, sums + 3 * TLanes.Count);
    }
}
