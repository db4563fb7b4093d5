using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace NeuronQuant.Neuron;

/// <summary>For which processor a Linux library was built: the loader only says that it cannot load it.</summary>
/// <remarks>ELF: the magic number, then class (1 is 32 bits, 2 is 64), and e_machine at offset 18. Machines: the ELF registry.</remarks>
internal static class ElfHeader
{
    private const int Length = 20, ClassAt = 4, MachineAt = 18;

    /// <summary>This process, in .NET's word.</summary>
    public static string ThisMachine => $"{RuntimeInformation.ProcessArchitecture}".ToLowerInvariant();

    /// <summary>The processor of a file that is for another one than this process; null when it is for this one, or no ELF file.</summary>
    public static string? ForeignMachine(string path)
    {
        Span<byte> header = stackalloc byte[Length];
        using var file = File.OpenRead(path);
        if (file.ReadAtLeast(header, Length, throwOnEndOfStream: false) < Length || !header.StartsWith("\u007fELF"u8)) return null;
        int number = BinaryPrimitives.ReadUInt16LittleEndian(header[MachineAt..]);
        string machine = number switch
        {
            0x3E => header[ClassAt] == 2 ? "x64" : "x32",
            0xB7 => "arm64",
            0x03 => "x86",
            0x28 => "arm",
            _ => $"machine {number}",
        };
        return machine == ThisMachine ? null : machine;
    }
}
