using System.Collections.Immutable;

namespace NeuronQuant.Checkpoints;

/// <summary>Owns the hidden folder of a write and turns its files into the checkpoint by renaming, never leaving half of one.</summary>
/// <remarks>
/// One rename or one deletion decides which checkpoint a reader sees:
///   a single file: its rename, since it wins over any index; old index and shards go afterwards;
///   shards, where an old single file is: its deletion, when shards and index are in place;
///   shards otherwise: the rename of the index. An old index is deleted before its shards are replaced, so a process killed in between
///   leaves no checkpoint at all, which says so when opened, instead of a mixture of two.
/// A lock file in the folder, held open, tells a writer at work from the rest of a killed one. Renames stay within one file system.
/// </remarks>
internal sealed class CheckpointPublisher : IDisposable
{
    private const string LockName = "lock";

    private readonly string _folder;
    private readonly string _partial;
    private readonly FileStream _lock;
    private readonly bool _madeFolder;
    private bool _published;

    private CheckpointPublisher(string folder, string partial, FileStream @lock, bool madeFolder) =>
        (_folder, _partial, _lock, _madeFolder) = (folder, partial, @lock, madeFolder);

    /// <summary>Claims the target folder and clears what a killed writer left.</summary>
    public static CheckpointPublisher Begin(string folder, bool overwrite)
    {
        try
        {
            bool exists = Directory.Exists(folder);
            if (exists && !overwrite) RefuseExisting(folder);
            string partial = Path.Combine(folder, CheckpointFiles.Partial);
            Directory.CreateDirectory(partial);
            var claim = Claim(folder, partial);
            foreach (string left in Directory.EnumerateFiles(partial).Where(path => Path.GetFileName(path) != LockName)) File.Delete(left);
            return new CheckpointPublisher(folder, partial, claim, !exists);
        }
        catch (Exception error) when (IsSystemError(error))
        {
            throw WriteError(folder, error);
        }
    }

    /// <summary>Where a file lies until it is published.</summary>
    public string PartialPath(string fileName) => Path.Combine(_partial, fileName);

    /// <summary>Makes the closed files of the hidden folder the folder's checkpoint.</summary>
    public void Publish(ImmutableArray<Shard> shards)
    {
        try
        {
            if (shards is [var only]) PublishSingle(only.FileName);
            else PublishShards(shards);
            _published = true;
        }
        catch (Exception error) when (IsSystemError(error))
        {
            throw WriteError(_folder, error);
        }
    }

    /// <summary>Deletes the hidden folder, and the target when this write made it and put nothing in.</summary>
    public void Dispose()
    {
        try
        {
            foreach (string path in Directory.EnumerateFiles(_partial).Where(path => Path.GetFileName(path) != LockName)) File.Delete(path);
            File.Delete(Path.Combine(_partial, LockName));
            _lock.Dispose();
            Directory.Delete(_partial);
            if (_madeFolder && !_published) Directory.Delete(_folder);
        }
        catch (Exception error) when (IsSystemError(error))
        {
            // Deleting is a courtesy: no reader looks into the folder, and the next writer clears it.
            _lock.Dispose();
        }
    }

    /// <summary>True for what the operating system may answer; false for our own exceptions, which pass.</summary>
    public static bool IsSystemError(Exception error) =>
        error is not CheckpointException && error is IOException or UnauthorizedAccessException;

    /// <summary>An operating system's refusal, with the file.</summary>
    public static CheckpointException WriteError(string file, Exception error) => new(CheckpointFailure.WriteFailed, file, null, error.Message,
        "to write there", "Free space on the disk, check the permissions, or choose another folder.", error);

    private void PublishSingle(string name)
    {
        Move(name);
        File.Delete(Path.Combine(_folder, CheckpointFiles.Index));
        foreach (string stale in CheckpointFiles.Shards(_folder).ToList()) File.Delete(stale);
    }

    private void PublishShards(ImmutableArray<Shard> shards)
    {
        using (var index = new FileStream(PartialPath(CheckpointFiles.Index), FileMode.Create))
        {
            index.Write(ShardPlan.Index(shards));
            index.Flush(flushToDisk: true);
        }
        File.Delete(Path.Combine(_folder, CheckpointFiles.Index));
        foreach (var shard in shards) Move(shard.FileName);
        Move(CheckpointFiles.Index);
        var names = shards.Select(shard => shard.FileName).ToHashSet();
        foreach (string stale in CheckpointFiles.Shards(_folder).Where(path => !names.Contains(Path.GetFileName(path))).ToList()) File.Delete(stale);
        File.Delete(Path.Combine(_folder, CheckpointFiles.Single));
    }

    private void Move(string name) => File.Move(PartialPath(name), Path.Combine(_folder, name), overwrite: true);

    private static void RefuseExisting(string folder)
    {
        // Shards without an index count too: they may be a download under way.
        if ((CheckpointFiles.Choose(folder) ?? CheckpointFiles.Shards(folder).FirstOrDefault()) is string existing)
            throw new CheckpointException(CheckpointFailure.TargetExists, existing, null, "a checkpoint in the target folder", "none",
                "Choose another folder, or allow overwriting.");
    }

    private static FileStream Claim(string folder, string partial)
    {
        try
        {
            return new FileStream(Path.Combine(partial, LockName), FileMode.OpenOrCreate, FileAccess.Write, FileShare.None);
        }
        catch (IOException error) when (error is not (FileNotFoundException or DirectoryNotFoundException))
        {
            throw new CheckpointException(CheckpointFailure.TargetBusy, folder, null, "another writer at work in this folder", "none",
                "Wait until it has ended, or choose another folder.", error);
        }
    }
}
