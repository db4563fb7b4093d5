using Microsoft.Data.Analysis;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Evaluation;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>What the first task on a host found.</summary>
/// <param name="Bytes">the written folder against NxD's own quantization</param>
/// <param name="Logits">the logits after the prompt against the engine's with the same codes</param>
/// <param name="Prompt">what the model was asked</param>
/// <param name="OnDevice">the device's greedy answer</param>
/// <param name="InEngine">the answer of this library's engine with the same codes</param>
/// <param name="StandIn">whether something stood in for the device</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record ToyReport(ConformanceReport Bytes, LogitsAgreement Logits, string Prompt, string OnDevice, string InEngine, bool StandIn)
{
    /// <summary>
    /// True when the folder is what NxD would have written and its logits are the engine's, but for the device's arithmetic. The answers may part
    /// at a tie that
    /// bf16 decides, so they do not count.
    /// </summary>
    public bool Passed => Bytes.Equal && Logits.Agree;

    /// <summary>Characters of the answers up to the first that differs.</summary>
    public int SameCharacters => OnDevice.AsSpan().CommonPrefixLength(InEngine);

    /// <summary>The steps as rows.</summary>
    public DataFrame ToDataFrame()
    {
        var table = new FrameRows($"{this}", "step", "result", "detail")
            .Row("codes and scales, byte by byte", Bytes.Equal ? "equal" : "DIFFERENT", $"{Bytes.Tensors} tensors compared");
        foreach (var difference in Bytes.Differences) table.Row("", "different", $"{difference.Tensor}: {difference.Difference}");
        return table.Row("compile and load", "done", "without quantizing")
            .Row("logits after the prompt", Logits.Agree ? "agree" : "DIFFERENT", $"{Logits}")
            .Row("greedy answer", OnDevice == InEngine ? "the same" : "different",
                $"{SameCharacters} of {InEngine.Length} characters as in the engine: \"{OnDevice.Trim()}\"");
    }

    /// <summary>The table as HTML.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <inheritdoc/>
    public override string ToString() =>
        $"Conformance on a toy: {(Passed ? "passed" : "FAILED")}{(StandIn ? ", with a stand-in: no statement about a device" : "")}";
}

/// <summary>
/// The first thing to run on a host: a small model is written in layout nxd, compared byte by byte with what NxD Inference quantizes itself,
/// compiled, loaded and asked. Everything that was read in NxD's sources and never run is put to the test here, in minutes.
/// </summary>
public static class ToyConformance
{
    private const string Prompt = "Question: Tom has 3 apples and buys 4 more. How many apples does Tom have?\nAnswer:";
    private const int NewTokens = 24, SequenceLength = 256;

    /// <summary>The configuration of the toy.</summary>
    /// <param name="record">the written folder's record</param>
    /// <param name="folder">the folder</param>
    /// <param name="tpDegree">NeuronCores that share the model</param>
    public static NeuronSetup Setup(QuantizationRecord record, string folder, int tpDegree) => NeuronSetup.Of(NeuronConfig.For(record, folder)
        .With("torch_dtype", "bfloat16").With("tp_degree", tpDegree).With("batch_size", 1).With("seq_len", SequenceLength)
        .With("max_context_length", SequenceLength - NewTokens));

    /// <summary>Runs it.</summary>
    /// <param name="toy">a small model that this library's engine can run, such as data/demo-model</param>
    /// <param name="folder">where the quantized copy goes</param>
    /// <param name="options">which Python; "none" runs nothing</param>
    /// <param name="tpDegree">NeuronCores that share the model</param>
    /// <param name="cancellation">ends Python and the run</param>
    /// <exception cref="NeuronRunException">a step failed; the message names it and the remedy</exception>
    public static async Task<DeviceStep<ToyReport>> Run(string toy, string folder, DeviceOptions options, int tpDegree = 2,
        CancellationToken cancellation = default)
    {
        using var source = Checkpoint.Open(toy);
        var plan = QuantizationPlan.Create(source, Format.Int8, modulesToNotConvert: ["lm_head"]);
        var record = NeuronCheckpoint.Write(source, folder, plan, overwrite: true, cancellation: cancellation);
        await using var device = await NeuronDevice.Open(Setup(record, folder, tpDegree), toy, options, cancellation).ConfigureAwait(false);
        return await device.Do("conformance", async (session, ending) =>
        {
            var settings = new GenerationSettings(["Question:"], NewTokens);
            var bytes = await session.Conformance(ending).ConfigureAwait(false);
            await session.Load(ending).ConfigureAwait(false);
            var engine = EngineModel.Load(toy);
            var same = engine.With(QuantizedCopy.RoundToNearest(engine.Model, Grid.Nxd(), record.ModulesToNotConvert), "int8");
            int[] ids = same.Encode(Prompt);
            var logits = LogitsAgreement.Of((await session.NextLogits([ids], ending).ConfigureAwait(false))[0], same.Model, ids);
            var answer = await session.Generate([Prompt], settings, ending).ConfigureAwait(false);
            var expected = await same.Generate([Prompt], settings, ending).ConfigureAwait(false);
            return new ToyReport(bytes, logits, Prompt, answer[0].Text, expected[0].Text, device.IsStandIn);
        }, cancellation).ConfigureAwait(false);
    }
}
