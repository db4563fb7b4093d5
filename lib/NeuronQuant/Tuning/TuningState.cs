using System.Runtime.InteropServices;
using System.Text;
using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;

namespace NeuronQuant.Tuning;

/// <summary>Finished blocks on disk, so that a stopped tuning goes on where it was and ends with the same bits.</summary>
/// <remarks>
/// The folder holds tuning.txt, which says what it belongs to (<see cref="TuningKey"/>), and for each block a small checkpoint layers.N with codes, scales and
/// losses, which appears whole or not at all. Every block carries the digest of its run, so one copied from another run is refused too.
/// Hidden states are not saved: sending the calibration through finished blocks costs about a hundredth of tuning them.
/// </remarks>
internal sealed class TuningState
{
    private const string KeyFile = "tuning.txt", Losses = "losses", Summary = "summary", Run = "run";

    private readonly string _folder;
    private readonly byte[] _digest;

    private TuningState(string folder, byte[] digest) => (_folder, _digest) = (folder, digest);

    /// <summary>Opens a folder of the same run, or starts one.</summary>
    /// <exception cref="TuningException">the folder is of another run</exception>
    public static TuningState Open(string folder, string[] key)
    {
        string path = Path.Combine(folder, KeyFile);
        if (File.Exists(path)) Compare(path, key);
        else
        {
            Directory.CreateDirectory(folder);
            File.WriteAllLines(path + ".partial", key);
            File.Move(path + ".partial", path);
        }
        return new TuningState(folder, Encoding.ASCII.GetBytes(TuningKey.Digest(string.Join('\n', key))));
    }

    /// <summary>A finished block, or null when it is still to do.</summary>
    public BlockTuning? Read(DecoderBlock block, IReadOnlyDictionary<ModuleName, Grid> grids)
    {
        string folder = FolderOf(block.Layer);
        if (!Directory.Exists(folder) || CheckpointFiles.Choose(folder) is null) return null;
        using var saved = Checkpoint.OpenStored(folder);
        if (!Bytes(saved, Run).SequenceEqual(_digest))
            throw new TuningException(folder, "is a block of another run. Delete it to tune the block again, or give a state folder of its own to each run.");
        double[] summary = MemoryMarshal.Cast<byte, double>(Bytes(saved, Summary)).ToArray();
        var weights = grids.ToDictionary(pair => pair.Key, pair => ReadWeight(saved, pair.Key, pair.Value));
        return new BlockTuning(block.Layer, weights, MemoryMarshal.Cast<byte, double>(Bytes(saved, Losses)).ToArray(), (int)summary[0], summary[1], summary[2]);
    }

    /// <summary>Saves a finished block, unless it is saved.</summary>
    public void Write(BlockTuning tuning)
    {
        string folder = FolderOf(tuning.Layer);
        if (tuning.Weights.Count == 0 || (Directory.Exists(folder) && CheckpointFiles.Choose(folder) is not null)) return;
        using var writer = CheckpointWriter.Create(folder,
        [
            .. tuning.Weights.SelectMany(pair => Declare(pair.Key, pair.Value)), new TensorDeclaration(Losses, TensorType.F64, [tuning.Losses.Count]),
            new TensorDeclaration(Summary, TensorType.F64, [3]), new TensorDeclaration(Run, TensorType.U8, [_digest.Length]),
        ]);
        foreach (var (module, weight) in tuning.Weights)
        {
            writer.Write($"{module.HuggingFaceName}.weight", weight.Codes);
            writer.Write($"{module.HuggingFaceName}.scale", MemoryMarshal.AsBytes(weight.Scales.AsSpan()));
        }
        double[] summary = [tuning.BestIteration, tuning.RoundedLoss, tuning.TunedLoss];
        writer.Write(Losses, MemoryMarshal.AsBytes(tuning.Losses.ToArray().AsSpan()));
        writer.Write(Summary, MemoryMarshal.AsBytes(summary.AsSpan()));
        writer.Write(Run, _digest);
        writer.Complete();
    }

    private string FolderOf(int layer) => Path.Combine(_folder, FormattableString.Invariant($"layers.{layer}"));

    private static IEnumerable<TensorDeclaration> Declare(ModuleName module, QuantizedWeight weight) =>
    [
        new TensorDeclaration($"{module.HuggingFaceName}.weight", TensorType.I8, [weight.Rows, weight.Columns]),
        new TensorDeclaration($"{module.HuggingFaceName}.scale", TensorType.F32, [weight.Rows, 1]),
    ];

    private static QuantizedWeight ReadWeight(Checkpoint saved, ModuleName module, Grid grid)
    {
        var tensor = saved[$"{module.HuggingFaceName}.weight"];
        return new QuantizedWeight(tensor.Name, grid, Granularity.PerChannelSymmetric, (int)tensor.Shape[0], (int)tensor.Shape[1],
            Bytes(saved, tensor.Name).ToArray(), MemoryMarshal.Cast<byte, float>(Bytes(saved, $"{module.HuggingFaceName}.scale")).ToArray());
    }

    private static ReadOnlySpan<byte> Bytes(Checkpoint saved, string tensor) => saved.Bytes(saved[tensor], 0, checked((int)saved[tensor].ByteCount));

    private static void Compare(string path, string[] key)
    {
        string[] found = File.ReadAllLines(path);
        if (found.Length != key.Length) throw new TuningException(path, "is not the key of a saved tuning. Give another state folder.");
        string[] different = [.. key.Zip(found).Where(pair => pair.First != pair.Second).Select(pair => pair.First.Split(' ')[0])];
        if (different.Length > 0)
            throw new TuningException(path,
                $"belongs to a run with another {string.Join(" and another ", different)}. Give another state folder, or delete this one to start again.");
    }
}
