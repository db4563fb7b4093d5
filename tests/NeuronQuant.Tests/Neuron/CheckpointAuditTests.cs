using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Neuron;
using NeuronQuant.Quantization;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>Each defect is planted in a good folder, one at a time, and must be found with the module's name.</summary>
public class CheckpointAuditTests
{
    private const string Victim = "layers.1.mlp.down_proj";

    [Fact]
    public void One_changed_code_is_found() => Planted(AuditDefect.IntegersChanged, (tensor, bytes) =>
    {
        if (tensor.Name == $"{Victim}.weight") bytes[17] ^= 1;
        return [(Same(tensor), bytes)];
    });

    [Fact]
    public void One_changed_scale_is_found() => Planted(AuditDefect.ScalesChanged, (tensor, bytes) =>
    {
        if (tensor.Name == $"{Victim}.scale") bytes[4] ^= 1;
        return [(Same(tensor), bytes)];
    });

    [Fact]
    public void A_changed_norm_is_found() => Planted(AuditDefect.WeightChanged, (tensor, bytes) =>
    {
        if (tensor.Name == "layers.0.input_layernorm.weight") bytes[0] ^= 1;
        return [(Same(tensor), bytes)];
    }, "layers.0.input_layernorm");

    [Theory]
    [InlineData("scale")]
    [InlineData("weight")]
    public void A_missing_tensor_is_found(string parameter) =>
        Planted(AuditDefect.KeyMissing, (tensor, bytes) => tensor.Name == $"{Victim}.{parameter}" ? [] : [(Same(tensor), bytes)]);

    [Fact]
    public void An_extra_key_is_found() => Planted(AuditDefect.KeyExtra, (tensor, bytes) => tensor.Name == $"{Victim}.scale"
        ? [(Same(tensor), bytes), (new TensorDeclaration($"{Victim}.zero_point", TensorType.F32, tensor.Shape), bytes)]
        : [(Same(tensor), bytes)]);

    [Fact]
    public void A_scale_in_bf16_is_found() => Planted(AuditDefect.WrongType, (tensor, bytes) =>
        [tensor.Name == $"{Victim}.scale" ? (new TensorDeclaration(tensor.Name, TensorType.BF16, tensor.Shape), bytes[..(bytes.Length / 2)])
            : (Same(tensor), bytes)]);

    [Fact]
    public void A_transposed_weight_is_found() => Planted(AuditDefect.WrongShape, (tensor, bytes) =>
        [tensor.Name == $"{Victim}.weight" ? (new TensorDeclaration(tensor.Name, tensor.Type, [tensor.Shape[1], tensor.Shape[0]]), bytes)
            : (Same(tensor), bytes)]);

    [Fact]
    public void A_scale_without_its_second_dimension_is_found() => Planted(AuditDefect.WrongShape, (tensor, bytes) =>
        [tensor.Name == $"{Victim}.scale" ? (new TensorDeclaration(tensor.Name, tensor.Type, [tensor.Shape[0]]), bytes) : (Same(tensor), bytes)]);

    [Fact]
    public void A_code_beyond_240_is_found() => Planted(AuditDefect.ForbiddenCode, (tensor, bytes) =>
    {
        if (tensor.Name == $"{Victim}.weight") bytes[3] = 0x7A;
        return [(Same(tensor), bytes)];
    }, format: Format.F8E4M3);

    [Fact]
    public void Aliases_of_the_loader_are_accepted()
    {
        using var model = new TinyModel();
        using var source = model.Open();
        NeuronCheckpoint.Write(source, model.PathOf("q"), QuantizationPlan.Create(source, Format.Int8));
        string renamed = model.Rewrite(model.PathOf("q"), "renamed", (tensor, bytes) =>
        {
            string prefix = tensor.Name.StartsWith("lm_head", StringComparison.Ordinal) ? "" : "model.";
            return [(new TensorDeclaration(prefix + tensor.Name.Replace(".scale", ".weight_scale", StringComparison.Ordinal), tensor.Type,
                tensor.Shape), bytes)];
        });
        Assert.True(CheckpointAudit.Run(source, renamed).Passed);
    }

    [Theory]
    [InlineData("layers.1.mlp.down_proj")] // the graph keeps what the file has quantized
    [InlineData("layers.1.self_attn.q_proj")] // unsafe under Neuron names
    [InlineData("model.layers.1.mlp")]
    [InlineData("layers.7.mlp")]
    public void Exclusions_that_disagree_are_found(string keep)
    {
        using var model = new TinyModel();
        using var source = model.Open();
        NeuronCheckpoint.Write(source, model.PathOf("q"), QuantizationPlan.Create(source, Format.Int8));
        var report = CheckpointAudit.Run(source, model.PathOf("q"), [keep]);
        Assert.Contains(report.Findings, finding => finding.Defect == AuditDefect.ExclusionDisagrees && finding.Module == keep);
    }

