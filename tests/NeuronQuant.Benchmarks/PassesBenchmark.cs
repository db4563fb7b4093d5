using System.Runtime.InteropServices;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;
using NeuronQuant.Sensitivity;

namespace NeuronQuant.Benchmarks;

/// <summary>
/// The two passes that read every weight: sensitivity (all metrics) and int8 per channel, over [5120, 14336] matrices of bf16, against
/// C loops that compute the same, and against the rate at which the memory can be read. GB/s counts bf16 input bytes.
/// </summary>
internal static unsafe class PassesBenchmark
{
    private const int Rows = 5120, Columns = 14336;

    public static void Run(int matrices = 12, int rounds = 7)
    {
        var weights = Enumerable.Range(0, matrices).Select(_ => Pinned<ushort>(Rows * Columns)).ToArray();
        var codes = Enumerable.Range(0, matrices).Select(_ => Pinned<byte>(Rows * Columns)).ToArray();
        Fill(weights);
        foreach (var target in codes) Array.Fill(target, (byte)1);
        var (scales, sums, variances) = (Pinned<float>(Rows), Pinned<double>(Rows * 5), Pinned<double>(Rows));
        var module = new ModuleName(0, "mlp.down_proj");
        using var plain = CPeer.Compile("passes.c", "-O3", "-march=native");
        using var wide = CPeer.Compile("passes.c", "-O3", "-march=native", "-mprefer-vector-width=512", "-fno-math-errno", "-fno-trapping-math");
        CPeer[] peers = [.. new[] { plain, wide }.OfType<CPeer>()];
        double bytes = 2.0 * Rows * Columns * matrices / 1e9;

        var sensitivity = new Measurement("Sensitivity pass: all metrics", "GB/s of bf16 input", bytes)
            .Add("NeuronQuant", () => { foreach (var w in weights) ModuleMetrics.Measure(module, WeightMatrix.OfBf16("w", w, Rows, Columns)); });
        var quantization = new Measurement("int8 per channel, in memory", "GB/s of bf16 input", bytes)
            .Add("NeuronQuant", () => { for (int m = 0; m < matrices; m++) RoundToNearest.QuantizeInto(WeightMatrix.OfBf16("w", weights[m], Rows, Columns), Grid.Nxd(), Granularity.PerChannelSymmetric, codes[m], scales); });
        foreach (var grid in new[] { Grid.Nxd(4).InGroups(64), Grid.Asymmetric(4), Grid.Asymmetric(4).InGroups(128) })
        {
            var (many, zeros) = (Pinned<float>(Rows * grid.GroupsIn(Columns)), Pinned<float>(Rows * grid.GroupsIn(Columns)));
            quantization.Add($"NeuronQuant, {grid}", () =>
            {
                for (int m = 0; m < matrices; m++)
                    RoundToNearest.QuantizeInto(WeightMatrix.OfBf16("w", weights[m], Rows, Columns), grid, Granularity.PerChannelSymmetric, codes[m], many,
                        zeroPoints: zeros);
            });
        }
        foreach (var peer in peers)
        {
            var all = (delegate* unmanaged<ushort*, int, int, double*, void>)peer.Function("sensitivity");
            var blog = (delegate* unmanaged<ushort*, int, int, double*, void>)peer.Function("variance");
            var int8 = (delegate* unmanaged<ushort*, int, int, byte*, float*, void>)peer.Function("int8_per_channel");
            sensitivity.Add($"{peer.Label}, the same metrics", () => { foreach (var w in weights) all(Address(w), Rows, Columns, Address(sums)); });
            sensitivity.Add($"{peer.Label}, variance alone", () => { foreach (var w in weights) blog(Address(w), Rows, Columns, Address(variances)); });
            quantization.Add(peer.Label, () => { for (int m = 0; m < matrices; m++) int8(Address(weights[m]), Rows, Columns, Address(codes[m]), Address(scales)); });
        }
        if (wide is not null)
        {
            var read = (delegate* unmanaged<ulong*, long, ulong>)wide.Function("read_all");
            foreach (var measurement in new[] { sensitivity, quantization })
                measurement.Add("reading alone (memory bandwidth)", () => { foreach (var w in weights) read((ulong*)Address(w), (long)Rows * Columns / 4); });
        }
        sensitivity.Run(rounds);
        quantization.Run(rounds);
    }

    private static T[] Pinned<T>(int length) where T : unmanaged => GC.AllocateUninitializedArray<T>(length, pinned: true);

    private static T* Address<T>(T[] pinned) where T : unmanaged => (T*)Marshal.UnsafeAddrOfPinnedArrayElement(pinned, 0);

    private static void Fill(ushort[][] weights)
    {
        var random = new Random(1);
        for (int i = 0; i < weights[0].Length; i++)
            weights[0][i] = BFloat16.Encode((float)(0.02 * (random.NextDouble() + random.NextDouble() + random.NextDouble() + random.NextDouble() - 2) / 0.577));
        foreach (var copy in weights.Skip(1)) weights[0].CopyTo(copy, 0);
    }
}
