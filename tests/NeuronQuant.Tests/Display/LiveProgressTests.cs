using Microsoft.DotNet.Interactive;
using Microsoft.DotNet.Interactive.Commands;
using Microsoft.DotNet.Interactive.Events;
using NeuronQuant.Display;
using Xunit;

namespace NeuronQuant.Tests.Display;

/// <summary>Progress and cancellation in a real kernel of .NET Interactive, whose cells are functions of the test.</summary>
[Collection("notebooks")] // Whether a headless engine runs is known to the whole process.
public sealed class LiveProgressTests : IDisposable
{
    private readonly Cells _cells = new();
    private readonly CompositeKernel _kernel;
    private readonly List<KernelEvent> _events = [];
    private readonly IDisposable _subscription;

    public LiveProgressTests()
    {
        _kernel = new CompositeKernel { _cells };
        _subscription = _kernel.KernelEvents.Subscribe(new Listener(_events));
    }

    public void Dispose()
    {
        _subscription.Dispose();
        _kernel.Dispose();
    }

    [Fact]
    public async Task A_progress_is_shown_once_and_updated_in_place()
    {
        await Run(() =>
        {
            var progress = Workbook.Progress(3);
            for (int i = 0; i < 3; i++, Thread.Sleep(510)) progress.Report(i + 1, "layers.<0>"); // half a second between two reports
        });
        var (first, updates) = Outputs();
        Assert.NotEmpty(updates);
        Assert.All(updates, update => Assert.Equal(first.ValueId, update.ValueId));
        string last = updates[^1].FormattedValues.Single().Value;
        Assert.Equal("3/3", last); // it stays in the notebook, so it holds no time
        Assert.All(_events.OfType<DisplayEvent>(), shown => Assert.Equal("text/html", shown.FormattedValues.Single().MimeType));
    }

    [Fact]
    public async Task Reports_of_other_threads_reach_the_cell_that_began()
    {
        await Run(() =>
        {
            var sink = LiveProgress.Open()!;
            Thread[] threads = [.. Enumerable.Range(1, 4).Select(i => new Thread(() => sink(new ProgressReport(i, 9, $"<{i}>", TimeSpan.Zero, null))))];
            foreach (var thread in threads) thread.UnsafeStart(); // without the cell's flow of execution
            foreach (var thread in threads) thread.Join();
        });
        var (first, updates) = Outputs();
        Assert.Equal(3, updates.Length);
        Assert.All(updates, update => Assert.Equal(first.ValueId, update.ValueId));
        Assert.Contains("value=\"", first.FormattedValues.Single().Value, StringComparison.Ordinal);
        Assert.DoesNotContain("<1>", string.Concat(_events.OfType<DisplayEvent>().Select(shown => shown.FormattedValues.Single().Value)), StringComparison.Ordinal);
    }

    [Fact]
    public void Outside_of_a_cell_there_is_no_display() => Assert.Null(LiveProgress.Open());

    private (DisplayedValueProduced First, DisplayedValueUpdated[] Updates) Outputs()
    {
        Assert.Empty(_events.OfType<CommandFailed>().Select(failed => failed.Message));
        return (Assert.Single(_events.OfType<DisplayedValueProduced>()), [.. _events.OfType<DisplayedValueUpdated>()]);
    }

    private Task Run(Action cell)
    {
        _cells.Next = cell;
        return Task.Run(() => _kernel.SendAsync(new SubmitCode("cell")));
    }

    private sealed class Cells() : Kernel("cells"), IKernelCommandHandler<SubmitCode>
    {
        public Action? Next { get; set; }

        Task IKernelCommandHandler<SubmitCode>.HandleAsync(SubmitCode command, KernelInvocationContext context)
        {
            Next!();
            return Task.CompletedTask;
        }
    }

    private sealed class Listener(List<KernelEvent> events) : IObserver<KernelEvent>
    {
        public void OnCompleted()
        {
        }

        public void OnError(Exception error) => throw error;

        public void OnNext(KernelEvent value)
        {
            lock (events) events.Add(value);
        }
    }
}
