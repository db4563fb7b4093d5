namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>Where and why a notebook stopped.</summary>
/// <param name="Notebook">File name.</param>
/// <param name="Number">The cell's number among all cells, from 1.</param>
/// <param name="Id">The cell's identifier.</param>
/// <param name="Error">What went wrong.</param>
internal sealed record CellFailure(string Notebook, int Number, string Id, CellError Error)
{
    /// <summary>"03-x.ipynb, cell 5 (id a1), line 2: DivideByZeroException: Attempted to divide by zero."</summary>
    public override string ToString()
    {
        var line = Error.Line > 0 ? $", line {Error.Line}" : "";
        return $"{Notebook}, cell {Number} (id {Id}){line}: {Error.Name}: {Error.Message}";
    }
}

/// <summary>A notebook after its run.</summary>
/// <param name="Executed">A copy with outputs; cells after a failure have none.</param>
/// <param name="CellsRun">How many code cells ran.</param>
/// <param name="Failure">Where it stopped; null when it did not.</param>
internal sealed record NotebookResult(Notebook Executed, int CellsRun, CellFailure? Failure);

/// <summary>Runs all code cells of one notebook, in order, in a session of their own, and stops at the first that fails.</summary>
/// <remarks>Tags mean what they mean to nbclient: a cell tagged skip-execution is not run, and one tagged raises-exception may fail.</remarks>
internal static class NotebookRunner
{
    /// <summary>A copy of a notebook that is ready to run: parameters set, outputs empty.</summary>
    /// <param name="notebook">left as it is</param>
    /// <param name="parameters">values by name; those it does not declare are ignored</param>
    /// <exception cref="NotebookException">it has a raw cell</exception>
    public static Notebook Prepare(Notebook notebook, IReadOnlyDictionary<string, string> parameters)
    {
        var executed = notebook.Clone();
        Parameters.Inject(executed, parameters);
        if (executed.Cells.FirstOrDefault(cell => cell.Type == "raw") is { } raw)
            throw new NotebookException($"{notebook.Name}, cell id {raw.Id}: raw cells are run as code by some hosts and not by others: make it markdown or code.");
        foreach (var cell in executed.Cells.Where(cell => cell.IsCode)) cell.SetOutputs(null, []);
        return executed;
    }

    /// <summary>Runs the cells of a prepared notebook.</summary>
    /// <param name="prepared">its outputs are set</param>
    /// <param name="folder">the current directory of its cells</param>
    /// <param name="timeout">for each cell</param>
    /// <param name="starting">told the index of each cell before it runs; null for nobody</param>
    /// <param name="ended">told the index of each cell that ended; null for nobody</param>
    /// <param name="cancellation">ends the running cell</param>
    public static async Task<NotebookResult> RunAsync(
        Notebook prepared, string folder, TimeSpan? timeout, Action<int>? starting = null, Action<int>? ended = null, CancellationToken cancellation = default)
    {
        using var session = await Session.StartAsync(folder);
        for (var i = 0; i < prepared.Cells.Count; i++)
        {
            var cell = prepared.Cells[i];
            if (!cell.IsCode || cell.Source.Trim().Length == 0 || cell.Tags.Contains("skip-execution")) continue;
            starting?.Invoke(i);
            var result = await session.RunAsync(cell.Source, timeout, cancellation);
            cell.SetOutputs(session.Count, result.Outputs);
            ended?.Invoke(i);
            bool mayFail = cell.Tags.Contains("raises-exception") && !result.LeftBehind && !cancellation.IsCancellationRequested;
            if (result.Error is { } error && !mayFail) return new NotebookResult(prepared, session.Count, new CellFailure(prepared.Name, i + 1, cell.Id, error));
        }
        return new NotebookResult(prepared, session.Count, null);
    }
}
