using System.Buffers.Binary;
using System.Text;

namespace NeuronQuant.Tensors;

/// <summary>The symbol versions of a shared library of Linux: which it defines, which it needs of others, and which of those could be done without.</summary>
/// <remarks>
/// <para>A library names, for each library that it needs, the versions of its symbols (GLIBCXX_3.4.32 of libstdc++.so.6). The loader refuses a
/// file whose version is absent, even when no symbol of it is used, unless the entry carries the flag VER_FLG_WEAK.</para>
/// <para>Read: ELF of 64 bits, little-endian. Layout: verneed {u16 version, u16 count, u32 file, u32 aux, u32 next}; vernaux {u32 hash, u16 flags,
/// u16 other, u32 name, u32 next}; verdef {u16 version, u16 flags, u16 index, u16 count, u32 hash, u32 aux, u32 next} (System V ABI, "Symbol Versioning").
/// Every offset is checked by the span that it indexes: a damaged file ends in <see cref="BadImageFormatException"/>.</para>
/// </remarks>
internal sealed class ElfVersions
{
    private const uint Relocations = 4, VersionDefinitions = 0x6ffffffd, VersionNeeds = 0x6ffffffe, SymbolVersions = 0x6fffffff;
    private const ushort Weak = 2; // VER_FLG_WEAK
    private const int MostEntries = 100_000; // a damaged chain must end

    private readonly byte[] _file;
    private readonly Section[] _sections;

    /// <summary>Reads the table of sections.</summary>
    /// <param name="file">the whole file; <see cref="MakeOptional"/> changes it</param>
    /// <exception cref="BadImageFormatException">no such file</exception>
    public ElfVersions(byte[] file)
    {
        _file = file;
        if (file.Length < 64 || !file.AsSpan(0, 6).SequenceEqual("\u007fELF\u0002\u0001"u8)) throw Damaged("no 64-bit little-endian ELF file");
        (long start, int size, int count) = (Long(0x28), Short(0x3A), Short(0x3C));
        _sections = [.. Enumerable.Range(0, count).Select(i => start + (long)i * size)
            .Select(at => new Section(Int(at + 4), Long(at + 24), Long(at + 32), (int)Int(at + 40)))];
    }

    /// <summary>The versions that the library defines.</summary>
    public IReadOnlySet<string> Defined() => Sections(VersionDefinitions)
        .SelectMany(section => Chain(section.Offset, 16).Select(at => Name(section.Link, Int(at + Int(at + 12))))).ToHashSet();

    /// <summary>Marks as optional each version of a needed library that is absent, if no relocation asks for a symbol of it.</summary>
    /// <param name="library">the needed library, such as libstdc++.so.6</param>
    /// <param name="present">the versions that it has on this machine</param>
    /// <returns>the versions that were marked</returns>
    /// <exception cref="NotSupportedException">a symbol of an absent version is used</exception>
    public IReadOnlyList<string> MakeOptional(string library, IReadOnlySet<string> present)
    {
        var marked = new List<string>();
        foreach (var section in Sections(VersionNeeds))
            foreach (long need in Chain(section.Offset, 12).Where(at => Name(section.Link, Int(at + 4)) == library))
                foreach (long entry in Chain(need + Int(need + 8), 12))
                {
                    string version = Name(section.Link, Int(entry + 8));
                    if (present.Contains(version)) continue;
                    if (FirstUse(Short(entry + 6)) is { } symbol) throw new NotSupportedException($"{symbol} of {version} in {library} is used and absent");
                    BinaryPrimitives.WriteUInt16LittleEndian(_file.AsSpan((int)entry + 4), (ushort)(Short(entry + 4) | Weak));
                    marked.Add(version);
                }
        return marked;
    }

    // The first symbol of a version that a relocation refers to; null for none.
    private string? FirstUse(int version)
    {
        var versions = Sections(SymbolVersions).FirstOrDefault() ?? throw Damaged("no symbol versions");
        var symbols = At(versions.Link);
        foreach (var section in Sections(Relocations))
            for (long at = section.Offset; at + 24 <= section.Offset + section.Size; at += 24) // Elf64_Rela {offset, info, addend}; the symbol is info's upper half
                if (Int(at + 12) is > 0 and var symbol && (Short(versions.Offset + 2 * symbol) & 0x7fff) == version)
                    return Name(symbols.Link, Int(symbols.Offset + 24 * symbol));
        return null;
    }

    // The places of a chain whose links are relative.
    private IEnumerable<long> Chain(long first, int link)
    {
        for (long at = first, entries = 0, next = 1; next != 0; at += next)
        {
            if (++entries > MostEntries) throw Damaged("an endless chain");
            yield return at;
            next = Int(at + link);
        }
    }

    private IEnumerable<Section> Sections(uint type) => _sections.Where(section => section.Type == type);

    private Section At(int index) => index >= 0 && index < _sections.Length ? _sections[index] : throw Damaged("a section that is not there");

    private string Name(int section, long offset)
    {
        var text = Bytes(At(section).Offset + offset, 1, toTheEnd: true);
        int end = text.IndexOf((byte)0);
        return end >= 0 ? Encoding.UTF8.GetString(text[..end]) : throw Damaged("a name without an end");
    }

    private ushort Short(long at) => BinaryPrimitives.ReadUInt16LittleEndian(Bytes(at, 2));

    private uint Int(long at) => BinaryPrimitives.ReadUInt32LittleEndian(Bytes(at, 4));

    private long Long(long at) => BinaryPrimitives.ReadInt64LittleEndian(Bytes(at, 8));

    private ReadOnlySpan<byte> Bytes(long at, int count, bool toTheEnd = false) =>
        at >= 0 && at <= _file.Length - count ? toTheEnd ? _file.AsSpan((int)at) : _file.AsSpan((int)at, count) : throw Damaged("an offset outside of the file");

    private static BadImageFormatException Damaged(string what) => new(what);

    private sealed record Section(uint Type, long Offset, long Size, int Link);
}
