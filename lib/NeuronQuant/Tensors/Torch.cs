using System.Collections.Concurrent;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace NeuronQuant.Tensors;

/// <summary>The two gates through which everything here reaches torch: <see cref="Run{T}"/> without gradients, <see cref="WithGradients{T}"/> with them.</summary>
/// <remarks>
/// A gate owns a dispose scope, so that every tensor made on the way is freed at its end and only the result lives on; it says whether a graph is recorded,
/// for its own thread alone; and it turns torch's messages into exceptions that name a remedy. Torch keeps the text of a failed call for each
/// thread until somebody reads it, and not every call of TorchSharp reads it; what an earlier user of the thread left is thrown away on entry, or it would
/// be blamed on the first innocent call here. The same inputs on the same machine give the same bits, whatever the number of threads.
/// </remarks>
public static class Torch
{
    /// <summary>Hidden size below which an operation is too short to be shared by threads that wait for each other.</summary>
    internal const int Small = 512;

    private static readonly ConcurrentDictionary<double, Scalar> Numbers = new();
    private static readonly ConcurrentDictionary<long, Scalar> Wholes = new();

    private static readonly Lazy<int> Available = new(get_num_threads);

    [ThreadStatic]
    private static bool _single;

    /// <summary>Computes without recording a graph.</summary>
    /// <param name="work">what to compute; a tensor, or tuple or array of tensors, that it returns belongs to the caller</param>
    /// <exception cref="TorchException">torch refuses the shapes or types, or memory does not suffice</exception>
    public static T Run<T>(Func<T> work) => Gate(work, gradients: false);

    /// <summary>Computes without recording a graph.</summary>
    /// <exception cref="TorchException">torch refuses the shapes or types, or memory does not suffice</exception>
    public static void Run(Action work) => Gate(() => { work(); return 0; }, gradients: false);

    /// <summary>Computes with a graph, so that backward() reaches every leaf that asks for a gradient.</summary>
    /// <param name="work">what to compute; a tensor that it returns belongs to the caller</param>
    /// <exception cref="TorchException">torch refuses the shapes or types, or memory does not suffice</exception>
    public static T WithGradients<T>(Func<T> work) => Gate(work, gradients: true);

    /// <summary>Threads that one operation may use.</summary>
    public static int Threads
    {
        get
        {
            TorchLibrary.Load();
            return Available.Value;
        }
    }

    /// <summary>Works on independent items: several at a time, a thread for each, or one after another with all threads in each operation.</summary>
    /// <remarks>Which items there are does not depend on the threads, so neither does any result. They are taken in their order: the longest first waits least.</remarks>
    /// <param name="sideBySide">whether operations on an item are so short that threads sharing one would wait for each other: a model's hidden size below <see cref="Small"/></param>
    /// <param name="items">what to work on</param>
    /// <param name="work">opens a gate of its own</param>
    /// <param name="cancellation">checked before each item</param>
    internal static void ForEach<T>(bool sideBySide, IReadOnlyCollection<T> items, Action<T> work, CancellationToken cancellation)
    {
        if (!sideBySide || items.Count == 1 || Threads == 1 || _single)
        {
            foreach (var item in items)
            {
                cancellation.ThrowIfCancellationRequested();
                work(item);
            }
            return;
        }
        try
        {
            Parallel.ForEach(Partitioner.Create(items, EnumerablePartitionerOptions.NoBuffering), new ParallelOptions { MaxDegreeOfParallelism = Threads, CancellationToken = cancellation }, item =>
            {
                _single = true;
                try
                {
                    work(item);
                }
                finally
                {
                    _single = false;
                }
            });
        }
        catch (AggregateException error)
        {
            ExceptionDispatchInfo.Throw(error.InnerExceptions[0]);
        }
        finally
        {
            set_num_threads(Available.Value); // This thread took items too, and goes on in the gate that it came from.
        }
    }

    /// <summary>A number that takes part in an operation, kept for good.</summary>
    /// <remarks>
    /// TorchSharp makes an object of every plain number, and reads its address before the native call; a collection that another thread sets off during the call
    /// then frees it under the operation, which ends in "Unknown scalar type", or in another number. Any other thread will do, one that only reads a file. So
    /// numbers here come from this table, a sum of tensors by <see cref="Plus"/>, since "+" hides a factor of 1, and a square by <see cref="Squared"/>, since
    /// square() hides a 2. A test reads the compiled library for calls that hide such an object.
    /// </remarks>
    internal static Scalar Number(double value) => Numbers.GetOrAdd(value, number => Loaded(() => number.ToScalar()));

    /// <summary>A whole number, for tensors of integers.</summary>
    internal static Scalar Whole(long value) => Wholes.GetOrAdd(value, number => Loaded(() => number.ToScalar()));

    /// <summary>x + y.</summary>
    internal static Tensor Plus(this Tensor x, Tensor y) => x.add(y, Number(1));

    /// <summary>x * x, element by element.</summary>
    internal static Tensor Squared(this Tensor x) => x * x;

    /// <summary>x += y.</summary>
    internal static Tensor Plus_(this Tensor x, Tensor y) => x.add_(y, Number(1));

    /// <summary>0, 1, ... [length] int64.</summary>
    internal static Tensor Count(long length, Device device) => arange(Whole(0), Whole(length), Whole(1), ScalarType.Int64, device);

    /// <summary>A tensor that outlives every scope.</summary>
    internal static Tensor Keep(Tensor tensor) => tensor.DetachFromDisposeScope();

    /// <summary>Gives freed memory back to the system: glibc keeps it, and a process that tunes block after block would only grow.</summary>
    internal static void Trim()
    {
        if (OperatingSystem.IsLinux() && !RuntimeInformation.RuntimeIdentifier.Contains("musl", StringComparison.Ordinal)) _ = malloc_trim(0);
    }

    private static T Gate<T>(Func<T> work, bool gradients)
    {
        ArgumentNullException.ThrowIfNull(work);
        TorchLibrary.Load();
        ForgetEarlierErrors();
        set_num_threads(_single ? 1 : Available.Value); // Of this thread alone, and of those that start meanwhile.
        using var mode = set_grad_enabled(gradients);
        using var scope = NewDisposeScope();
        try
        {
            var result = work();
            if (result is Tensor tensor) tensor.MoveToOuterDisposeScope();
            else if (result is IEnumerable<Tensor> several) foreach (var one in several) one.MoveToOuterDisposeScope();
            else if (result is ValueTuple<Tensor, Tensor> pair) scope.MoveToOuter(pair.Item1, pair.Item2);
            return result;
        }
        catch (ExternalException error)
        {
            throw Named(error);
        }
        finally
        {
            GC.KeepAlive(work); // And with it the model that owns the weights.
        }
    }

    private static void ForgetEarlierErrors()
    {
        try
        {
            CheckForErrors();
        }
        catch (ExternalException)
        {
            // Of another caller, to whom it was not said in time.
        }
    }

    private static Scalar Loaded(Func<Scalar> make)
    {
        TorchLibrary.Load();
        return make();
    }

    private static TorchException Named(ExternalException error)
    {
        string text = error.Message.Split('\n')[0].Trim();
        bool memory = text.Contains("alloc", StringComparison.OrdinalIgnoreCase) || text.Contains("out of memory", StringComparison.OrdinalIgnoreCase);
        return new TorchException("torch", memory ? $"{text}. Memory does not suffice: take fewer or shorter sequences at a time, --dtype bfloat16, or a smaller model."
            : $"{text}. The shapes or types do not fit this model.", error);
    }

    [DllImport("libc")]
    private static extern int malloc_trim(nuint pad);
}
