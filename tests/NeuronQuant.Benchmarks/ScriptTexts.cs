using System.Text;

namespace NeuronQuant.Benchmarks;

/// <summary>Texts of every script, from a fixed seed: words of one Unicode block each with spaces, digits and marks, and mixtures of all.</summary>
internal static class ScriptTexts
{
    // First code points of runs that hold letters, marks, digits or signs of one script; the last ones lie beyond U+FFFF.
    private static readonly (int First, int Last)[] Blocks =
    [
        (0x20, 0x7E), (0xA0, 0x17F), (0x180, 0x24F), (0x250, 0x2FF), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x531, 0x587),
        (0x590, 0x5F4), (0x600, 0x6FF), (0x700, 0x74F), (0x900, 0x97F), (0x980, 0x9FE), (0xA80, 0xAFF), (0xB80, 0xBFA), (0xE01, 0xE5B), (0xF00, 0xFDA),
        (0x1000, 0x109F), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x137C), (0x13A0, 0x13FD), (0x1780, 0x17F9), (0x1800, 0x18AA),
        (0x1E00, 0x1FFE), (0x2000, 0x206F), (0x2070, 0x218B), (0x2190, 0x2BFF), (0x3000, 0x30FF), (0x3105, 0x318E), (0x4E00, 0x9FFF), (0xA000, 0xA4C6), (0xAC00, 0xD7A3),
        (0xF900, 0xFAFF), (0xFB00, 0xFDFF), (0xFE20, 0xFFEF), (0x10000, 0x100FA), (0x10280, 0x103D5), (0x10400, 0x104FF), (0x11000, 0x110CD),
        (0x12000, 0x12399), (0x13000, 0x1342E), (0x1D100, 0x1D24F), (0x1D400, 0x1D7FF), (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF),
    ];

    private static readonly string[] Between =
        [" ", " ", " ", "  ", "\n", "\n\n", "\t", "\r\n", "   ", ", ", ". ", "'s ", "'LL ", "12", "3", "4567", "-", "_", "\u00A0", "\u3000"];

    public static IEnumerable<string> All(int count)
    {
        var random = new Random(20);
        for (int i = 0; i < count; i++)
        {
            var text = new StringBuilder();
            for (int words = random.Next(1, 12); words > 0; words--)
            {
                var (first, last) = Blocks[i % 3 == 0 ? random.Next(Blocks.Length) : i % Blocks.Length];
                for (int letters = random.Next(1, 8); letters > 0; letters--)
                    if (Rune.TryCreate(random.Next(first, last + 1), out var rune)) text.Append(rune.ToString());
                text.Append(Between[random.Next(Between.Length)]);
            }
            yield return text.ToString();
        }
    }
}
