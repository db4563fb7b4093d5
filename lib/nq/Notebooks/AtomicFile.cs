namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>Writes a file so that it is either the old one or the new one, never half of one.</summary>
internal static class AtomicFile
{
    public static void Write(string path, string text)
    {
        var temporary = path + ".partial";
        File.WriteAllText(temporary, text);
        File.Move(temporary, path, overwrite: true);
    }
}
