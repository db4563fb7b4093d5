namespace NeuronQuant.Checkpoints;

/// <summary>Keeps a writer away from the files that it reads: --overwrite into the source would replace the only copy of the weights.</summary>
/// <remarks>
/// Folders are compared by where they really are, all symbolic links followed, and so are the weights' files, since a folder of links (the hub's
/// cache is one) has its bytes elsewhere. A folder inside the source's is fine: nothing of the source lies there.
/// </remarks>
public static class TargetGuard
{
    private const int MostLinks = 64; // In one path; more is a circle.

    /// <summary>Throws when a target folder is where the source's weights or config are.</summary>
    /// <param name="source">the model that is read</param>
    /// <param name="target">the folder that will be written</param>
    /// <exception cref="CheckpointException">names both</exception>
    public static void Check(Checkpoint source, string target)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentException.ThrowIfNullOrEmpty(target);
        string real = RealPath(target);
        foreach (string file in source.Files.Append(source.Source).Append(source.ConfigPath))
            if (Path.GetDirectoryName(RealPath(file)) == real || RealPath(Path.GetDirectoryName(Path.GetFullPath(file))!) == real)
                throw new CheckpointException(CheckpointFailure.TargetIsSource, target, null, $"the folder of the source's {Path.GetFileName(file)}",
                    "a folder of its own", "Writing there would replace the model that is read: give another folder.");
    }

    /// <summary>True when two paths are one file or folder.</summary>
    public static bool AreSame(string one, string other) => RealPath(one) == RealPath(other);

    /// <summary>A path without symbolic links, dots and a separator at its end; what does not exist yet is taken as it is written.</summary>
    public static string RealPath(string path)
    {
        string full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        for (int links = 0; links < MostLinks; links++)
        {
            if (FirstLink(full) is not var (link, target)) return full;
            string rest = full[link.Length..].TrimStart(Path.DirectorySeparatorChar);
            full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(Path.Combine(Path.GetDirectoryName(link)!, target, rest)));
        }
        throw new CheckpointException(CheckpointFailure.ReadFailed, path, null, "symbolic links in a circle", "a path that ends somewhere",
            "Correct the links.");
    }

    // The first part of a path, from its root, that is a link, and where it leads.
    private static (string Link, string Target)? FirstLink(string full)
    {
        string root = Path.GetPathRoot(full)!;
        for (int end = full.IndexOf(Path.DirectorySeparatorChar, root.Length); ; end = full.IndexOf(Path.DirectorySeparatorChar, end + 1))
        {
            string part = end < 0 ? full : full[..end];
            if (new FileInfo(part).LinkTarget is { } target) return (part, target);
            if (end < 0) return null;
        }
    }
}
