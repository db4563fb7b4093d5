using NeuronQuant.Display;
using Xunit;

namespace NeuronQuant.Tests.Display;

/// <summary>Progress by a clock that the test moves: reports are throttled, the last always comes, and cancellation always stops.</summary>
public class ProgressTests
{
    [Fact]
    public void ReportsAtMostOnceAnIntervalAndAlwaysTheLast()
    {
        var (clock, reports) = (new Clock(), new List<ProgressReport>());
        var progress = new Progress(10, reports.Add, clock: clock, interval: TimeSpan.FromSeconds(1));
        for (var i = 0; i < 10; i++)
        {
            clock.Seconds += 0.4;
            progress.Advance(detail: $"layers.{i}");
        }
        Assert.Equal([3, 6, 9, 10], reports.Select(report => report.Done));
        Assert.Equal("layers.9", reports[^1].Detail);
    }

    [Fact]
    public void RemainingTimeFollowsThePace()
    {
        var (clock, reports) = (new Clock(), new List<ProgressReport>());
        var progress = new Progress(4, reports.Add, clock: clock, interval: TimeSpan.Zero);
        clock.Seconds = 30;
        progress.Report(1, "layers.0.mlp");
        Assert.Equal(TimeSpan.FromSeconds(90), reports[0].Remaining);
        Assert.Equal("1/4 (25 %), 1m 30s left: layers.0.mlp", reports[0].ToString());
        progress.Report(4);
        Assert.Equal("4/4 (100 %)", reports[1].ToString());
    }

    [Fact]
    public void CancellationThrowsEvenWithoutASink()
    {
        using var source = new CancellationTokenSource();
        var progress = new Progress(10, cancellation: source.Token);
        progress.Advance();
        source.Cancel();
        Assert.Throws<OperationCanceledException>(() => progress.Advance());
    }

    [Fact]
    public void AdvancesFromSeveralThreadsAddUp()
    {
        var (last, gate) = (0L, new Lock());
        var progress = new Progress(10_000, report => { lock (gate) last = Math.Max(last, report.Done); });
        Parallel.For(0, 10_000, _ => progress.Advance());
        Assert.Equal(10_000, progress.Done);
        Assert.Equal(10_000, last);
    }

    private sealed class Clock : TimeProvider
    {
        public double Seconds { get; set; }

        public override long TimestampFrequency => 1_000_000;

        public override long GetTimestamp() => (long)Math.Round(Seconds * TimestampFrequency);
    }
}
