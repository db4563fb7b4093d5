using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Neuron;
using NeuronQuant.Quantization;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>Folders of every kind, and the configuration each wants; what is derived from bytes is held against the record that was taken
/// away.</summary>
[Collection("notebooks")]
public sealed class FolderConfigTests : IDisposable
{
    private readonly TinyModel _model = new();

    public void Dispose() => _model.Dispose();

    [Theory]
    [InlineData(Format.Int8, Granularity.PerChannelSymmetric, "lm_head", "layers.0.self_attn.q_proj", "layers.0.self_attn.qkv_proj.q_proj",
        "layers.1.mlp")]
    [InlineData(Format.F8E4M3, Granularity.PerChannelSymmetric, "layers.1.self_attn")]
    [InlineData(Format.F8E5M2, Granularity.PerChannelSymmetric)]
    [InlineData(Format.Int8, Granularity.PerTensorSymmetric)]
    public void Without_its_record_the_bytes_say_the_same(Format format, Granularity granularity, params string[] keep)
    {
        Write(format, granularity, keep);
        var written = FolderConfig.Of(_model.PathOf("q"));
        Assert.Equal(FolderKind.Written, written.Kind);
        File.Delete(_model.PathOf("q/neuronquant.json"));
        var derived = FolderConfig.Of(_model.PathOf("q"), ModelConfig.Read(Path.Combine(_model.Folder, "config.json")));
        Assert.Equal(FolderKind.Nxd, derived.Kind);
        Assert.DoesNotContain(derived.Findings, finding => finding.Severity == ConfigSeverity.Error);
        foreach (string option in new[] { "quantized", "quantized_checkpoints_path", "quantization_dtype", "quantization_type", "torch_dtype" })
            Assert.Equal(written.Setup.Config[option]!.ToJsonString(), derived.Setup.Config[option]!.ToJsonString());
        Assert.Equal(keep.Order(StringComparer.Ordinal), derived.Setup.Config.ModulesToNotConvert.Order(StringComparer.Ordinal));
        Assert.Equal(format == Format.F8E4M3 ? 2 : 0, derived.Setup.Environment.Count);
    }

    [Fact]
    public async Task A_byte_beyond_240_makes_a_folder_foreign_and_the_command_that_is_named_makes_it_right()
    {
        Write(Format.F8E4M3, Granularity.PerChannelSymmetric, ["lm_head"]);
        File.Delete(_model.PathOf("q/neuronquant.json"));
        string foreign = _model.Rewrite(_model.PathOf("q"), "foreign", (tensor, bytes) =>
        {
            if (tensor.Name == "layers.1.mlp.down_proj.weight") bytes[7] = 0xFE; // -448 in e4m3fn
            return [(new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes)];
        });
        File.Copy(Path.Combine(_model.Folder, "config.json"), Path.Combine(foreign, "config.json"));
        var (code, output, _) = await Nq.Run(["neuron", "config", foreign, "--out", _model.PathOf("c.json"), "--json"]);
        var said = JsonNode.Parse(output)!;
        Assert.Equal((1, "foreign", false), (code, (string)said["kind"]!, (bool)said["works"]!));
        var unconverted = NeuronConfig.For("f8e4m3", "per_channel_symmetric", ["lm_head"], foreign);
        Assert.Contains(NeuronConfigCheck.Run(NeuronSetup.Of(unconverted)).Errors, finding => finding.Message.Contains("beyond 240",
            StringComparison.Ordinal));
        var served = VllmServing.Create(new ServingRequest(NeuronSetup.Of(NeuronConfig.Unquantized()), foreign));
        Assert.Contains("issue 9", Assert.Single(served.Findings).Message, StringComparison.Ordinal);
        Assert.Empty(VllmServing.Create(new ServingRequest(NeuronSetup.Of(NeuronConfig.Unquantized()), _model.Folder)).Findings);
        string remedy = (string)said["findings"]![0]!["remedy"]!;
        Assert.Contains("layers.1.mlp.down_proj.weight", (string)said["findings"]![0]!["message"]!, StringComparison.Ordinal);
        Assert.Contains("from 448 to 240: nq quantize ", remedy, StringComparison.Ordinal);
        string command = remedy[(remedy.IndexOf("nq ", StringComparison.Ordinal) + 3)..remedy.IndexOf(". This", StringComparison.Ordinal)];
        Assert.Equal(0, (await Nq.Run(command.Split(' '))).Code);
        var check = await Nq.Run(["neuron", "check", _model.PathOf("c.json"), "--model", foreign]);
        Assert.True(check.Code == 0, check.Output);
        Assert.Equal(0, (await Nq.Run(["neuron", "config", $"{foreign}-nxd"])).Code);
    }

