using System.Runtime.InteropServices;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Methods;
using NeuronQuant.Models;
using NeuronQuant.Neuron;
using NeuronQuant.Quantization;
using NeuronQuant.Tuning;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>Tuned codes on their way to a folder: what is written is what was chosen, and the audit finds any code that is not.</summary>
public class TunedCheckpointTests
{
    private const string Victim = "layers.1.mlp.down_proj";

    private static readonly TuningRecipe Short = new("short", 8, 5e-3, Samples: 8, BatchSize: 4);

    [Theory]
    [InlineData(CheckpointLayout.Nxd, false)]
    [InlineData(CheckpointLayout.Nxd, true)]
    [InlineData(CheckpointLayout.Fake, false)]
    [InlineData(CheckpointLayout.Fake, true)]
    public void Tuned_folders_pass_their_audit_with_no_changed_integer(CheckpointLayout layout, bool gptq)
    {
        using var model = new TinyModel();
        using var source = model.Open();
        var plan = QuantizationPlan.Create(source, Format.Int8, modulesToNotConvert: ["layers.0.mlp"]);
        var chosen = Tune(source, plan, Grid.Nxd(), gptq);
        var record = NeuronCheckpoint.Write(source, model.PathOf("q"), plan, layout, chosen: chosen);
        Assert.Equal(gptq ? "gptq" : "autoround", record.Method);
        Assert.Equal(layout == CheckpointLayout.Fake ? 0 : null, record.IntegersChanged);
        var report = CheckpointAudit.Run(source, model.PathOf("q"));
        Assert.True(report.Passed, string.Join("\n", report.Findings));
        Assert.Equal((15, 0L), (report.Modules.Count, report.Changed)); // lm_head, which is not tuned, is audited as rounded to nearest.
        Assert.Contains(record.Method, report.Plan, StringComparison.Ordinal);
        using var written = Checkpoint.OpenStored(model.PathOf("q"));
        var (module, weight) = chosen.Weights.Last();
        var tensor = written.Find(module, "weight")!;
        byte[] expected = layout == CheckpointLayout.Nxd ? weight.Codes : MemoryMarshal.AsBytes(weight.DequantizeBf16().AsSpan()).ToArray();
        Assert.Equal(expected, written.Bytes(tensor, 0, expected.Length).ToArray());
        Assert.NotEqual(weight.Codes, RoundToNearest.Quantize(WeightMatrix.Of(source, source.Find(module, "weight")!), Grid.Nxd()).Codes);
    }

    [Theory]
    [InlineData(CheckpointLayout.Nxd)]
    [InlineData(CheckpointLayout.Fake)]
    public void One_changed_code_is_found_by_its_module(CheckpointLayout layout) => Planted(layout, AuditDefect.IntegersChanged, (tensor, bytes) =>
    {
        if (!tensor.Name.EndsWith($"{Victim}.weight", StringComparison.Ordinal)) return;
        if (layout == CheckpointLayout.Nxd) bytes[100] ^= 1;
        else bytes[201] ^= 0x80; // The sign of one weight.
    });

    [Fact]
    public void One_changed_scale_is_found_by_its_module() => Planted(CheckpointLayout.Nxd, AuditDefect.ScalesChanged, (tensor, bytes) =>
    {
        if (tensor.Name == $"{Victim}.scale") bytes[4] ^= 1;
    });

    [Fact]
    public void A_value_that_is_no_multiple_of_its_scale_is_found() => Planted(CheckpointLayout.Fake, AuditDefect.IntegersChanged, (tensor, bytes) =>
    {
        // The last bit of a bf16: the code comes back the same.
        if (tensor.Name.EndsWith($"{Victim}.weight", StringComparison.Ordinal)) bytes[200] ^= 1;
    });

    [Fact]
    public void Tuned_codes_cannot_pass_as_rounded_to_nearest_and_a_lost_witness_is_named()
    {
        using var model = new TinyModel();
        using var source = model.Open();
        var plan = QuantizationPlan.Create(source, Format.Int8);
        NeuronCheckpoint.Write(source, model.PathOf("q"), plan, chosen: Tune(source, plan, Grid.Nxd()));
        Directory.Delete(Path.Combine(model.PathOf("q"), "neuronquant"), recursive: true);
        var report = CheckpointAudit.Run(source, model.PathOf("q"));
        Assert.Contains(report.Findings, finding => finding is { Defect: AuditDefect.KeyMissing, Module: "neuronquant" });
        Assert.Contains(report.Findings, finding => finding.Defect == AuditDefect.IntegersChanged);
    }

