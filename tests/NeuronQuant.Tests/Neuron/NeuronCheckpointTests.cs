using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Neuron;
using NeuronQuant.Quantization;
using NeuronQuant.Tests.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

public class NeuronCheckpointTests
{
    [Theory]
    [InlineData("int8", "per_channel_symmetric", TensorType.BF16)]
    [InlineData("int8", "per_channel_symmetric", TensorType.F32)]
    [InlineData("int8", "per_channel_symmetric", TensorType.F16)]
    [InlineData("int8", "per_tensor_symmetric", TensorType.BF16)]
    [InlineData("f8e4m3", "per_channel_symmetric", TensorType.BF16)]
    [InlineData("f8e4m3", "per_tensor_symmetric", TensorType.F32)]
    [InlineData("f8e5m2", "per_channel_symmetric", TensorType.BF16)]
    public void What_is_written_passes_its_audit(string format, string type, TensorType sourceType)
    {
        using var model = new TinyModel(sourceType);
        using var source = model.Open();
        NeuronCheckpoint.Write(source, model.PathOf("q"), QuantizationPlan.Create(source, FormatNames.Parse(format), GranularityNames.Parse(type)));
        var report = CheckpointAudit.Run(source, model.PathOf("q"));
        Assert.True(report.Passed, string.Join("\n", report.Findings));
        Assert.Equal((15, 0L), (report.Modules.Count, report.Changed));
    }

    [Fact]
    public void The_folder_has_the_keys_types_and_shapes_of_NxDI()
    {
        using var model = new TinyModel();
        using var source = model.Open();
        NeuronCheckpoint.Write(source, model.PathOf("q"),
            QuantizationPlan.Create(source, Format.Int8, modulesToNotConvert: ["lm_head", "layers.1.mlp"]));
        using var written = Checkpoint.OpenStored(model.PathOf("q"));
        string[] keys = [.. written.Tensors.Select(tensor => $"{tensor.Name} {tensor.Type.Name()} [{string.Join(",", tensor.Shape)}]")];
        Assert.DoesNotContain(keys, key => key.StartsWith("model.", StringComparison.Ordinal));
        Assert.Contains("embed_tokens.weight BF16 [64,32]", keys);
        Assert.Contains("layers.0.self_attn.k_proj.weight I8 [16,32]", keys);
        Assert.Contains("layers.0.self_attn.k_proj.scale F32 [16,1]", keys);
        Assert.Contains("layers.1.mlp.down_proj.weight BF16 [32,48]", keys);
        Assert.Contains("lm_head.weight BF16 [64,32]", keys);
        Assert.Contains("norm.weight BF16 [32]", keys);
        Assert.Equal(source.Tensors.Length + 2 * 7 - 3, keys.Length);
    }

    [Fact]
    public void Codes_times_scales_are_the_source_within_half_a_step()
    {
        using var model = new TinyModel();
        using var source = model.Open();
        NeuronCheckpoint.Write(source, model.PathOf("q"), QuantizationPlan.Create(source, Format.Int8));
        using var written = Checkpoint.OpenStored(model.PathOf("q"));
        var (codes, scales, weights) = (new float[48 * 32], new float[48], new float[48 * 32]);
        written.ReadFloats(written["layers.1.mlp.up_proj.weight"], 0, codes);
        written.ReadFloats(written["layers.1.mlp.up_proj.scale"], 0, scales);
        source.ReadFloats(source["model.layers.1.mlp.up_proj.weight"], 0, weights);
        for (int i = 0; i < weights.Length; i++) Assert.InRange(Math.Abs(codes[i] * scales[i / 32] - weights[i]), 0, scales[i / 32] * 0.5001);
    }

    [Theory]
    [InlineData("int8", TensorType.BF16)]
    [InlineData("int8", TensorType.F32)]
    [InlineData("f8e4m3", TensorType.F32)]
    [InlineData("f8e5m2", TensorType.BF16)]
    public void Fake_folders_by_rule_R1_come_back_with_no_changed_integer_and_open_as_a_model(string format, TensorType sourceType)
    {
        using var model = new TinyModel(sourceType, tied: true);
        using var source = model.Open();
        var plan = QuantizationPlan.Create(source, FormatNames.Parse(format), modulesToNotConvert: ["layers.0.mlp"]);
        NeuronCheckpoint.Write(source, model.PathOf("fake"), plan, CheckpointLayout.Fake);
        var report = CheckpointAudit.Run(source, model.PathOf("fake"));
        Assert.True(report.Passed, string.Join("\n", report.Findings));
        Assert.Equal(report.Modules.Sum(module => plan[module.Module] == Format.Bf16 ? 0 : module.Weights), report.Quantized);
        Assert.True(report.Quantized < report.Modules.Sum(module => module.Weights));
        using var written = Checkpoint.OpenStored(model.PathOf("fake"));
        ExpectedTensors.Check(written, written.Config);
        Assert.All(written.Tensors, tensor => Assert.Equal(TensorType.BF16, tensor.Type));
    }