    [Fact]
    public void The_check_reads_the_bytes_of_a_folder_that_has_no_record()
    {
        Write(Format.Int8, Granularity.PerChannelSymmetric, []);
        File.Delete(_model.PathOf("q/neuronquant.json"));
        string[] Wrong(string dtype, string type, string folder) => [.. NeuronConfigCheck.Run(NeuronSetup.Of(NeuronConfig.For(dtype, type, [],
            folder)))
            .Errors.Select(finding => finding.Option)];
        Assert.Empty(Wrong("int8", "per_channel_symmetric", _model.PathOf("q")));
        Assert.Equal(["quantization_dtype"], Wrong("f8e5m2", "per_channel_symmetric", _model.PathOf("q")));
        Assert.Equal(["quantization_type"], Wrong("int8", "per_tensor_symmetric", _model.PathOf("q")));
        Assert.Equal(["quantized_checkpoints_path"], Wrong("int8", "per_channel_symmetric", _model.Folder)); // floating point
        Directory.CreateDirectory(_model.PathOf("empty"));
        Assert.Empty(Wrong("int8", "per_channel_symmetric", _model.PathOf("empty")));
    }

    [Theory]
    [InlineData("half", "in BF16")]
    [InlineData("flat", "[32, 1]")]
    [InlineData("inv", "weight_scale_inv")]
    [InlineData("columns", "a scale per")]
    [InlineData("blocks", "block scales of")]
    [InlineData("mixed", "int8 and f8e5m2")]
    public void A_form_that_NxD_does_not_load_is_foreign_and_says_why(string change, string words)
    {
        Write(Format.Int8, Granularity.PerChannelSymmetric, []);
        File.Delete(_model.PathOf("q/neuronquant.json"));
        string foreign = _model.Rewrite(_model.PathOf("q"), "foreign", (tensor, bytes) => tensor.Name switch
        {
            "layers.0.self_attn.o_proj.scale" when change == "half" => [(new TensorDeclaration(tensor.Name, TensorType.BF16, tensor.Shape),
                bytes[..(bytes.Length / 2)])],
            "layers.0.self_attn.o_proj.scale" when change == "flat" => [(new TensorDeclaration(tensor.Name, tensor.Type, [tensor.Shape[0]]), bytes)],
            "layers.0.self_attn.o_proj.scale" when change == "inv" => [(new TensorDeclaration(tensor.Name.Replace("scale", "weight_scale_inv",
                StringComparison.Ordinal), tensor.Type, tensor.Shape), bytes)],
            "layers.0.self_attn.o_proj.scale" when change == "columns" => [(new TensorDeclaration(tensor.Name, tensor.Type, [tensor.Shape[0], 2]), [.. bytes, .. bytes])],
            "layers.0.self_attn.o_proj.scale" when change == "blocks" => [(new TensorDeclaration(tensor.Name, tensor.Type, [2, 2]), bytes[..16])],
            "layers.0.self_attn.o_proj.weight" when change == "mixed" => [(new TensorDeclaration(tensor.Name, TensorType.F8E5M2, tensor.Shape),
                bytes)],
            _ => [(new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes)],
        });
        if (change == "blocks")
        {
            var config = JsonNode.Parse(File.ReadAllText(Path.Combine(_model.Folder, "config.json")))!;
            config["quantization_config"] = new JsonObject { ["quant_method"] = "fp8", ["weight_block_size"] = new JsonArray(16, 16) };
            File.WriteAllText(Path.Combine(foreign, "config.json"), config.ToJsonString());
        }
        var derived = FolderConfig.Of(foreign);
        Assert.Equal(FolderKind.Foreign, derived.Kind);
        Assert.Contains(words, derived.Findings[0].Message, StringComparison.Ordinal);
        Assert.DoesNotContain("448", derived.Findings[0].Remedy, StringComparison.Ordinal);
    }

