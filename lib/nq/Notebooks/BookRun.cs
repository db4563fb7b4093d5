using System.Diagnostics;
using NeuronQuant.Display;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>What a run was asked for.</summary>
/// <param name="Paths">Notebooks, in order.</param>
/// <param name="Values">Parameters by name.</param>
/// <param name="Output">Folder of the executed notebooks and of the book.</param>
/// <param name="Timeout">For each cell.</param>
/// <param name="InPlace">Whether the outputs are also written into the notebooks themselves.</param>
/// <param name="AtOnce">Notebooks that run at the same time, each in its own process.</param>
internal sealed record BookRequest(IReadOnlyList<string> Paths, IReadOnlyDictionary<string, string> Values, string Output, TimeSpan? Timeout,
    bool InPlace, int AtOnce);

/// <summary>Runs notebooks and makes a book of them.</summary>
/// <remarks>
/// However many run at once, they are written and told of in their order, and the first failure ends the others: what is on the disk is the same. Each
/// executed notebook is written, also one that failed, whose outputs then show where. The book is written when all have passed, so that it
/// never has a chapter missing.
/// </remarks>
internal static class BookRun
{
    /// <summary>Runs until the end or the first failure, which is returned.</summary>
    /// <param name="request">What to run.</param>
    /// <param name="waiting">Told each notebook when its end is waited for.</param>
    /// <param name="finished">Told after each notebook, with the time that it took.</param>
    /// <param name="progress">Told how far long calls in a cell of the notebook are that is waited for.</param>
    /// <param name="cancellation">Ends the running cells.</param>
    public static async Task<CellFailure?> RunAsync(BookRequest request, Action<Notebook> waiting, Action<NotebookResult, TimeSpan> finished,
        Action<ProgressReport>? progress, CancellationToken cancellation)
    {
        var notebooks = request.Paths.Select(path => (path, notebook: Notebook.Load(path))).ToArray();
        Parameters.Check([.. notebooks.Select(pair => pair.notebook)], request.Values);
        if (request.InPlace && request.Values.Count > 0)
            throw new UsageException("--in-place keeps a notebook's own parameters: leave out -p, or leave out --in-place.");
        Directory.CreateDirectory(request.Output);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        using var room = new SemaphoreSlim(request.AtOnce);
        int shown = 0;
        async Task<(NotebookResult, TimeSpan)> Run(string path, Notebook notebook, int number)
        {
            await room.WaitAsync(stop.Token);
            try
            {
                long start = Stopwatch.GetTimestamp();
                void Show(ProgressReport report)
                {
                    if (number == Volatile.Read(ref shown)) progress?.Invoke(report);
                }
                var result = await NotebookProcess.RunAsync(path, notebook, request.Values, request.Timeout, Show, stop.Token);
                return (result, Stopwatch.GetElapsedTime(start));
            }
            finally
            {
                room.Release();
            }
        }
        var runs = notebooks.Select((pair, i) => Run(pair.path, pair.notebook, i)).ToArray();
        try
        {
            var chapters = new List<Notebook>();
            foreach (var ((path, notebook), run) in notebooks.Zip(runs))
            {
                waiting(notebook);
                var (result, time) = await run;
                result.Executed.Save(Path.Combine(request.Output, notebook.Name));
                finished(result, time);
                if (result.Failure is not null) return result.Failure;
                if (request.InPlace) result.Executed.Save(path);
                chapters.Add(result.Executed);
                Interlocked.Increment(ref shown);
            }
            Book.Write(chapters, [.. request.Paths.Select(path => Path.GetDirectoryName(Path.GetFullPath(path))!)], request.Output);
            return null;
        }
        finally
        {
            await stop.CancelAsync();
            await Task.WhenAll(runs).ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        }
    }
}