    [Fact]
    public void The_signed_128_grid_is_reported_as_losing_its_integers_with_the_count()
    {
        using var model = new TinyModel();
        using var source = model.Open();
        NeuronCheckpoint.Write(source, model.PathOf("fake"), QuantizationPlan.Create(source, Format.Int8), CheckpointLayout.Fake, Grid.AutoRound());
        var report = CheckpointAudit.Run(source, model.PathOf("fake"));
        Assert.False(report.Passed);
        Assert.All(report.Findings, finding => Assert.Equal(AuditDefect.IntegersChanged, finding.Defect));
        long expected = QuantizationPlan.LinearModules(source).Sum(module =>
            SecondRounding.Replay(RoundToNearest.Quantize(WeightMatrix.Of(source, source.Find(module, "weight")!), Grid.AutoRound())).Changed);
        Assert.Equal(expected, report.Changed);
        Assert.InRange(report.Changed, 1, report.Quantized);
    }

    [Fact]
    public void Sharded_sources_and_a_second_write_over_the_first_work()
    {
        using var model = new TinyModel(shardBytes: 4000);
        using var source = model.Open();
        var plan = QuantizationPlan.Create(source, Format.Int8);
        NeuronCheckpoint.Write(source, model.PathOf("q"), plan);
        Assert.Throws<CheckpointException>(() => NeuronCheckpoint.Write(source, model.PathOf("q"), plan));
        NeuronCheckpoint.Write(source, model.PathOf("q"), QuantizationPlan.Create(source, Format.F8E4M3), overwrite: true);
        Assert.Contains("f8e4m3", CheckpointAudit.Run(source, model.PathOf("q")).Plan, StringComparison.Ordinal);
    }

    [Fact]
    public void A_cancelled_write_leaves_nothing_that_opens()
    {
        using var model = new TinyModel();
        using var source = model.Open();
        using var cancel = new CancellationTokenSource();
        Assert.ThrowsAny<OperationCanceledException>(() =>
            NeuronCheckpoint.Write(source, model.PathOf("q"), QuantizationPlan.Create(source, Format.Int8),
            progress: (done, total) => { if (done > total / 2) cancel.Cancel(); }, cancellation: cancel.Token));
        Assert.Throws<CheckpointException>(() => Checkpoint.Open(model.PathOf("q")));
        Assert.False(Directory.Exists(model.PathOf("q")) && Directory.EnumerateFileSystemEntries(model.PathOf("q")).Any());
    }

    [Fact]
    public void Combinations_that_cannot_be_kept_are_refused()
    {
        using var model = new TinyModel();
        using var source = model.Open();
        var perTensor = QuantizationPlan.Create(source, Format.Int8, Granularity.PerTensorSymmetric);
        Assert.Throws<QuantizationException>(() => NeuronCheckpoint.Write(source, model.PathOf("a"), perTensor, CheckpointLayout.Fake));
        var perChannel = QuantizationPlan.Create(source, Format.Int8);
        Assert.Throws<QuantizationException>(() => NeuronCheckpoint.Write(source, model.PathOf("b"), perChannel, grid: Grid.AutoRound()));
        Assert.Throws<QuantizationException>(() => NeuronCheckpoint.Write(source, model.PathOf("c"), perChannel, CheckpointLayout.Fake, Grid.F8E4M3));
        foreach (var grid in new[] { Grid.Nxd(4), Grid.Nxd().InGroups(32), Grid.Asymmetric() })
            Assert.Contains($"{grid.WhyNotOnNeuron}. Write layout fake",
                Assert.Throws<QuantizationException>(() => NeuronCheckpoint.Write(source, model.PathOf("d"), perChannel, grid: grid)).Message);
        Assert.False(Directory.Exists(model.PathOf("d")));
    }

    public static TheoryData<string> OpenGrids => ["nxd4", "nxd8g32", "asymmetric", "asymmetric4g32", "mine", "f8e4m3g32"];

    private static Grid Named(string name) => name switch
    {
        "nxd4" => Grid.Nxd(4),
        "nxd8g32" => Grid.Nxd().InGroups(32),
        "asymmetric" => Grid.Asymmetric(),
        "asymmetric4g32" => Grid.Asymmetric(4).InGroups(32),
        "f8e4m3g32" => Grid.F8E4M3.InGroups(32),
        _ => new Grid("mine", 3, 3.5f, -4, 3, floor: 1e-6f),
    };

