using NeuronQuant.Display;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>What a run was asked for.</summary>
/// <param name="Paths">Notebooks, in order.</param>
/// <param name="Values">Parameters by name.</param>
/// <param name="Output">Folder of the executed notebooks and of the book.</param>
/// <param name="Timeout">For each cell.</param>
/// <param name="InPlace">Whether the outputs are also written into the notebooks themselves.</param>
internal sealed record BookRequest(IReadOnlyList<string> Paths, IReadOnlyDictionary<string, string> Values, string Output, TimeSpan? Timeout,
    bool InPlace);

/// <summary>Runs notebooks one after the other and makes a book of them.</summary>
/// <remarks>
/// Each executed notebook is written when it ends, also one that failed, whose outputs then show where. The book is written when all have
/// passed, so that it never has a chapter missing.
/// </remarks>
internal static class BookRun
{
    /// <summary>Runs until the end or the first failure, which is returned.</summary>
    /// <param name="request">What to run.</param>
    /// <param name="starting">Told before each notebook.</param>
    /// <param name="finished">Told after each notebook.</param>
    /// <param name="progress">Told how far long calls in a cell are.</param>
    /// <param name="cancellation">Ends the running cell.</param>
    public static async Task<CellFailure?> RunAsync(BookRequest request, Action<Notebook> starting, Action<NotebookResult> finished,
        Action<ProgressReport>? progress, CancellationToken cancellation)
    {
        var notebooks = request.Paths.Select(path => (path, notebook: Notebook.Load(path))).ToArray();
        Parameters.Check([.. notebooks.Select(pair => pair.notebook)], request.Values);
        if (request.InPlace && request.Values.Count > 0)
            throw new UsageException("--in-place keeps a notebook's own parameters: leave out -p, or leave out --in-place.");
        Directory.CreateDirectory(request.Output);
        var chapters = new List<Notebook>();
        foreach (var (path, notebook) in notebooks)
        {
            cancellation.ThrowIfCancellationRequested();
            starting(notebook);
            var result = await NotebookProcess.RunAsync(path, notebook, request.Values, request.Timeout, progress, cancellation);
            result.Executed.Save(Path.Combine(request.Output, notebook.Name));
            finished(result);
            if (result.Failure is not null) return result.Failure;
            if (request.InPlace) result.Executed.Save(path);
            chapters.Add(result.Executed);
        }
        Book.Write(chapters, [.. request.Paths.Select(path => Path.GetDirectoryName(Path.GetFullPath(path))!)], request.Output);
        return null;
    }
}
