using System.CommandLine;
using System.IO.Pipes;
using System.Runtime.InteropServices;
using NeuronQuant.CommandLine.Notebooks;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>The process that runs one notebook for <c>nq run</c>; not for a person.</summary>
internal static class RunOneCommand
{
    public static Command Create()
    {
        var handle = new Argument<string>("handle");
        var command = new Command(NotebookProcess.CommandName) { handle };
        command.Hidden = true;
        command.SetAction((parsed, _) => RunAsync(parsed.GetRequiredValue(handle)));
        return command;
    }

    private static async Task<int> RunAsync(string handle)
    {
        // Ctrl+C reaches every process of the terminal; here the parent decides.
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, context => context.Cancel = true);
        using var pipe = new AnonymousPipeClientStream(PipeDirection.Out, handle);
        using var writer = new StreamWriter(pipe) { AutoFlush = true };
        var gate = new Lock();
        void Tell(NotebookMessage message)
        {
            lock (gate) writer.WriteLine(message.ToLine());
        }
        var input = Console.In;
        var request = NotebookRequest.Parse((await input.ReadLineAsync())!);
        Console.SetIn(TextReader.Null); // A cell that asks for a line gets none.
        using var stop = new CancellationTokenSource();
        _ = Task.Run(async () =>
        {
            await input.ReadLineAsync();
            await stop.CancelAsync();
        });
        Workbook.ProgressSink = report => Tell(new NotebookMessage(Progress: report));
        var prepared = NotebookRunner.Prepare(Notebook.Load(request.Path), request.Values);
        TimeSpan? timeout = request.Seconds is { } seconds ? TimeSpan.FromSeconds(seconds) : null;
        var result = await NotebookRunner.RunAsync(prepared, Path.GetDirectoryName(request.Path)!, timeout, i => Tell(new NotebookMessage(Starting: i)), i => Tell(Ended(prepared, i)), stop.Token);
        Tell(new NotebookMessage(Failure: result.Failure, Done: true));
        // A cell that was left behind must not keep the process.
        Environment.Exit(0);
        return 0;
    }

    private static NotebookMessage Ended(Notebook notebook, int index)
    {
        var cell = notebook.Cells[index];
        return new NotebookMessage(Ended: index, Count: (int?)cell.Json["execution_count"], Outputs: (System.Text.Json.Nodes.JsonArray)cell.Outputs.DeepClone());
    }
}
