using System.Text;

namespace NeuronQuant.Tokenization;

/// <summary>The alphabet of byte-level BPE: one visible character for each of the 256 bytes.</summary>
/// <remarks>
/// GPT-2's idea: BPE shall run over bytes, so that no text is unknown, but its vocabulary shall be printable text. A byte that is a visible
/// Latin-1 character stands for itself; the other 68, in order, get U+0100, U+0101, ... A space is therefore U+0120 and a newline U+010A.
/// </remarks>
internal static class ByteAlphabet
{
    private static readonly char[] Characters = BuildCharacters();
    private static readonly Dictionary<char, byte> Bytes = Characters.Select((c, b) => (c, b)).ToDictionary(x => x.c, x => (byte)x.b);

    /// <summary>The character of a byte.</summary>
    public static char CharacterOf(byte value) => Characters[value];

    /// <summary>The text's UTF-8 bytes, each as its character.</summary>
    public static string Encode(string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        return string.Create(bytes.Length, bytes, static (target, source) =>
        {
            for (int i = 0; i < source.Length; i++) target[i] = Characters[source[i]];
        });
    }

    /// <summary>Adds the bytes of a token; a token with any other character, such as an added one with a space, adds its own UTF-8.</summary>
    public static void Decode(string token, List<byte> bytes)
    {
        int start = bytes.Count;
        foreach (char c in token)
        {
            if (Bytes.TryGetValue(c, out byte value))
            {
                bytes.Add(value);
                continue;
            }
            bytes.RemoveRange(start, bytes.Count - start);
            bytes.AddRange(Encoding.UTF8.GetBytes(token));
            return;
        }
    }

    private static char[] BuildCharacters()
    {
        var characters = new char[256];
        int next = 256;
        for (int value = 0; value < 256; value++)
        {
            bool visible = value is >= '!' and <= '~' or >= 0xA1 and <= 0xFF and not 0xAD;
            characters[value] = (char)(visible ? value : next++);
        }
        return characters;
    }
}
