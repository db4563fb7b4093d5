using System.Text.Json;

namespace NeuronQuant.Checkpoints;

/// <summary>model.safetensors.index.json: which shard holds which tensor.</summary>
/// <remarks>
/// {"metadata": {"total_size": bytes}, "weight_map": {tensor: file}}. Files are relative to the index; a name that leaves its folder by
/// "..", by a root or by a drive is refused, since an index is data from a stranger. A symbolic link within the folder is fine: the hub's cache is
/// made of them. total_size is a courtesy and known to be wrong in published models, so it only yields a note.
/// </remarks>
internal static class CheckpointIndex
{
    private const long LargestIndex = 100_000_000; // Bytes; the limit of a header, which holds more than this file for the same tensors.

    private const string Again = "Download or write the index again.";

    /// <summary>Reads an index into (tensor, shard file name) and the declared size; null when it declares none.</summary>
    public static (List<(string Tensor, string Shard)> Map, double? TotalSize) Read(string path)
    {
        using var document = JsonFile.Read(path, LargestIndex, CheckpointFailure.NotFound, CheckpointFailure.IndexNotJson);
        var root = document.RootElement;
        if (!root.TryGetProperty("weight_map", out var map) || map.ValueKind != JsonValueKind.Object)
            throw Error(path, null, "no object \"weight_map\"", "a map from tensor to file");
        var entries = new List<(string, string)>();
        foreach (var entry in map.EnumerateObject())
        {
            if (entry.Value.ValueKind != JsonValueKind.String) throw Error(path, entry.Name, $"JSON {entry.Value.ValueKind}", "a file name");
            entries.Add((entry.Name, CheckShard(path, entry.Name, entry.Value.GetString()!)));
        }
        if (entries.Count == 0) throw Error(path, null, "an empty \"weight_map\"", "at least one tensor");
        return (entries, TotalSize(root));
    }

    private static string CheckShard(string path, string tensor, string shard)
    {
        bool inside = shard.Length > 0 && !Path.IsPathRooted(shard) && shard.IndexOfAny(['\\', ':', '\0']) < 0
            && shard.Split('/').All(part => part is not ("" or "." or ".."));
        if (inside) return shard;
        throw new CheckpointException(CheckpointFailure.IndexPathOutside, path, tensor, $"the file {CheckpointException.Quote(shard)}",
            "a plain name within the index's folder", "Do not trust this checkpoint; move its shards beside the index and name them plainly.");
    }

    private static double? TotalSize(JsonElement root) =>
        root.TryGetProperty("metadata", out var metadata) && metadata.ValueKind == JsonValueKind.Object
        && metadata.TryGetProperty("total_size", out var size) && size.ValueKind == JsonValueKind.Number && size.TryGetDouble(out double bytes)
            ? bytes : null;

    private static CheckpointException Error(string path, string? tensor, string found, string expected) =>
        new(CheckpointFailure.IndexWrongStructure, path, tensor, found, expected, Again);
}
