using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace NeuronQuant.Tokenization;

/// <summary>Unicode's normalization form C: canonical decomposition, order of marks, composition.</summary>
/// <remarks>
/// .NET's own string.Normalize leaves text as it is, without a word, when a program runs with invariant globalization, as this project's
/// does so that it needs no ICU; a tokenizer must not depend on that. The algorithm is that of Unicode Standard Annex 15: every character
/// is decomposed as far as it goes, marks are sorted by combining class (stably, between characters of class 0), and each is then composed
/// with the last character of class 0 before it unless something of its own class or above stands between. Hangul syllables are computed.
/// Nfc.txt, made from Python's unicodedata, holds the mappings; its first line names the version of Unicode.
/// </remarks>
internal static class Nfc
{
    private const int FirstThatMayChange = 0x300; // Below it nothing composes, decomposes to other than its composition, or is a mark.
    private const int SBase = 0xAC00, LBase = 0x1100, VBase = 0x1161, TBase = 0x11A7, LCount = 19, VCount = 21, TCount = 28;
    private const int SCount = LCount * VCount * TCount;

    private static readonly Lazy<Tables> Data = new(ReadTables);

    /// <summary>The text in form C.</summary>
    /// <param name="text">without unpaired surrogates</param>
    public static string Normalize(string text)
    {
        if (!text.AsSpan().ContainsAnyExceptInRange('\0', (char)(FirstThatMayChange - 1))) return text;
        var points = new List<int>(text.Length);
        foreach (var rune in text.EnumerateRunes()) Decompose(rune.Value, points);
        Sort(points);
        var result = new StringBuilder(text.Length);
        foreach (int point in Compose(points)) result.Append(new Rune(point).ToString());
        return result.ToString();
    }

    private static void Decompose(int point, List<int> points)
    {
        int syllable = point - SBase;
        if (syllable is >= 0 and < SCount)
        {
            points.Add(LBase + (syllable / (VCount * TCount)));
            points.Add(VBase + (syllable % (VCount * TCount) / TCount));
            if (syllable % TCount != 0) points.Add(TBase + (syllable % TCount));
        }
        else if (Data.Value.Parts.TryGetValue(point, out int[]? parts))
        {
            foreach (int part in parts) Decompose(part, points);
        }
        else
        {
            points.Add(point);
        }
    }

    private static void Sort(List<int> points)
    {
        var all = CollectionsMarshal.AsSpan(points);
        for (int start = 0, end; start < all.Length; start = Math.Max(end, start + 1))
        {
            for (end = start; end < all.Length && Class(all[end]) > 0;) end++;
            if (end - start > 1) SortRun(all[start..end]);
        }
    }

    // By class and, since equal classes must keep their order, by place; a run may be as long as the text.
    private static void SortRun(Span<int> marks)
    {
        var keys = new long[marks.Length];
        for (int i = 0; i < keys.Length; i++) keys[i] = ((long)Class(marks[i]) << 32) | (uint)i;
        keys.AsSpan().Sort(marks);
    }

    private static List<int> Compose(List<int> points)
    {
        var composed = new List<int>(points.Count);
        int starter = -1; // Where the last character of class 0 stands in the result.
        int before = 0;   // The class of the character before this one; only of those that stayed.
        foreach (int point in points)
        {
            int own = Class(point);
            bool reachable = starter >= 0 && (starter == composed.Count - 1 || before < own);
            if (reachable && Pair(composed[starter], point) is { } whole)
            {
                composed[starter] = whole;
                continue;
            }
            if (own == 0) starter = composed.Count;
            before = own;
            composed.Add(point);
        }
        return composed;
    }

    private static int? Pair(int left, int right)
    {
        if (left - LBase is >= 0 and < LCount && right - VBase is >= 0 and < VCount)
            return SBase + ((((left - LBase) * VCount) + right - VBase) * TCount);
        if (left - SBase is >= 0 and < SCount && (left - SBase) % TCount == 0 && right - TBase is > 0 and < TCount) return left + right - TBase;
        return Data.Value.Pairs.TryGetValue((left, right), out int whole) ? whole : null;
    }

    private static int Class(int point) => point < FirstThatMayChange ? 0 : Data.Value.Classes.GetValueOrDefault(point);

    private static Tables ReadTables()
    {
        var tables = new Tables([], [], []);
        using var stream = typeof(Nfc).Assembly.GetManifestResourceStream("Nfc.txt")!;
        using var reader = new StreamReader(stream, Encoding.ASCII);
        while (reader.ReadLine() is { } line)
        {
            string[] fields = line.Split(' ');
            if (fields[0] == "#") continue;
            if (fields[0] == "c")
            {
                byte value = byte.Parse(fields[3], CultureInfo.InvariantCulture);
                for (int point = Hex(fields[1]); point <= Hex(fields[2]); point++) tables.Classes.Add(point, value);
                continue;
            }
            int[] parts = [.. fields.Skip(2).Select(Hex)];
            tables.Parts.Add(Hex(fields[1]), parts);
            if (fields[0] == "=") tables.Pairs.Add((parts[0], parts[1]), Hex(fields[1]));
        }
        return tables;
    }

    private static int Hex(string text) => int.Parse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture);

    private sealed record Tables(Dictionary<int, int[]> Parts, Dictionary<(int, int), int> Pairs, Dictionary<int, byte> Classes);
}