    [Fact]
    public void A_model_that_is_given_counts_before_the_folder_s_own()
    {
        Write(Format.Int8, Granularity.PerChannelSymmetric, []);
        using var source = _model.Open();
        File.Copy(Path.Combine(_model.Folder, "config.json"), _model.PathOf("q/config.json"), overwrite: true);
        Assert.Equal(NeuronSetup.LlamaClass, FolderConfig.Of(_model.PathOf("q")).Setup.ModelClass);
        Assert.Equal("NeuronQwen2ForCausalLM", FolderConfig.Of(_model.PathOf("q"), source.Config with { Family = ModelFamily.Qwen2 }).Setup.ModelClass);
    }

    [Fact]
    public void Float_and_fake_quantized_folders_and_a_file_say_what_they_are()
    {
        var plain = FolderConfig.Of(_model.Folder);
        Assert.Equal((FolderKind.Float, false, 0), (plain.Kind, plain.Setup.Config.Quantized,
            plain.Findings.Count(finding => finding.Severity == ConfigSeverity.Error)));
        using (var source = _model.Open())
            NeuronCheckpoint.Write(source, _model.PathOf("fake"), QuantizationPlan.Create(source, Format.Int8), CheckpointLayout.Fake);
        var fake = FolderConfig.Of(_model.PathOf("fake"));
        Assert.Equal((FolderKind.FakeQuantized, _model.PathOf("fake-nxd")), (fake.Kind, fake.Setup.Config.QuantizedCheckpointsPath));
        Assert.Contains(fake.Findings, finding => finding.Message.Contains("save_quantized_state_dict", StringComparison.Ordinal));
        Assert.Throws<NeuronException>(() => FolderConfig.Of(Path.Combine(_model.Folder, "model.safetensors")));
    }

    [Theory]
    [InlineData(Granularity.PerTensorSymmetric)]
    [InlineData(Granularity.PerChannelSymmetric)]
    public void The_folder_of_a_tied_model_is_right_with_lm_head_in_the_list_also_per_tensor_and_before_it_is_there(Granularity granularity)
    {
        using var tied = new TinyModel(tied: true);
        using var source = tied.Open();
        NeuronCheckpoint.Write(source, tied.PathOf("q"), QuantizationPlan.Create(source, Format.Int8, granularity));
        var config = FolderConfig.Of(tied.PathOf("q"), source.Config).Setup.Config.With("seq_len", 64);
        Assert.Equal(["lm_head"], config.ModulesToNotConvert);
        Assert.Empty(NeuronConfigCheck.Run(NeuronSetup.Of(config), source.Config, source).Findings);
        Assert.Empty(NeuronConfigCheck.Run(NeuronSetup.Of(config.With("quantized_checkpoints_path", "elsewhere")), source.Config).Findings);
        var more = config.With("quantized_checkpoints_path", "elsewhere").With("modules_to_not_convert", new JsonArray("lm_head", "layers.0.mlp"));
        Assert.Equal(granularity == Granularity.PerTensorSymmetric, NeuronConfigCheck.Run(NeuronSetup.Of(more), source.Config).Errors.Any());
    }

    private void Write(Format format, Granularity granularity, string[] keep)
    {
        using var source = _model.Open();
        NeuronCheckpoint.Write(source, _model.PathOf("q"), QuantizationPlan.Create(source, format, granularity, keep));
    }
}
