using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;

namespace NeuronQuant.Neuron;

/// <summary>The files that a Hugging Face folder needs beside its weights, copied from the source.</summary>
/// <remarks>
/// A source that was read from codes and scales says in its config.json how to undo them. The written weights are plain bf16, so that field
/// is left out: a loader that believed it would look for scales, or multiply by some.
/// </remarks>
internal static class CompanionFiles
{
    private static readonly string[] Names =
        ["generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "chat_template.jinja"];

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <param name="source">the model</param>
    /// <param name="folder">the target</param>
    /// <param name="quantization">what config.json shall say of the written codes; null for plain weights</param>
    /// <param name="untie">whether the folder has an lm_head of its own, though the source's is the embedding</param>
    public static void Copy(Checkpoint source, string folder, JsonObject? quantization = null, bool untie = false)
    {
        string from = Path.GetDirectoryName(source.ConfigPath)!;
        foreach (string file in Names.Where(file => File.Exists(Path.Combine(from, file))))
            File.Copy(Path.Combine(from, file), Path.Combine(folder, file), overwrite: true);
        if (!source.HasConfig) return;
        string target = Path.Combine(folder, Path.GetFileName(source.ConfigPath));
        var config = JsonNode.Parse(File.ReadAllText(source.ConfigPath))!.AsObject();
        bool changed = config.Remove("quantization_config") | config.Remove("compression_config");
        if (quantization is not null) config["quantization_config"] = quantization;
        if (untie) config["tie_word_embeddings"] = false; // Loaders would put the embedding in place of the head.
        if (changed || untie || quantization is not null)
            File.WriteAllText(target, config.ToJsonString(Indented) + "\n");
        else File.Copy(source.ConfigPath, target, overwrite: true);
    }
}
