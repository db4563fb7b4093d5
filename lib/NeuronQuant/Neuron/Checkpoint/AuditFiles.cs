namespace NeuronQuant.Neuron;

/// <summary>
/// Files that the loader would take before, or instead of, those that were written. NxDI looks for model.safetensors, then
/// diffusion_pytorch_model.safetensors, then model.safetensors.index.json (modules/checkpoint.py:24-70 at SDK 2.28), and
/// never says which it took.
/// </summary>
internal static class AuditFiles
{
    private const string Single = "model.safetensors", Diffusers = "diffusion_pytorch_model.safetensors", Index = "model.safetensors.index.json";

    public static IEnumerable<AuditFinding> Stale(string path)
    {
        if (!Directory.Exists(path)) yield break;
        string[] present = [.. new[] { Single, Diffusers, Index }.Where(file => File.Exists(Path.Combine(path, file)))];
        for (int i = 1; i < present.Length; i++)
            yield return new AuditFinding(AuditDefect.StaleFile, present[0],
                $"NxDI loads it and ignores {present[i]}. One of the two is of another write: delete it, or write into an empty folder.");
    }
}