    [Fact]
    public void The_signed_128_grid_as_bf16_is_written_with_the_number_of_integers_that_NxDI_changes()
    {
        using var model = new TinyModel();
        using var source = model.Open();
        var plan = QuantizationPlan.Create(source, Format.Int8, modulesToNotConvert: ["lm_head"]);
        var chosen = Tune(source, plan, Grid.AutoRound());
        var record = NeuronCheckpoint.Write(source, model.PathOf("fake"), plan, CheckpointLayout.Fake, chosen: chosen);
        var report = CheckpointAudit.Run(source, model.PathOf("fake"));
        Assert.InRange(record.IntegersChanged!.Value, chosen.Count / 100, chosen.Count);
        Assert.Equal(record.IntegersChanged, report.Changed);
        Assert.All(report.Findings, finding => Assert.Equal(AuditDefect.IntegersChanged, finding.Defect));
        Assert.Equal(record.IntegersChanged, QuantizationRecord.Read(model.PathOf("fake"))!.IntegersChanged);
        NeuronCheckpoint.Write(source, model.PathOf("nxd"), plan, chosen: chosen); // As codes and scales nobody rounds again.
        Assert.True(CheckpointAudit.Run(source, model.PathOf("nxd")).Passed);
    }

    [Fact]
    public void Fewer_than_8_bits_are_written_as_bf16_only_and_the_audit_says_what_it_compared()
    {
        using var model = new TinyModel();
        using var source = model.Open();
        var plan = QuantizationPlan.Create(source, Format.Int8, modulesToNotConvert: ["lm_head"]);
        var chosen = Tune(source, plan, Grid.Nxd(4));
        Assert.Contains("8 bits", Assert.Throws<QuantizationException>(() =>
            NeuronCheckpoint.Write(source, model.PathOf("q"), plan, chosen: chosen)).Message, StringComparison.Ordinal);
        NeuronCheckpoint.Write(source, model.PathOf("fake"), plan, CheckpointLayout.Fake, chosen: chosen);
        var report = CheckpointAudit.Run(source, model.PathOf("fake"));
        Assert.True(report.Passed, string.Join("\n", report.Findings));
        Assert.Contains("14 modules below 8 bits", report.Plan, StringComparison.Ordinal);
    }

    [Fact]
    public void Codes_that_do_not_belong_to_plan_or_source_are_refused_and_rtn_removes_an_old_witness()
    {
        using var model = new TinyModel();
        using var source = model.Open();
        var plan = QuantizationPlan.Create(source, Format.Int8);
        var chosen = Tune(source, plan, Grid.Nxd());
        var other = QuantizationPlan.Create(source, Format.Int8, modulesToNotConvert: ["layers.1.mlp"]);
        Assert.StartsWith("layers.1.mlp", Assert.Throws<QuantizationException>(() =>
            NeuronCheckpoint.Write(source, model.PathOf("q"), other, chosen: chosen)).Module, StringComparison.Ordinal);
        var transposed = chosen with
        {
            Weights = chosen.Weights.ToDictionary(pair => pair.Key, pair =>
            pair.Value with { Rows = pair.Value.Columns, Columns = pair.Value.Rows })
        };
        Assert.Throws<QuantizationException>(() => NeuronCheckpoint.Write(source, model.PathOf("q"), plan, chosen: transposed));
        Assert.Throws<QuantizationException>(() => NeuronCheckpoint.Write(source, model.PathOf("q"), QuantizationPlan.Create(source, Format.F8E4M3),
            chosen: chosen));
        NeuronCheckpoint.Write(source, model.PathOf("q"), plan, chosen: chosen);
        NeuronCheckpoint.Write(source, model.PathOf("q"), plan, overwrite: true);
        Assert.False(Directory.Exists(Path.Combine(model.PathOf("q"), "neuronquant")));
        Assert.True(CheckpointAudit.Run(source, model.PathOf("q")).Passed);
    }

    private static void Planted(CheckpointLayout layout, AuditDefect defect, Action<TensorInfo, byte[]> change)
    {
        using var model = new TinyModel();
        using var source = model.Open();
        var plan = QuantizationPlan.Create(source, Format.Int8);
        NeuronCheckpoint.Write(source, model.PathOf("good"), plan, layout, chosen: Tune(source, plan, Grid.Nxd(), gptq: true));
        string bad = model.Rewrite(model.PathOf("good"), "bad", (tensor, bytes) =>
        {
            change(tensor, bytes);
            return [(new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes)];
        });
        Directory.CreateDirectory(Path.Combine(bad, "neuronquant"));
        File.Copy(Path.Combine(model.PathOf("good"), "neuronquant", "model.safetensors"), Path.Combine(bad, "neuronquant", "model.safetensors"));
        var findings = CheckpointAudit.Run(source, bad).Findings;
        Assert.NotEmpty(findings);
        Assert.All(findings, finding => Assert.Equal(Victim, finding.Module));
        Assert.Contains(findings, finding => finding.Defect == defect);
    }

    private static QuantizedModules Tune(Checkpoint source, QuantizationPlan plan, Grid grid, bool gptq = false)
    {
        var model = ModelFiles.Load(source);
        var texts = CalibrationSet.Of(Enumerable.Range(0, 8).Select(i => Tests.Models.TestModels.Tokens(10, i, TinyModel.Vocabulary)), 10);
        var grids = TuningGrids.Of(plan, grid);
        return gptq ? Gptq.Tune(model, grids, GramMatrix.Capture(model, texts)).Modules : AutoRound.Tune(model, grids, texts, Short).Modules;
    }
}
