using System.Runtime.InteropServices;
using System.Security.Cryptography;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>What is kept of a module's chosen codes: its grid, scales, and a digest of each channel's codes.</summary>
/// <param name="Grid">the grid on which the codes were chosen</param>
/// <param name="Scales">[out, groups] row-major</param>
/// <param name="Digests">[out], the first eight bytes of the SHA-256 of the channel's codes, or of its bf16 values</param>
internal sealed record ChosenModule(Grid Grid, float[] Scales, ulong[] Digests);

/// <summary>
/// The witness of codes that were tuned. They are not what rounding the source gives, so the audit cannot compute them again; beside the
/// weights lies what it compares the folder with.
/// </summary>
/// <remarks>
/// A folder "neuronquant" inside the written one, which no loader looks into, holds for each tuned module <c>scale</c> F32 [out, 1] and
/// <c>digest</c> U64 [out]: twelve bytes a channel. From a bf16 file the codes come back as round(w / scale), exactly, since bf16 is off by
/// less than 1/257 of a value and codes reach 128 at most. A changed code changes its channel's digest, so it is found in both layouts.
/// With zero points codes are up to 255 apart, and with groups a channel has no one scale: there the digest is of the bf16 values.
/// </remarks>
internal sealed class ChosenCodes(IReadOnlyDictionary<ModuleName, ChosenModule> modules, IReadOnlyDictionary<string, ulong[]> floats)
{
    private const string FloatSuffix = ".float";

    public const string FolderName = "neuronquant";

    /// <summary>What is kept of a module; null when it was not tuned.</summary>
    public ChosenModule? Find(ModuleName module) => modules.GetValueOrDefault(module);

    /// <summary>
    /// For each tensor that stays in floating point and was changed, by its name without "model.", the digest of each row's bf16 values.
    /// </summary>
    public IReadOnlyDictionary<string, ulong[]> Floats { get; } = floats;

    /// <summary>Reads the witness of a folder; null when it is missing or damaged.</summary>
    public static ChosenCodes? Read(string folder, QuantizationRecord record)
    {
        try
        {
            using var kept = Checkpoint.OpenStored(Path.Combine(folder, FolderName));
            return new ChosenCodes(kept.Tensors.Where(tensor => tensor.Name.EndsWith(".digest", StringComparison.Ordinal)).ToDictionary(
                tensor => ModuleName.OfTensor(tensor.Name, out _),
                tensor =>
                {
                    var module = ModuleName.OfTensor(tensor.Name, out _);
                    return new ChosenModule(
                        record is { GridNumbers: null, Widths: { } widths }
                            ? Grid.Parse(record.Grid, widths.GetValueOrDefault(module.Name, 8)) : record.WholeGrid,
                        Values<float>(kept, $"{module.Name}.scale"), Values<ulong>(kept, tensor.Name));
                }),
                kept.Tensors.Where(tensor => tensor.Name.EndsWith(FloatSuffix, StringComparison.Ordinal))
                    .ToDictionary(tensor => tensor.Name[..^FloatSuffix.Length], tensor => Values<ulong>(kept, tensor.Name)));
        }
        catch (CheckpointException)
        {
            return null;
        }
    }

    /// <summary>Writes the witness of codes into a folder; an older one is replaced.</summary>
    /// <param name="folder">the written folder</param>
    /// <param name="chosen">the codes</param>
    /// <param name="floats">as <see cref="Floats"/></param>
    public static void Write(string folder, QuantizedModules chosen, IReadOnlyDictionary<string, ulong[]> floats)
    {
        using var writer = CheckpointWriter.Create(Path.Combine(folder, FolderName), chosen.Weights.SelectMany(pair => new[]
        {
            new TensorDeclaration($"{pair.Key.Name}.scale", TensorType.F32, [pair.Value.Rows, pair.Value.Groups]),
            new TensorDeclaration($"{pair.Key.Name}.digest", TensorType.U64, [pair.Value.Rows]),
        }).Concat(floats.Select(pair => new TensorDeclaration(pair.Key + FloatSuffix, TensorType.U64, [pair.Value.Length]))), overwrite: true);
        foreach (var (module, weight) in chosen.Weights)
        {
            var digests = new ulong[weight.Rows];
            RowLoop.Run(weight.Rows, weight.Columns, 0, (row, _) => digests[row] = Digest(weight, row), default);
            writer.Write($"{module.Name}.scale", MemoryMarshal.AsBytes(weight.Scales.AsSpan()));
            writer.Write($"{module.Name}.digest", MemoryMarshal.AsBytes(digests.AsSpan()));
        }
        foreach (var (tensor, digests) in floats) writer.Write(tensor + FloatSuffix, MemoryMarshal.AsBytes(digests.AsSpan()));
        writer.Complete();
    }

    /// <summary>Deletes the witness of an older write.</summary>
    public static void Delete(string folder)
    {
        string path = Path.Combine(folder, FolderName);
        if (Directory.Exists(path)) Directory.Delete(path, recursive: true);
    }

    /// <summary>True when the witness of a grid tells bf16 values, since codes cannot be had back from them.</summary>
    public static bool TellsValues(Grid grid) => grid.HasZeroPoint || grid.GroupSize is not null;

    /// <summary>The digest of the bf16 values of a channel.</summary>
    public static ulong Digest(ReadOnlySpan<float> values)
    {
        var codes = new ushort[values.Length];
        BFloat16.Encode(values, codes);
        return Digest(MemoryMarshal.AsBytes(codes.AsSpan()));
    }

    private static ulong Digest(QuantizedWeight weight, int row)
    {
        if (!TellsValues(weight.Grid)) return Digest(weight.Codes.AsSpan(row * weight.Columns, weight.Columns));
        var values = new float[weight.Columns];
        weight.DequantizeRow(row, values);
        return Digest(values);
    }

    /// <summary>The digest of one channel's codes.</summary>
    public static ulong Digest(ReadOnlySpan<byte> codes)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(codes, hash);
        return BitConverter.ToUInt64(hash);
    }

    private static T[] Values<T>(Checkpoint kept, string tensor) where T : struct =>
        MemoryMarshal.Cast<byte, T>(kept.Bytes(kept[tensor], 0, checked((int)kept[tensor].ByteCount))).ToArray();
}
