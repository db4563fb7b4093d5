using System.Runtime.CompilerServices;
using NeuronQuant.Formats;

namespace NeuronQuant.Models;

/// <summary>A few rows times a weight that is read once: the multiplication of decoding.</summary>
/// <remarks>
/// With one row every weight is used once, so memory sets the pace: nothing is packed, each core streams its share of the weight's rows,
/// and bf16 weights, half the bytes, take half the time. Four rows share each load of four weight rows.
/// Effectively computes y[r, o] = sum over i of x[r, i] * w[o, i], in as many running sums as a vector has lanes. Each output has the same
/// sums whatever the number of rows and threads: decoding many prompts at once gives the bits of decoding each alone.
/// </remarks>
internal unsafe struct MatrixMultiplyRows<TLanes, TVector, TWeight> : IWork
    where TLanes : struct, ILanes<TVector> where TVector : struct where TWeight : unmanaged
{
    private const int WeightsInPart = 65_536; // Weights that one part reads: some microseconds of work.

    private float* _x, _y;
    private TWeight* _w;
    private int _rows, _inner, _outer, _block;

    /// <summary>y[rows, outer] = x[rows, inner] * w[outer, inner]^T.</summary>
    public static void Run(float* x, TWeight* w, float* y, int rows, int inner, int outer)
    {
        int block = Math.Max(4, WeightsInPart / Math.Max(1, inner) & ~3);
        var work = new MatrixMultiplyRows<TLanes, TVector, TWeight>
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
        int end = Math.Min(_outer, (part + 1) * _block), o = part * _block;
        for (; o <= end - 4; o += 4)
        {
            int row = 0;
            for (; row <= _rows - 4; row += 4) FourByFour(row, o);
            for (; row < _rows; row++) OneByFour(row, o);
        }
        for (; o < end; o++)
            for (int row = 0; row < _rows; row++) One(row, o);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Load(TWeight* w) => typeof(TWeight) == typeof(float) ? TLanes.Load((float*)w) : TLanes.LoadBf16((ushort*)w);

    private static float Value(TWeight* w) => typeof(TWeight) == typeof(float) ? *(float*)w : BFloat16.Decode(*(ushort*)w);

    private readonly void Put(int row, int o, TVector sums)
    {
        float* x = _x + (nint)row * _inner;
        TWeight* w = _w + (nint)o * _inner;
        float sum = TLanes.Sum(sums);
        for (int i = _inner - _inner % TLanes.Count; i < _inner; i++) sum = MathF.FusedMultiplyAdd(x[i], Value(w + i), sum);
        _y[(nint)row * _outer + o] = sum;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void One(int row, int o)
    {
        float* x = _x + (nint)row * _inner;
        TWeight* w = _w + (nint)o * _inner;
        TVector sum = default;
        for (int i = 0; i <= _inner - TLanes.Count; i += TLanes.Count) sum = TLanes.MultiplyAdd(TLanes.Load(x + i), Load(w + i), sum);
        Put(row, o, sum);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void OneByFour(int row, int o)
    {
        float* x = _x + (nint)row * _inner;
        TWeight* w0 = _w + (nint)o * _inner, w1 = w0 + _inner, w2 = w1 + _inner, w3 = w2 + _inner;
        TVector s0 = default, s1 = default, s2 = default, s3 = default;
        for (int i = 0; i <= _inner - TLanes.Count; i += TLanes.Count)
        {
            var a = TLanes.Load(x + i);
            s0 = TLanes.MultiplyAdd(a, Load(w0 + i), s0);
            s1 = TLanes.MultiplyAdd(a, Load(w1 + i), s1);
            s2 = TLanes.MultiplyAdd(a, Load(w2 + i), s2);
            s3 = TLanes.MultiplyAdd(a, Load(w3 + i), s3);
        }
        Put(row, o, s0);
        Put(row, o + 1, s1);
        Put(row, o + 2, s2);
        Put(row, o + 3, s3);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void FourByFour(int row, int o)
    {
        float* x0 = _x + (nint)row * _inner, x1 = x0 + _inner, x2 = x1 + _inner, x3 = x2 + _inner;
        TWeight* w = _w + (nint)o * _inner;
        TVector s00 = default, s01 = default, s02 = default, s03 = default, s10 = default, s11 = default, s12 = default, s13 = default;
        TVector s20 = default, s21 = default, s22 = default, s23 = default, s30 = default, s31 = default, s32 = default, s33 = default;
        for (int i = 0; i <= _inner - TLanes.Count; i += TLanes.Count)
        {
            TVector b0 = Load(w + i), b1 = Load(w + _inner + i), b2 = Load(w + 2 * (nint)_inner + i), b3 = Load(w + 3 * (nint)_inner + i);
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
        PutFour(row, o, s00, s01, s02, s03);
        PutFour(row + 1, o, s10, s11, s12, s13);
        PutFour(row + 2, o, s20, s21, s22, s23);
        PutFour(row + 3, o, s30, s31, s32, s33);
    }

    private readonly void PutFour(int row, int o, TVector s0, TVector s1, TVector s2, TVector s3)
    {
        Put(row, o, s0);
        Put(row, o + 1, s1);
        Put(row, o + 2, s2);
        Put(row, o + 3, s3);
    }
}
