using System.Runtime.InteropServices;
using NeuronQuant.Models;

namespace NeuronQuant.Benchmarks;

/// <summary>
/// The matrix multiplication of a linear layer, Y [n, n] = X [n, n] W [n, n] transposed, in float32 on all cores, against OpenBLAS loaded
/// into this process, where the machine has it. GFLOP/s counts 2 n^3 operations.
/// </summary>
internal static unsafe class MultiplyBenchmark
{
    private const int RowMajor = 101, NoTranspose = 111, Transpose = 112;

    public static void Run(int rounds = 9)
    {
        nint library = Load();
        foreach (int n in new[] { 512, 1024, 2048 })
        {
            var (x, w, y) = (Random(n * n, 1), Random(n * n, 2), GC.AllocateUninitializedArray<float>(n * n, pinned: true));
            int repeats = 2048 / n * (2048 / n);
            var measurement = new Measurement($"Matrix multiply, float32, {n}^3, {Environment.ProcessorCount} threads", "GFLOP/s", 2e-9 * n * n * n * repeats)
                .Add("NeuronQuant", () => { for (int i = 0; i < repeats; i++) MatrixMultiply.Forward(x, w, y, n, n, n); });
            if (library != 0)
            {
                var multiply = (delegate* unmanaged<int, int, int, int, int, int, float, float*, int, float*, int, float, float*, int, void>)NativeLibrary.GetExport(library, "cblas_sgemm");
                measurement.Add("OpenBLAS", () => { for (int i = 0; i < repeats; i++) multiply(RowMajor, NoTranspose, Transpose, n, n, n, 1, Address(x), n, Address(w), n, 0, Address(y), n); });
            }
            measurement.Run(rounds);
        }
    }

    private static nint Load()
    {
        if (!NativeLibrary.TryLoad("libopenblas.so.0", out nint library))
        {
            Console.Error.WriteLine("libopenblas.so.0 is not on this machine: the benchmark runs without OpenBLAS.");
            return 0;
        }
        var configuration = (delegate* unmanaged<byte*>)NativeLibrary.GetExport(library, "openblas_get_config");
        var threads = (delegate* unmanaged<int, void>)NativeLibrary.GetExport(library, "openblas_set_num_threads");
        threads(Environment.ProcessorCount);
        Console.WriteLine(Marshal.PtrToStringUTF8((nint)configuration()));
        return library;
    }

    private static float[] Random(int length, int seed)
    {
        var (random, values) = (new Random(seed), GC.AllocateUninitializedArray<float>(length, pinned: true));
        for (int i = 0; i < length; i++) values[i] = (float)(random.NextDouble() - 0.5);
        return values;
    }

    private static float* Address(float[] pinned) => (float*)Marshal.UnsafeAddrOfPinnedArrayElement(pinned, 0);
}
