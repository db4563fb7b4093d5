using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;

namespace NeuronQuant.Models;

/// <summary>Work that falls into numbered parts, each of which may run on any thread.</summary>
internal interface IWork
{
    /// <summary>Does one part. The result must not depend on which thread runs it, or when.</summary>
    void Part(int part);
}

/// <summary>One thread for each core, kept between calls, that shares out numbered parts and waits for all of them.</summary>
/// <remarks>
/// A forward pass of a small model is hundreds of multiplications of some ten microseconds; Parallel.For costs about as much, and
/// allocates. Here a call costs one or two microseconds and no memory: the work is a struct on the caller's stack, and the others see it
/// by pointer. They may: the caller does not return before the last of them has left. Who sleeps too deeply to come in time is not
/// waited for, since parts are taken from a counter.
/// Parts are a fixed division of the work and write to different places, so results have the same bits however threads are scheduled.
/// A call from within a part, or while another thread uses the team, simply does all parts itself.
/// </remarks>
internal static unsafe class ThreadTeam
{
    private const int Closed = -1;
    private const int Spins = 100; // Rounds of waiting before a thread sleeps: about the gap between two layers.

    private static readonly ManualResetEventSlim[] Calls = Start(Environment.ProcessorCount - 1);
    private static void* _work;
    private static delegate*<void*, int, void> _body;
    private static int _parts, _next, _busy, _inside = Closed;
    private static ExceptionDispatchInfo? _failure;

    /// <summary>Threads that share the work: one for each core.</summary>
    public static int Size => Calls.Length + 1;

    /// <summary>Does all parts. The struct must be a local variable or a parameter: its address must not move.</summary>
    public static void Run<TWork>(ref TWork work, int parts) where TWork : struct, IWork
    {
        if (parts <= 1 || Calls.Length == 0 || Interlocked.CompareExchange(ref _busy, 1, 0) != 0)
        {
            for (int part = 0; part < parts; part++) work.Part(part);
            return;
        }
        _work = Unsafe.AsPointer(ref work);
        _body = &Invoke<TWork>;
        (_parts, _next) = (parts, 0);
        Volatile.Write(ref _inside, 0);
        for (int i = 0; i < Math.Min(Calls.Length, parts - 1); i++) Calls[i].Set();
        TakeParts();
        var wait = new SpinWait();
        while (Interlocked.CompareExchange(ref _inside, Closed, 0) != 0) wait.SpinOnce(sleep1Threshold: -1);
        var failure = Interlocked.Exchange(ref _failure, null);
        Volatile.Write(ref _busy, 0);
        failure?.Throw();
    }

    private static void Invoke<TWork>(void* work, int part) where TWork : struct, IWork => Unsafe.AsRef<TWork>(work).Part(part);

    private static void TakeParts()
    {
        try
        {
            for (int part; (part = Interlocked.Increment(ref _next) - 1) < _parts;) _body(_work, part);
        }
        catch (Exception error)
        {
            _failure = ExceptionDispatchInfo.Capture(error);
        }
    }

    private static bool TryEnter()
    {
        for (int inside; (inside = Volatile.Read(ref _inside)) != Closed;)
            if (Interlocked.CompareExchange(ref _inside, inside + 1, inside) == inside) return true;
        return false;
    }

    private static void Serve(ManualResetEventSlim call)
    {
        while (true)
        {
            call.Wait();
            call.Reset();
            if (!TryEnter()) continue;
            TakeParts();
            Interlocked.Decrement(ref _inside);
        }
    }

    private static ManualResetEventSlim[] Start(int threads)
    {
        var calls = new ManualResetEventSlim[threads];
        for (int i = 0; i < threads; i++)
        {
            var call = calls[i] = new ManualResetEventSlim(false, Spins);
            new Thread(() => Serve(call)) { IsBackground = true, Name = $"NeuronQuant {i + 1}" }.Start();
        }
        return calls;
    }
}
