using System.Globalization;

namespace NeuronQuant.Display;

/// <summary>How far a long calculation is.</summary>
/// <param name="Done">Units finished.</param>
/// <param name="Total">Units in all.</param>
/// <param name="Detail">What is being worked on, such as a module's name.</param>
/// <param name="Elapsed">Time since the start.</param>
/// <param name="Remaining">Time still needed if the pace holds; null before the first unit.</param>
public sealed record ProgressReport(long Done, long Total, string Detail, TimeSpan Elapsed, TimeSpan? Remaining)
{
    /// <summary>"12/48 (25 %), 1m 30s left: layers.3.self_attn".</summary>
    public override string ToString()
    {
        var percent = Total > 0 ? (100.0 * Done / Total).ToString("0", CultureInfo.InvariantCulture) : "100";
        var left = Done >= Total || Remaining is null ? "" : $", {Duration(Remaining.Value)} left";
        return $"{Done}/{Total} ({percent} %){left}{(Detail.Length > 0 ? ": " + Detail : "")}";
    }

    private static string Duration(TimeSpan time) =>
        time.TotalHours >= 1 ? $"{(int)time.TotalHours}h {time.Minutes}m"
        : time.TotalMinutes >= 1 ? $"{time.Minutes}m {time.Seconds}s"
        : $"{Math.Ceiling(time.TotalSeconds).ToString("0", CultureInfo.InvariantCulture)}s";
}

/// <summary>Tells someone how far a long calculation is, and stops it when asked to.</summary>
/// <remarks>
/// <para>A report to the sink is made at most once an interval, and always for the last unit; a call between costs one addition and one
/// reading of the clock, so it may stand in an inner loop. Calls may come from several threads.</para>
/// <para>Progress contains time, so it must never become part of a notebook's output: it goes to a sink beside the notebook, and to none
/// unless one is given. Cancellation is checked on every call, also on those that report nothing.</para>
/// </remarks>
public sealed class Progress
{
    private readonly Action<ProgressReport>? _sink;
    private readonly CancellationToken _cancellation;
    private readonly TimeProvider _clock;
    private readonly long _start;
    private readonly long _interval;
    private long _done;
    private long _next;

    /// <summary>Starts the clock.</summary>
    /// <param name="total">Units in all.</param>
    /// <param name="sink">Receives reports; null for none.</param>
    /// <param name="cancellation">Makes the next report throw.</param>
    /// <param name="clock">For tests; the system's clock when null.</param>
    /// <param name="interval">Least time between two reports; half a second when null.</param>
    public Progress(long total, Action<ProgressReport>? sink = null, CancellationToken cancellation = default, TimeProvider? clock = null,
        TimeSpan? interval = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(total);
        (Total, _sink, _cancellation, _clock) = (total, sink, cancellation, clock ?? TimeProvider.System);
        _start = _clock.GetTimestamp();
        _interval = (long)((interval ?? TimeSpan.FromMilliseconds(500)).TotalSeconds * _clock.TimestampFrequency);
        _next = _start + _interval;
    }

    /// <summary>Units in all.</summary>
    public long Total { get; }

    /// <summary>Units finished.</summary>
    public long Done => Interlocked.Read(ref _done);

    /// <summary>A progress that writes one line a report.</summary>
    public static Progress To(TextWriter writer, long total, CancellationToken cancellation = default) =>
        new(total, report => writer.WriteLine(report.ToString()), cancellation);

    /// <summary>Says that so many more units are finished.</summary>
    /// <exception cref="OperationCanceledException">Cancellation was asked for.</exception>
    public void Advance(long units = 1, string detail = "") => Tell(Interlocked.Add(ref _done, units), detail);

    /// <summary>Says how many units are finished in all.</summary>
    /// <exception cref="OperationCanceledException">Cancellation was asked for.</exception>
    public void Report(long done, string detail = "")
    {
        Interlocked.Exchange(ref _done, done);
        Tell(done, detail);
    }

    private void Tell(long done, string detail)
    {
        _cancellation.ThrowIfCancellationRequested();
        if (_sink is null) return;
        var now = _clock.GetTimestamp();
        var due = Interlocked.Read(ref _next);
        if (now < due && done != Total) return;
        // Of several threads that find the report due, one wins and makes it.
        if (Interlocked.CompareExchange(ref _next, now + _interval, due) != due && done != Total) return;
        var elapsed = _clock.GetElapsedTime(_start, now);
        TimeSpan? remaining = done > 0 ? TimeSpan.FromTicks((long)(elapsed.Ticks * ((double)(Total - done) / done))) : null;
        _sink(new ProgressReport(done, Total, detail, elapsed, remaining));
    }
}
