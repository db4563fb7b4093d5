using System.Runtime.InteropServices;

namespace NeuronQuant.Checkpoints;

/// <summary>
/// GPTQ's packing: 32 / b integers of b bits lie in one int32, the first in the lowest bits. Weights are packed along the input and stored
/// transposed, qweight [in * b / 32, out]; zero points along the output, qzeros [groups, out * b / 32]; scales [groups, out] are not packed. g_idx
/// [in] says to which group a column belongs.
/// </summary>
/// <remarks>
/// Integers are counted from 0: code + 2^(b-1) for our signed codes. A zero point is stored less one, a slip of the first kernels that became the
/// format ("gptq", and auto-round's "auto_round:auto_gptq"); a symmetric weight of 8 bits so has 127 everywhere and means 128. "gptq_v2" stores it
/// as it is. Sources: AutoGPTQ/AutoGPTQ auto_gptq/nn_modules/qlinear/qlinear_cuda.py (pack); intel/auto-round
/// auto_round/export/export_to_autoround/qlinear_triton_gptq.py (pack); vllm-project/vllm model_executor/layers/quantization/gptq.py.
/// </remarks>
public static class PackedIntegers
{
    /// <summary>Integers in an int32.</summary>
    public static int PerWord(int bits) => bits is 2 or 4 or 8 ? 32 / bits
        : throw new ArgumentOutOfRangeException(nameof(bits), bits, "Packed integers have 2, 4 or 8 bits here: 3 do not fill an int32.");

    /// <summary>Packs a weight: signed codes [out, in], row-major, become qweight [in * bits / 32, out].</summary>
    /// <exception cref="ArgumentException">the columns do not fill whole words, or a code has more bits</exception>
    public static int[] PackWeight(ReadOnlySpan<sbyte> codes, int rows, int columns, int bits)
    {
        int perWord = PerWord(bits), half = 1 << (bits - 1);
        if (columns % perWord != 0) throw new ArgumentException($"{columns} columns do not fill words of {perWord}.", nameof(columns));
        var words = new int[columns / perWord * rows];
        for (int row = 0; row < rows; row++)
            for (int column = 0; column < columns; column++)
            {
                int code = codes[row * columns + column];
                if (code < -half || code >= half)
                    throw new ArgumentException($"The code {code} of row {row} has more than {bits} bits.", nameof(codes));
                words[column / perWord * rows + row] |= (code + half) << (column % perWord * bits);
            }
        return words;
    }

    /// <summary>The unsigned integer at a row (output) and a column (input) of qweight.</summary>
    /// <param name="words">qweight</param>
    /// <param name="rows">output channels, the words in a line of qweight</param>
    /// <param name="row">output channel</param>
    /// <param name="column">input channel</param>
    /// <param name="bits">2, 4 or 8</param>
    public static int Weight(ReadOnlySpan<int> words, int rows, int row, int column, int bits)
    {
        int perWord = 32 / bits;
        return words[column / perWord * rows + row] >> (column % perWord * bits) & ((1 << bits) - 1);
    }

    /// <summary>Packs one line of unsigned integers along itself, as qzeros does with the output channels of a group.</summary>
    public static int[] PackLine(ReadOnlySpan<byte> values, int bits)
    {
        int perWord = PerWord(bits);
        if (values.Length % perWord != 0) throw new ArgumentException($"{values.Length} values do not fill words of {perWord}.", nameof(values));
        var words = new int[values.Length / perWord];
        for (int i = 0; i < values.Length; i++) words[i / perWord] |= values[i] << (i % perWord * bits);
        return words;
    }

    /// <summary>One line of unsigned integers, unpacked.</summary>
    public static byte[] UnpackLine(ReadOnlySpan<int> words, int bits)
    {
        int perWord = PerWord(bits);
        var values = new byte[words.Length * perWord];
        for (int i = 0; i < values.Length; i++) values[i] = (byte)(words[i / perWord] >> (i % perWord * bits) & ((1 << bits) - 1));
        return values;
    }

    /// <summary>The int32 of a stored tensor.</summary>
    internal static ReadOnlySpan<int> Words(Checkpoint stored, TensorInfo tensor) =>
        MemoryMarshal.Cast<byte, int>(stored.Bytes(tensor, 0, checked((int)tensor.ByteCount)));
}
