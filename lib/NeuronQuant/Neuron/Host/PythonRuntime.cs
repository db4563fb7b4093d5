using System.Collections.Concurrent;
using Python.Runtime;

namespace NeuronQuant.Neuron;

/// <summary>The one Python of this process and the one thread that runs it.</summary>
/// <remarks>
/// <para>An interpreter starts once in the life of a process and cannot be exchanged. It starts on a thread of its own, which becomes
/// Python's main thread and makes every call: packages that keep state for a thread or set signal handlers find what they expect.</para>
/// <para>Initializing leaves the lock with the thread that did it, so it is given back at once. No code here awaits while it holds the
/// lock, and Python objects live only on that thread and only while it holds the lock.</para>
/// </remarks>
internal static class PythonRuntime
{
    private static readonly BlockingCollection<Action> Work = [];
    private static readonly Lock Gate = new();
    private static PythonLibrary? _library;
    private static Task<string?>? _start;
    private static ulong _pythonThread;
    private static int _waiting;

    /// <summary>Whether a piece of work is under way or waits.</summary>
    public static bool IsBusy => Volatile.Read(ref _waiting) > 0;

    /// <summary>Starts Python; null when it runs, else why it cannot.</summary>
    public static Task<string?> Start(PythonLibrary library)
    {
        lock (Gate)
        {
            if (_library is { } other && other != library)
                return Task.FromResult<string?>($"this process runs Python {other.Version} of another environment already");
            if (_library is null && PythonEngine.IsInitialized)
                return Task.FromResult<string?>("something else in this process started Python already");
            _library = library;
            if (_start is not null) return _start;
            new Thread(Serve) { IsBackground = true, Name = "Python" }.Start();
            return _start = Enqueue(() => Initialize(library));
        }
    }

    /// <summary>Does a piece of work on Python's thread, under its lock.</summary>
    public static Task<T> Run<T>(Func<T> work) => Enqueue(() =>
    {
        using (Py.GIL()) return work();
    });

    /// <summary>Raises KeyboardInterrupt in Python's thread and ends what it started. Waits for the lock, which native code may hold for
    /// long.</summary>
    public static void Interrupt()
    {
        using (Py.GIL())
        {
            _ = PythonEngine.Interrupt(_pythonThread);
            using var bridge = Py.Import("neuron_bridge.inside");
            using var none = bridge.InvokeMethod("end_children");
        }
    }

    /// <summary>Takes an interrupt that came too late for its call, so that it does not hit the next one.</summary>
    public static Task<bool> TakeLateInterrupt() => Run(() =>
    {
        try
        {
            _ = PythonEngine.RunSimpleString("for _ in range(1000): pass");
            return false;
        }
        catch (PythonException)
        {
            return true;
        }
    });

    private static Task<T> Enqueue<T>(Func<T> work)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        Interlocked.Increment(ref _waiting);
        Work.Add(() =>
        {
            try
            {
                T result = work();
                Interlocked.Decrement(ref _waiting);
                done.SetResult(result);
            }
            catch (Exception error) // It belongs to whoever waits for the work; this thread serves the next.
            {
                Interlocked.Decrement(ref _waiting);
                done.SetException(error);
            }
        });
        return done.Task;
    }

    private static void Serve()
    {
        foreach (var work in Work.GetConsumingEnumerable()) work();
    }

    private static string? Initialize(PythonLibrary library)
    {
        try
        {
            Runtime.PythonDLL = library.File;
            PythonEngine.ProgramName = library.Program;
            PythonEngine.Initialize();
            _pythonThread = PythonEngine.GetPythonThreadID();
            PythonEngine.BeginAllowThreads();
            return null;
        }
        catch (Exception error) // Whatever it is, a child process does the work instead and says why.
        {
            return $"pythonnet could not start Python {library.Version} ({error.GetType().Name}: {error.Message.Split('\n')[0].Trim()})";
        }
    }
}