    [Fact]
    public void A_module_kept_in_the_file_but_not_in_the_list_is_found()
    {
        using var model = new TinyModel();
        using var source = model.Open();
        NeuronCheckpoint.Write(source, model.PathOf("q"), QuantizationPlan.Create(source, Format.Int8, modulesToNotConvert: ["layers.0.self_attn"]));
        Assert.True(CheckpointAudit.Run(source, model.PathOf("q")).Passed);
        var report = CheckpointAudit.Run(source, model.PathOf("q"), []);
        Assert.Equal(4, report.Findings.Count(finding => finding.Defect == AuditDefect.ExclusionDisagrees));
        Assert.Contains(report.Findings, finding => finding.Message.Contains("layers.0.self_attn.qkv_proj.q_proj", StringComparison.Ordinal));
    }

    [Fact]
    public void A_tied_head_missing_from_the_list_is_found()
    {
        using var model = new TinyModel(tied: true);
        using var source = model.Open();
        NeuronCheckpoint.Write(source, model.PathOf("q"), QuantizationPlan.Create(source, Format.Int8));
        Assert.True(CheckpointAudit.Run(source, model.PathOf("q")).Passed);
        Assert.Contains(CheckpointAudit.Run(source, model.PathOf("q"), []).Findings, finding => finding.Module == "lm_head");
    }

    [Theory]
    [InlineData("model.safetensors.index.json")]
    [InlineData("diffusion_pytorch_model.safetensors")]
    public void A_stale_file_is_found(string stale)
    {
        using var model = new TinyModel();
        using var source = model.Open();
        NeuronCheckpoint.Write(source, model.PathOf("q"), QuantizationPlan.Create(source, Format.Int8));
        File.WriteAllText(Path.Combine(model.PathOf("q"), stale), "{}");
        var finding = Assert.Single(CheckpointAudit.Run(source, model.PathOf("q")).Findings);
        Assert.Equal((AuditDefect.StaleFile, "model.safetensors"), (finding.Defect, finding.Module));
    }

    [Fact]
    public void A_folder_of_another_source_is_found()
    {
        using var model = new TinyModel();
        using var other = new TinyModel(TensorType.F16); // the same numbers, rounded to another type: codes and scales move
        using var source = model.Open();
        using var otherSource = other.Open();
        NeuronCheckpoint.Write(otherSource, model.PathOf("q"), QuantizationPlan.Create(otherSource, Format.Int8));
        var report = CheckpointAudit.Run(source, model.PathOf("q"));
        Assert.Contains(report.Findings, finding => finding.Defect == AuditDefect.ScalesChanged);
    }

    [Fact]
    public void Folders_without_a_record_are_audited_by_what_they_hold()
    {
        using var model = new TinyModel(tied: true);
        using var source = model.Open();
        foreach (var (format, granularity) in new[] { (Format.F8E5M2, Granularity.PerChannelSymmetric),
            (Format.Int8, Granularity.PerTensorSymmetric) })
        {
            NeuronCheckpoint.Write(source, model.PathOf("q"), QuantizationPlan.Create(source, format, granularity), overwrite: true);
            File.Delete(Path.Combine(model.PathOf("q"), QuantizationRecord.FileName));
            var report = CheckpointAudit.Run(source, model.PathOf("q"), ["lm_head"]);
            Assert.True(report.Passed, string.Join("\n", report.Findings));
            Assert.Contains(format.NxdiName(), report.Plan, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("[1]")]
    [InlineData("{\"quantization_dtype\":\"fp8\",\"quantization_type\":\"x\",\"modules_to_not_convert\":[],\"layout\":\"nxd\",\"grid\":\"nxd\",\"method\":\"rtn\",\"source\":\"\",\"library_version\":\"1\"}")]
    public void A_damaged_record_is_named(string text)
    {
        using var model = new TinyModel();
        using var source = model.Open();
        NeuronCheckpoint.Write(source, model.PathOf("q"), QuantizationPlan.Create(source, Format.Int8));
        File.WriteAllText(Path.Combine(model.PathOf("q"), QuantizationRecord.FileName), text);
        Assert.Equal(CheckpointFailure.RecordInvalid, Assert.Throws<CheckpointException>(() =>
            CheckpointAudit.Run(source, model.PathOf("q"))).Failure);
    }

    private static void Planted(
        AuditDefect defect, Func<TensorInfo, byte[], IEnumerable<(TensorDeclaration, byte[])>> change, string module = Victim,
            Format format = Format.Int8)
    {
        using var model = new TinyModel();
        using var source = model.Open();
        NeuronCheckpoint.Write(source, model.PathOf("good"), QuantizationPlan.Create(source, format));
        var report = CheckpointAudit.Run(source, model.Rewrite(model.PathOf("good"), "bad", change));
        Assert.False(report.Passed);
        Assert.Contains(report.Findings, finding => finding.Defect == defect && finding.Module.StartsWith(module, StringComparison.Ordinal));
    }

    private static TensorDeclaration Same(TensorInfo tensor) => new(tensor.Name, tensor.Type, tensor.Shape);
}
