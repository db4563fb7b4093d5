namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>Finds the notebooks that a run was asked for.</summary>
/// <remarks>
/// Without any name: the folder "notebooks" of the repository, searched upwards from the current directory. A folder means the notebooks
/// directly in it, so that solutions, which lie in a folder below, are run only when they are named.
/// </remarks>
internal static class NotebookSet
{
    /// <summary>Paths of notebooks, in the order of the request and by name within a folder.</summary>
    /// <exception cref="UsageException">A path does not exist, holds no notebook, or two have the same file name.</exception>
    public static IReadOnlyList<string> Find(IReadOnlyCollection<string> requested, string currentDirectory)
    {
        var roots = requested.Count > 0 ? [.. requested.Select(path => Path.GetFullPath(path, currentDirectory))]
            : new[] { DefaultFolder(currentDirectory) };
        var paths = roots.SelectMany(Expand).Distinct().ToArray();
        var twice = paths.GroupBy(Path.GetFileName).FirstOrDefault(group => group.Count() > 1);
        if (twice is not null)
            throw new UsageException($"Two notebooks are called {twice.Key}: run them one after the other, since both would be written to the same file.");
        return paths;
    }

    /// <summary>The folder above that holds "notebooks", or the current directory.</summary>
    public static string Root(string currentDirectory)
    {
        for (var folder = new DirectoryInfo(currentDirectory); folder is not null; folder = folder.Parent)
            if (HasNotebooks(Path.Combine(folder.FullName, "notebooks"))) return folder.FullName;
        return currentDirectory;
    }

    private static string DefaultFolder(string currentDirectory)
    {
        var folder = Path.Combine(Root(currentDirectory), "notebooks");
        return HasNotebooks(folder) ? folder
            : throw new UsageException("There is no folder \"notebooks\" with notebooks here or above: name a notebook or a folder.");
    }

    private static bool HasNotebooks(string folder) => Directory.Exists(folder) && Directory.EnumerateFiles(folder, "*.ipynb").Any();

    private static string[] Expand(string path)
    {
        if (File.Exists(path)) return [path];
        if (!Directory.Exists(path)) throw new UsageException($"There is no notebook or folder {path}.");
        string[] found = [.. Directory.EnumerateFiles(path, "*.ipynb").Order(StringComparer.Ordinal)];
        return found.Length > 0 ? found : throw new UsageException($"The folder {path} holds no notebook (*.ipynb).");
    }
}
