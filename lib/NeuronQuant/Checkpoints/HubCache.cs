namespace NeuronQuant.Checkpoints;

/// <summary>Models by their hub name: hf:ORG/NAME or hf:ORG/NAME@REVISION is the folder of the local hub cache, never a download.</summary>
/// <remarks>
/// The cache is HF_HUB_CACHE, else HF_HOME/hub, else huggingface/hub in XDG_CACHE_HOME or ~/.cache. In it models--ORG--NAME has refs/REVISION, a
/// file with a commit, and snapshots/COMMIT, a folder of links. The revision is main unless given: a branch, a tag or a whole commit.
/// Source: huggingface_hub 0.36, constants.py and file_download.py (repo_folder_name, try_to_load_from_cache).
/// </remarks>
public static class HubCache
{
    private const string Prefix = "hf:", Main = "main";

    /// <summary>The folder of a hub name; any other path as it is.</summary>
    /// <exception cref="CheckpointException">it is no hub name, or the cache does not hold it; the message has the command that fetches it</exception>
    public static string Resolve(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        if (!path.StartsWith(Prefix, StringComparison.Ordinal)) return path;
        var (name, revision) = Split(path);
        string repository = Path.Combine(Folder, $"models--{name.Replace("/", "--", StringComparison.Ordinal)}");
        string reference = Path.Combine(repository, "refs", revision);
        string commit = File.Exists(reference) ? ReadCommit(reference) : revision;
        string snapshot = Path.Combine(repository, "snapshots", commit);
        if (IsName(commit) && !commit.Contains('/', StringComparison.Ordinal) && Directory.Exists(snapshot)) return snapshot;
        throw new CheckpointException(CheckpointFailure.NotInHubCache, path, null,
            Directory.Exists(repository) ? $"no revision {revision} in {repository}" : $"no {repository}",
            "the model in the local hub cache (nothing is downloaded from here)", $"Fetch it with: {DownloadCommand(name, revision)}");
    }

    /// <summary>The command that fetches a snapshot's missing files; null for a folder that is no snapshot of the hub's cache.</summary>
    public static string? DownloadCommand(string folder)
    {
        ArgumentNullException.ThrowIfNull(folder);
        string[] parts = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)).Split(Path.DirectorySeparatorChar);
        int at = Array.FindLastIndex(parts, part => part.StartsWith("models--", StringComparison.Ordinal));
        if (at < 0 || at + 2 >= parts.Length || parts[at + 1] != "snapshots") return null;
        return DownloadCommand(parts[at]["models--".Length..].Replace("--", "/", StringComparison.Ordinal), parts[at + 2]);
    }

    private static string Folder => Variable("HF_HUB_CACHE") ?? Variable("HUGGINGFACE_HUB_CACHE") ?? Path.Combine(Home, "hub");

    private static string Home => Variable("HF_HOME") ?? Path.Combine(Variable("XDG_CACHE_HOME") ?? Path.Combine(User, ".cache"), "huggingface");

    private static string User => Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);

    private static string? Variable(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? Expand(value) : null;

    private static string Expand(string path) => path == "~" || path.StartsWith("~/", StringComparison.Ordinal)
        ? User + path[1..] : path;

    private static (string Name, string Revision) Split(string path)
    {
        string[] parts = path[Prefix.Length..].Split('@', 2);
        string revision = parts.Length == 2 ? parts[1] : Main;
        if (IsName(parts[0]) && parts[0].Count(c => c == '/') <= 1 && IsName(revision)) return (parts[0], revision);
        throw new CheckpointException(CheckpointFailure.NotInHubCache, path, null, "no name of a model on the hub",
            "hf:ORG/NAME or hf:ORG/NAME@REVISION", "Correct the name, or give a folder.");
    }

    private static string ReadCommit(string reference)
    {
        try
        {
            return File.ReadAllText(reference).Trim();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException(CheckpointFailure.ReadFailed, reference, null, error.Message, "a readable file",
                "Check the permissions.", error);
        }
    }

    // Letters, digits and -_. between single slashes: what a repository or a revision can be called, and no way out of the cache.
    private static bool IsName(string text) => text.Length > 0 && text.Split('/').All(part => part.Length > 0 && part.Trim('.').Length > 0
        && part.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.'));

    private static string DownloadCommand(string name, string revision) => $"hf download {name}{(revision == Main ? "" : $" --revision {revision}")}";
}