    [Theory]
    [MemberData(nameof(OpenGrids))]
    public void A_bf16_folder_of_any_grid_holds_its_values_and_its_audit_finds_a_changed_one(string name)
    {
        var grid = Named(name);
        using var model = new TinyModel();
        using var source = model.Open();
        NeuronCheckpoint.Write(source, model.PathOf("fake"), QuantizationPlan.Create(source, grid.Format), CheckpointLayout.Fake, grid);
        Assert.Equal(grid, QuantizationRecord.Read(model.PathOf("fake"))!.WholeGrid);
        using (var written = Checkpoint.Open(model.PathOf("fake")))
        {
            var expected = RoundToNearest.Quantize(WeightMatrix.Of(source, source["model.layers.1.mlp.down_proj.weight"]), grid);
            var found = WeightMatrix.Of(written, written["model.layers.1.mlp.down_proj.weight"]);
            Assert.Equal(expected.Dequantize().Select(BFloat16.Round), found.ToArray());
        }
        var report = CheckpointAudit.Run(source, model.PathOf("fake"));
        Assert.True(report.Passed, string.Join("\n", report.Findings));
        string broken = model.Rewrite(model.PathOf("fake"), "broken", (tensor, bytes) =>
        {
            if (tensor.Name == "model.layers.1.mlp.down_proj.weight") bytes[^1] ^= 0x80;
            return [(new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes)];
        });
        var finding = Assert.Single(CheckpointAudit.Run(source, broken).Findings);
        Assert.Equal((AuditDefect.IntegersChanged, "layers.1.mlp.down_proj"), (finding.Defect, finding.Module));
    }

    [Theory]
    [MemberData(nameof(OpenGrids))]
    public void Chosen_codes_of_any_grid_are_written_as_bf16_and_audited(string name)
    {
        var grid = Named(name);
        if (!grid.IsInteger) return;
        using var model = new TinyModel();
        using var source = model.Open();
        var plan = QuantizationPlan.Create(source, Format.Int8);
        var chosen = new QuantizedModules("mine", plan.Modules.ToDictionary(module => module, module => Shifted(source, module, grid)));
        NeuronCheckpoint.Write(source, model.PathOf("fake"), plan, CheckpointLayout.Fake, chosen: chosen);
        var report = CheckpointAudit.Run(source, model.PathOf("fake"));
        Assert.True(report.Passed, string.Join("\n", report.Findings));
        string broken = model.Rewrite(model.PathOf("fake"), "broken", (tensor, bytes) =>
        {
            if (tensor.Name == "model.layers.1.mlp.down_proj.weight") bytes[^1] ^= 0x80;
            return [(new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes)];
        });
        Directory.CreateDirectory(Path.Combine(broken, ChosenCodes.FolderName));
        foreach (string file in Directory.EnumerateFiles(Path.Combine(model.PathOf("fake"), ChosenCodes.FolderName)))
            File.Copy(file, Path.Combine(broken, ChosenCodes.FolderName, Path.GetFileName(file)));
        Assert.Contains(CheckpointAudit.Run(source, broken).Findings, finding => finding.Defect == AuditDefect.IntegersChanged);
        Assert.Contains("Write layout fake", Assert.Throws<QuantizationException>(
            () => NeuronCheckpoint.Write(source, model.PathOf("nxd"), plan, chosen: chosen)).Message);
    }

    // Codes that rounding would not give: each row's first code one step towards zero, and zero points that are no integers.
    private static QuantizedWeight Shifted(Checkpoint source, ModuleName module, Grid grid)
    {
        var weight = RoundToNearest.Quantize(WeightMatrix.Of(source, source.Find(module, "weight")!), grid);
        for (int row = 0; row < weight.Rows; row++) weight.Codes[row * weight.Columns] = (byte)((sbyte)weight.Codes[row * weight.Columns] / 2);
        return weight with { ZeroPoints = [.. weight.ZeroPoints.Select(zero => zero + 0.25f)] };
    }

    [Fact]
    public void A_real_model_is_written_and_audited_in_every_layout()
    {
        using var source = Checkpoint.Open(RealModel.Folder());
        string root = Directory.CreateTempSubdirectory("neuronquant-").FullName;
        try
        {
            foreach (var layout in Enum.GetValues<CheckpointLayout>())
            {
                NeuronCheckpoint.Write(source, Path.Combine(root, $"{layout}"), QuantizationPlan.Create(source, Format.Int8), layout);
                var report = CheckpointAudit.Run(source, Path.Combine(root, $"{layout}"));
                Assert.True(report.Passed, string.Join("\n", report.Findings));
                Assert.Equal(35, report.Modules.Count);
            }
        }
        finally
        {
            Directory.Delete(root, recursive: true);
        }
    }
}
