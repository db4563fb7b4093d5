using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Methods;
using NeuronQuant.Models;
using NeuronQuant.Neuron;
using NeuronQuant.Quantization;
using NeuronQuant.Tests.Tuning;
using NeuronQuant.Tuning;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>Every method on its way to a folder, folds among them: no integer changes in NxDI, and what was folded is what was written.</summary>
public class MethodCheckpointTests
{
    public static TheoryData<string, CheckpointLayout> Cases()
    {
        var cases = new TheoryData<string, CheckpointLayout>();
        foreach (string name in new[] { "rtn", "clip", "gptq", "autoround", "adaround", "awq", "awq-duo", "smoothquant", "hadamard", "spinquant",
            "awq+gptq", "hadamard+adaround" })
            foreach (var layout in new[] { CheckpointLayout.Nxd, CheckpointLayout.Fake })
                cases.Add(name, layout);
        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void No_integer_of_any_method_changes(string name, CheckpointLayout layout)
    {
        using var model = new TinyModel();
        using var source = model.Open();
        var (plan, made, original) = Make(source, name, ["layers.0.mlp"]);
        var chosen = made.ToModules(original);
        Assert.Equal(made.Folds.Count > 0, chosen.Floats.Count > 0);
        var record = NeuronCheckpoint.Write(source, model.PathOf("q"), plan, layout, chosen: chosen);
        Assert.Equal(made.Folds.Count > 0, record.Folded is not null);
        var report = CheckpointAudit.Run(source, model.PathOf("q"));
        Assert.True(report.Passed, string.Join("\n", report.Findings));
        Assert.Equal(0L, report.Changed);
        if (layout == CheckpointLayout.Nxd) return;
        Assert.Equal(0, record.IntegersChanged);
        // The bf16 folder computes what the method's model does, up to bf16.
        var written = LlamaModel.Load(model.PathOf("q"));
        var batch = new TokenBatch(Tests.Models.TestModels.Tokens(16, 3, TinyModel.Vocabulary), [], 1);
        using TorchSharp.torch.Tensor a = written.Logits(batch), b = made.ToModel().Logits(batch);
        Assert.InRange((a - b).abs().max().item<float>(), 0, 0.02 * Math.Max(0.01, b.abs().max().item<float>()));
    }

    [Fact]
    public void A_tied_model_that_was_untied_is_written_as_bf16_and_refused_for_NxDI()
    {
        using var model = new TinyModel(tied: true);
        using var source = model.Open();
        var (plan, made, original) = Make(source, "hadamard", []);
        var chosen = made.ToModules(original);
        Assert.Contains("lm_head.weight", chosen.Floats.Keys);
        var refused = Assert.Throws<QuantizationException>(() => NeuronCheckpoint.Write(source, model.PathOf("nxd"), plan, chosen: chosen));
        Assert.Contains("Write layout fake", refused.Message, StringComparison.Ordinal);
        NeuronCheckpoint.Write(source, model.PathOf("q"), plan, CheckpointLayout.Fake, chosen: chosen);
        var report = CheckpointAudit.Run(source, model.PathOf("q"));
        Assert.True(report.Passed, string.Join("\n", report.Findings));
        using var written = Checkpoint.Open(model.PathOf("q"));
        Assert.False(written.Config.TieWordEmbeddings);
        Assert.NotNull(written.Find("lm_head.weight"));
        // And from there to NxDI by rounding, as any model: the integers are the same.
        NeuronCheckpoint.Write(written, model.PathOf("again"), QuantizationPlan.Create(written, Format.Int8, modulesToNotConvert: ["lm_head"]));
        using var again = Checkpoint.OpenStored(model.PathOf("again"));
        var (module, weight) = made.Weights.First();
        Assert.Equal(weight.Codes, again.Bytes(again.Find(module, "weight")!, 0, weight.Codes.Length).ToArray());
    }

    [Theory]
    [InlineData("model.layers.1.input_layernorm.weight", CheckpointLayout.Fake)]
    [InlineData("layers.1.input_layernorm.weight", CheckpointLayout.Nxd)]
    public void A_folded_gain_that_was_changed_since_is_found(string tensor, CheckpointLayout layout)
    {
        using var model = new TinyModel();
        using var source = model.Open();
        var (plan, made, original) = Make(source, "smoothquant", []);
        NeuronCheckpoint.Write(source, model.PathOf("good"), plan, layout, chosen: made.ToModules(original));
        string bad = model.Rewrite(model.PathOf("good"), "bad", (info, bytes) =>
        {
            if (info.Name == tensor) bytes[5] ^= 1;
            return [(new TensorDeclaration(info.Name, info.Type, info.Shape), bytes)];
        });
        Directory.CreateDirectory(Path.Combine(bad, "neuronquant"));
        File.Copy(Path.Combine(model.PathOf("good"), "neuronquant", "model.safetensors"), Path.Combine(bad, "neuronquant", "model.safetensors"));
        var finding = Assert.Single(CheckpointAudit.Run(source, bad).Findings);
        Assert.Equal((AuditDefect.WeightChanged, tensor), (finding.Defect, finding.Module));
    }

    [Fact]
    public void A_folded_weight_that_the_plan_quantizes_needs_codes()
    {
        using var model = new TinyModel();
        using var source = model.Open();
        var (_, made, original) = Make(source, "smoothquant", ["layers.0.mlp"]);
        var all = QuantizationPlan.Create(source, Format.Int8);
        Assert.Throws<QuantizationException>(() => NeuronCheckpoint.Write(source, model.PathOf("q"), all, chosen: made.ToModules(original)));
    }

    private static (QuantizationPlan, QuantizedModel, LlamaModel) Make(Checkpoint source, string name, string[] kept)
    {
        var plan = QuantizationPlan.Create(source, Format.Int8, modulesToNotConvert: kept);
        var model = ModelFiles.Load(source);
        var texts = CalibrationSet.Of(Enumerable.Range(0, 8).Select(i => Tests.Models.TestModels.Tokens(10, i, TinyModel.Vocabulary)), 10);
        var row = MethodRegistry.Parse(name, new AutoRoundMethod(TuningCase.Short), new SpinQuant(new SpinQuantOptions(5)));
        return (plan, row.Method.Apply(model, ModelGrids.Of(plan, Grid.Nxd()), new MethodInput(texts)), model);
    }
}
