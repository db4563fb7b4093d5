using System.Globalization;

namespace NeuronQuant.Formats;

/// <summary>One code of an 8-bit format: its bits, what it is worth, and whether Neuron may be given it.</summary>
/// <param name="Code">the byte</param>
/// <param name="Bits">the byte in binary, fields apart: sign exponent mantissa (or eight bits for int8)</param>
/// <param name="Value">what it is worth</param>
/// <param name="Writable">false for codes that this library never writes</param>
public sealed record CodeEntry(byte Code, string Bits, float Value, bool Writable);

/// <summary>All 256 codes of an 8-bit format, in code order: the whole format on one page.</summary>
public static class CodeTable
{
    /// <summary>The table of int8, f8e4m3 or f8e5m2.</summary>
    /// <exception cref="ArgumentException">the format has more than 8 bits</exception>
    public static IReadOnlyList<CodeEntry> Of(Format format) => format switch
    {
        Format.Int8 => Build(code => (sbyte)code, 8, 0, _ => true),
        Format.F8E4M3 => Build(Float8E4M3.Decode, 1, 4, code => !Float8E4M3.IsForbidden(code)),
        Format.F8E5M2 => Build(Float8E5M2.Decode, 1, 5, code => (code & 0x7F) <= 0x7B),
        _ => throw new ArgumentException($"{format.NxdiName()} has too many codes for a table; take int8, f8e4m3 or f8e5m2.", nameof(format)),
    };

    /// <summary>The distinct finite values that the format can be written with, ascending.</summary>
    public static float[] Values(Format format) =>
        [.. Of(format).Where(entry => entry.Writable).Select(entry => entry.Value).Distinct().Order()];

    private static CodeEntry[] Build(Func<byte, float> decode, int first, int second, Func<byte, bool> writable)
    {
        var entries = new CodeEntry[256];
        for (int code = 0; code < 256; code++)
        {
            string bits = code.ToString("B8", CultureInfo.InvariantCulture);
            string fields = second == 0 ? bits : $"{bits[..first]} {bits[first..(first + second)]} {bits[(first + second)..]}";
            entries[code] = new CodeEntry((byte)code, fields, decode((byte)code), writable((byte)code));
        }
        return entries;
    }
}
