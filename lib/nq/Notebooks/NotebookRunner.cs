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
internal static class NotebookRunner
{
    /// <summary>Runs a copy of the notebook.</summary>
    /// <param name="notebook">Left as it is.</param>
    /// <param name="folder">Its folder, the current directory of its cells.</param>
    /// <param name="parameters">Values by name; those it does not declare are ignored.</param>
    /// <param name="timeout">For each cell.</param>
    /// <param name="cancellation">Ends the running cell.</param>
    public static async Task<NotebookResult> RunAsync(Notebook notebook, string folder, IReadOnlyDictionary<string, string> parameters,
        TimeSpan? timeout, CancellationToken cancellation)
    {
        var executed = notebook.Clone();
        Parameters.Inject(executed, parameters);
        if (executed.Cells.FirstOrDefault(cell => cell.Type == "raw") is { } raw)
            throw new NotebookException($"{notebook.Name}, cell id {raw.Id}: "
                + "raw cells are run as code by some hosts and not by others: make it markdown or code.");
        foreach (var cell in executed.Cells.Where(cell => cell.IsCode)) cell.SetOutputs(null, []);
        var session = new Session(folder);
        for (var i = 0; i < executed.Cells.Count; i++)
        {
            var cell = executed.Cells[i];
            if (!cell.IsCode || cell.Source.Trim().Length == 0) continue;
            var result = await session.RunAsync(cell.Source, timeout, cancellation);
            cell.SetOutputs(session.Count, result.Outputs);
            if (result.Error is { } error) return new NotebookResult(executed, session.Count, new CellFailure(notebook.Name, i + 1, cell.Id, error));
        }
        return new NotebookResult(executed, session.Count, null);
    }
}
