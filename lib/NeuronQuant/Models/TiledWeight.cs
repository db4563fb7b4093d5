using NeuronQuant.Formats;

namespace NeuronQuant.Models;

/// <summary>A bf16 weight in the order in which decoding reads it: one unbroken stream for each core.</summary>
/// <remarks>
/// Four rows form a tile. Rows that lie apart are four short streams, which the prefetcher loses at the end of each row; measured on rows of
/// 768, that halves the rate. In a tile the rows take turns, one vector of words each, so that addresses only grow. A word holds two codes of
/// its row: column c of the vector's columns in the low half, the column one vector further in the high half. A shift and a mask
/// then widen both to float32, with no shuffle.
///   tile t, pair p, row j, lane k:  w[4t + j, 2Lp + k] | w[4t + j, 2Lp + L + k] &lt;&lt; 16,  L lanes in a vector
/// An odd vector at the end fills low halves only; columns that fill no vector are kept by row in <see cref="Tail"/>; missing rows are zero.
/// </remarks>
internal sealed unsafe class TiledWeight
{
    /// <summary>Rows of a tile.</summary>
    public const int Rows = 4;

    private const int CacheLine = 64;

    private readonly uint[] _words; // Pinned, so that its address, and with it the alignment, stays.

    /// <summary>Lays out bf16 codes for vectors of so many bits.</summary>
    /// <param name="codes">[outer, inner] bf16 codes</param>
    /// <param name="inner">in features</param>
    /// <param name="outer">out features</param>
    /// <param name="bits">512, 256 or 128</param>
    public TiledWeight(ReadOnlySpan<ushort> codes, int inner, int outer, int bits)
    {
        (Inner, Outer, Bits) = (inner, outer, bits);
        int lanes = bits / 32;
        (Vectors, TailColumns) = (inner / lanes, inner % lanes);
        WordsInTile = Rows * lanes * ((Vectors + 1) / 2);
        _words = GC.AllocateArray<uint>(checked(Tiles * WordsInTile + CacheLine / sizeof(uint)), pinned: true);
        var address = (nuint)System.Runtime.CompilerServices.Unsafe.AsPointer(ref _words[0]);
        Words = (uint*)((address + CacheLine - 1) & ~(nuint)(CacheLine - 1));
        Tail = new ushort[outer * TailColumns];
        for (int row = 0; row < outer; row++) Place(row, codes.Slice(row * inner, inner), lanes);
    }

    public int Inner { get; }

    public int Outer { get; }

    /// <summary>Bits of the vectors that it is laid out for.</summary>
    public int Bits { get; }

    /// <summary>Whole vectors in a row.</summary>
    public int Vectors { get; }

    /// <summary>Columns after the last whole vector.</summary>
    public int TailColumns { get; }

    public int WordsInTile { get; }

    public int Tiles => (Outer + Rows - 1) / Rows;

    /// <summary>The tiles, from the start of a cache line.</summary>
    public uint* Words { get; }

    /// <summary>[outer, tail columns] bf16 codes.</summary>
    public ushort[] Tail { get; }

    private void Place(int row, ReadOnlySpan<ushort> codes, int lanes)
    {
        uint* words = Words + (nint)(row / Rows) * WordsInTile + row % Rows * lanes;
        for (int vector = 0; vector < Vectors; vector++)
            for (int lane = 0; lane < lanes; lane++)
                words[vector / 2 * Rows * lanes + lane] |= (uint)codes[vector * lanes + lane] << (vector % 2 * 16);
        codes[(Vectors * lanes)..].CopyTo(Tail.AsSpan(row * TailColumns));
    }

    /// <summary>Weight of a column after the last whole vector.</summary>
    public float TailValue(int row, int column) => BFloat16.Decode(Tail[row * TailColumns + column]);
}
