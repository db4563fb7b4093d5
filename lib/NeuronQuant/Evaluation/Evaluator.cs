using NeuronQuant.Display;

namespace NeuronQuant.Evaluation;

/// <summary>How an evaluation is run; nothing here changes a score.</summary>
/// <param name="Limit">only the first so many questions; all when null</param>
/// <param name="BatchSize">questions asked at once; as the model prefers when null</param>
/// <param name="SamplesFile">where every answer is recorded, and from which an interrupted evaluation goes on; none when null</param>
/// <param name="Progress">told how far it is; none when null</param>
public sealed record EvaluationOptions(int? Limit = null, int? BatchSize = null, string? SamplesFile = null, Action<ProgressReport>? Progress = null);

/// <summary>Asks a model a task's questions, batch by batch.</summary>
/// <remarks>
/// Answers already in the samples file are not asked for again. A limit takes the first questions of the file and is no part of the
/// record's identity: a trial of 50 questions can be continued to all of them.
/// </remarks>
public static class Evaluator
{
    /// <summary>Runs a task to its end, or goes on with one that was interrupted.</summary>
    /// <param name="task">the task</param>
    /// <param name="model">the model</param>
    /// <param name="options">how to run it</param>
    /// <param name="cancellation">stops after the batches that are done, which stay in the samples file</param>
    /// <exception cref="EvaluationException">The samples file is of something else or damaged, or the model failed.</exception>
    /// <exception cref="OperationCanceledException">Cancellation was asked for.</exception>
    public static async Task<EvaluationResult> Run(EvaluationTask task, ILanguageModel model, EvaluationOptions? options = null,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(task);
        ArgumentNullException.ThrowIfNull(model);
        options ??= new EvaluationOptions();
        int count = Math.Min(options.Limit ?? int.MaxValue, task.Items.Count);
        int batch = Math.Max(1, options.BatchSize ?? model.PreferredBatch);
        var header = new SamplesHeader(task.Name, model.Name, task.Settings, task.Items.Count, task.DataHash);
        var (file, known) = options.SamplesFile is { } path ? SamplesFile.Open(path, header) : (null, []);
        using (file)
        {
            var samples = known.Where(sample => sample.Index < count).ToDictionary(sample => sample.Index);
            var progress = new Progress(count, options.Progress, cancellation);
            progress.Report(samples.Count, task.Name);
            foreach (int[] indices in Enumerable.Range(0, count).Where(index => !samples.ContainsKey(index)).Chunk(batch))
            {
                var answers = await task.Ask(model, [.. indices.Select(index => (index, task.Items[index]))], cancellation).ConfigureAwait(false);
                file?.Append(answers);
                foreach (var answer in answers) samples.Add(answer.Index, answer);
                progress.Report(samples.Count, task.Name);
            }
            return new EvaluationResult(task.Name, model.Name, task.Settings, task.Metrics,
                [.. Enumerable.Range(0, count).Select(index => samples[index])], [.. task.Items.Take(count).Select(item => item.Group)]);
        }
    }
}
