using NeuronQuant.Evaluation;
using NeuronQuant.Formats;
using NeuronQuant.Neuron;
using NeuronQuant.Quantization;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>A tiny quantized model with its configuration, sessions on it, and a look at what a session left behind.</summary>
internal sealed class TestSession : IDisposable
{
    public TestSession()
    {
        using var source = Model.Open();
        var record = NeuronCheckpoint.Write(source, Model.PathOf("q"),
            QuantizationPlan.Create(source, Format.Int8, modulesToNotConvert: ["lm_head", "layers.1.mlp"]));
        Setup = NeuronSetup.Of(NeuronConfig.For(record, Model.PathOf("q")).With("torch_dtype", "bfloat16").With("tp_degree", 2).With("batch_size", 2)
            .With("seq_len", 256).With("max_context_length", 64).WithFp8Cache(NeuronSdk.Pinned), "inf2.8xlarge");
    }

    public TinyModel Model { get; } = new();

    public NeuronSetup Setup { get; }

    public void Dispose() => Model.Dispose();

    public Task<NeuronSession> Start(IPythonHost host, List<string>? lines = null, NeuronSetup? setup = null, Action<string>? log = null) =>
        NeuronSession.Start(host, setup ?? Setup, Model.Folder,
            new SessionOptions(Model.PathOf("cache"), NeedDevice: false, log ?? (line => { lock (Model) lines?.Add(line); })));

    public static async Task Go(NeuronSession session)
    {
        await session.Load();
        _ = await session.Generate(["x"], new GenerationSettings([], 4));
        _ = await session.Benchmark(1);
        _ = await session.Memory();
    }

    public void AssertNothingLeft(int? child, int? grandchild, bool compiled)
    {
        foreach (int process in new[] { child, grandchild }.OfType<int>()) Assert.True(IsGone(process), $"process {process} is still there");
        string[] folders = Directory.Exists(Model.PathOf("cache")) ? Directory.GetDirectories(Model.PathOf("cache")) : [];
        Assert.Equal(compiled ? 1 : 0, folders.Length);
        Assert.DoesNotContain(folders, folder => folder.Contains(".partial", StringComparison.Ordinal));
    }

    // A zombie that init has not collected yet runs nothing any more.
    private static bool IsGone(int process)
    {
        for (int i = 0; i < 40; i++, Thread.Sleep(50))
            if (!File.Exists($"/proc/{process}/stat") || File.ReadAllText($"/proc/{process}/stat").Contains(") Z", StringComparison.Ordinal))
                return true;
        return false;
    }
}
