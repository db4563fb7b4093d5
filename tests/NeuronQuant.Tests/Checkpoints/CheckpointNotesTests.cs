using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Neuron;
using NeuronQuant.Quantization;
using NeuronQuant.Tests.Neuron;
using Xunit;

namespace NeuronQuant.Tests.Checkpoints;

/// <summary>What every command says of a model before its results: a contradicted tie, unread tensors, values that are no numbers, a stale index.</summary>
[Collection("notebooks")]
public sealed class CheckpointNotesTests : IDisposable
{
    private readonly TinyModel _model = new();

    public void Dispose() => _model.Dispose();

    private void Config(string field, JsonNode value)
    {
        string path = Path.Combine(_model.Folder, "config.json");
        var config = JsonNode.Parse(File.ReadAllText(path))!;
        config[field] = value;
        File.WriteAllText(path, config.ToJsonString());
    }

    private string With(string target, params (string Name, TensorType Type, long[] Shape, byte[] Bytes)[] more) => _model.Rewrite(_model.Folder, target, (tensor, bytes) =>
        tensor.Name == "model.norm.weight" ? [(new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes),
            .. more.Select(extra => (new TensorDeclaration(extra.Name, extra.Type, [.. extra.Shape]), extra.Bytes))]
        : [(new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes)]);

    [Fact]
    public async Task A_head_that_the_config_ties_and_the_file_trained_is_said_everywhere()
    {
        Config("tie_word_embeddings", true);
        using (var source = _model.Open())
        {
            Assert.Equal(HeadTie.Contradicted, source.HeadTie);
            var plan = QuantizationPlan.Create(source, Format.Int8);
            Assert.Contains("lm_head", plan.ModulesToNotConvert);
            Assert.DoesNotContain(plan.Notes, note => note.Contains("shares the embedding's weight", StringComparison.Ordinal));
            Assert.Contains(plan.Notes, note => note.Contains("overwrite this trained head", StringComparison.Ordinal));
            NeuronCheckpoint.Write(source, _model.PathOf("q"), plan);
            var report = CheckpointAudit.Run(source, _model.PathOf("q"));
            Assert.Equal(AuditDefect.HeadOverwritten, Assert.Single(report.Findings).Defect);
        }
        foreach (string[] command in new string[][] { ["inspect", _model.Folder], ["sensitivity", _model.Folder], ["audit", _model.Folder, _model.PathOf("q")],
            ["select", _model.Folder, "--average-bits", "9"], ["quantize", _model.Folder, "--out", _model.PathOf("r")], ["eval", _model.Folder] })
        {
            var (_, output, error) = await Nq.Run(command);
            Assert.Contains("overwrite this trained head", error, StringComparison.Ordinal);
            Assert.DoesNotContain("shares the embedding's weight", output + error, StringComparison.Ordinal);
        }
        Assert.Contains("head tied by config.json, but another one in the file", (await Nq.Run(["inspect", _model.Folder])).Output, StringComparison.Ordinal);
    }

    [Fact]
    public void A_stored_head_that_is_the_embedding_is_tied_also_in_another_type()
    {
        Config("tie_word_embeddings", true);
        float[] embedding;
        using (var source = _model.Open()) source.ReadFloats(source["model.embed_tokens.weight"], 0, embedding = new float[TinyModel.Vocabulary * TinyModel.Hidden]);
        string folder = _model.Rewrite(_model.Folder, "tied", (tensor, bytes) => tensor.Name == "lm_head.weight"
            ? [(new TensorDeclaration(tensor.Name, TensorType.F32, tensor.Shape), MemoryMarshal.AsBytes(embedding.AsSpan()).ToArray())]
            : [(new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes)]);
        using var tied = Checkpoint.Open(folder);
        Assert.Equal(HeadTie.Tied, tied.HeadTie);
        Assert.Empty(CheckpointNotes.Of(tied));
    }

    [Fact]
    public async Task Tensors_that_nothing_reads_are_named()
    {
        string folder = With("extra", ("model.layers.0.self_attn.q_proj.bias", TensorType.BF16, [32], new byte[64]), ("model.layers.1.self_attn.q_proj.bias", TensorType.BF16, [32], new byte[64]),
            ("base_model.lora_A.default.weight", TensorType.BF16, [4, 4], new byte[32]));
        Assert.Equal(0, (await Nq.Run(["quantize", folder, "--out", _model.PathOf("q")])).Code);
        foreach (string[] command in new string[][] { ["inspect", folder], ["quantize", folder, "--out", _model.PathOf("r")], ["audit", folder, _model.PathOf("q")], ["eval", folder] })
        {
            string error = (await Nq.Run(command)).Error;
            Assert.Contains("nothing reads 3 of the tensors", error, StringComparison.Ordinal);
            Assert.Contains("layers.*.self_attn.q_proj.bias (2), base_model.lora_A.default.weight", error, StringComparison.Ordinal);
        }
        using var source = Checkpoint.Open(folder);
        Assert.Contains(CheckpointAudit.Run(source, _model.PathOf("q")).Notes, note => note.Contains("lora_A", StringComparison.Ordinal));
        var summary = (await Nq.Run(["inspect", _model.Folder])).Output.Split('\n')[1];
        Assert.Equal("Llama of 2 layers; BF16; not quantized; head not tied; nothing unread", summary.TrimEnd());
        Assert.Contains("3 tensors unread, model.layers.0.self_attn.q_proj.bias the first", (await Nq.Run(["inspect", folder])).Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("model.embed_tokens.weight", 0x7FC0)]
    [InlineData("model.layers.1.input_layernorm.weight", 0xFF80)]
    [InlineData("lm_head.weight", 0x7F81)]
    public async Task A_value_that_is_no_number_in_a_copied_tensor_is_named(string tensor, int code)
    {
        Assert.Equal(0, (await Nq.Run(["quantize", _model.Folder, "--out", _model.PathOf("q"), "--keep", "lm_head"])).Code);
        string folder = _model.Rewrite(_model.Folder, "broken", (info, bytes) =>
        {
            if (info.Name == tensor) BitConverter.TryWriteBytes(bytes.AsSpan(2 * 7), (ushort)code);
            return [(new TensorDeclaration(info.Name, info.Type, info.Shape), bytes)];
        });
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), "{}");
        foreach (string command in new[] { "quantize", "gptq", "autoround" })
        {
            var (exit, _, error) = await Nq.Run([command, folder, "--out", _model.PathOf(command), "--keep", "lm_head"]);
            Assert.Equal(1, exit);
            Assert.Contains($"{tensor}: element 7 is a NaN or an infinity in bf16", error, StringComparison.Ordinal);
            Assert.False(File.Exists(_model.PathOf(command + "/model.safetensors")));
        }
        var (found, output, _) = await Nq.Run(["audit", folder, _model.PathOf("q")]);
        Assert.Equal(1, found);
        Assert.Contains("NotFinite", output, StringComparison.Ordinal);
        Assert.Contains(tensor, output, StringComparison.Ordinal);
    }

    [Fact]
    public void Not_finite_is_found_at_any_place_of_a_span()
    {
        for (int length = 0; length < 70; length++)
            for (int at = 0; at < length; at++)
            {
                var codes = new ushort[length];
                Array.Fill(codes, (ushort)0x7F7F);
                Assert.Equal(-1, FiniteValues.IndexOf(codes));
                codes[at] = 0xFF80;
                Assert.Equal(at, FiniteValues.IndexOf(codes));
            }
    }

    [Fact]
    public void An_index_may_list_what_no_shard_has_if_the_config_does_not_need_it()
    {
        using var files = new TestFiles();
        File.Copy(Path.Combine(_model.Folder, "config.json"), files.PathOf("config.json"));
        File.Copy(Path.Combine(_model.Folder, "model.safetensors"), files.PathOf("a.safetensors"));
        string[] names;
        using (var source = _model.Open()) names = [.. source.Tensors.Select(tensor => tensor.Name)];
        void Index(params (string Tensor, string Shard)[] more) => files.Text("model.safetensors.index.json",
            new JsonObject { ["weight_map"] = new JsonObject(names.Select(name => (name, "a.safetensors")).Concat(more).Select(entry => KeyValuePair.Create(entry.Item1, (JsonNode?)entry.Item2))) }.ToJsonString());
        Index(("mtp.layers.0.weight", "a.safetensors"), ("model.layers.2.mlp.up_proj.weight", "b.safetensors"), ("reward.weight", "b.safetensors"));
        using (var checkpoint = Checkpoint.Open(files.Folder))
        {
            Assert.Equal(names, checkpoint.Tensors.Select(tensor => tensor.Name));
            Assert.Contains("lists 3 tensors that no shard has and config.json does not ask for", Assert.Single(checkpoint.Notes), StringComparison.Ordinal);
        }
        Index(("model.layers.1.mlp.up_proj.bias", "a.safetensors"));
        Assert.Equal(CheckpointFailure.ShardLacksTensor, Assert.Throws<CheckpointException>(() => Checkpoint.Open(files.Folder)).Failure);
        Index(("model.layers.1.mlp.up_proj.weight_scale", "b.safetensors"));
        Assert.Equal(CheckpointFailure.ShardMissing, Assert.Throws<CheckpointException>(() => Checkpoint.Open(files.Folder)).Failure);
        Index(("reward.weight", "b.safetensors"));
        File.Delete(files.PathOf("config.json"));
        Assert.Equal(CheckpointFailure.ShardMissing, Assert.Throws<CheckpointException>(() => Checkpoint.Open(files.Folder)).Failure);
    }

    [Fact]
    public async Task A_rope_that_is_not_computed_stops_only_what_computes()
    {
        Config("rope_scaling", new JsonObject { ["rope_type"] = "yarn", ["factor"] = 4.0 });
        foreach (string[] command in new string[][] { ["inspect", _model.Folder], ["sensitivity", _model.Folder], ["quantize", _model.Folder, "--out", _model.PathOf("q")],
            ["audit", _model.Folder, _model.PathOf("q")], ["plan", _model.Folder], ["select", _model.Folder, "--average-bits", "9"] })
        {
            var (code, _, error) = await Nq.Run(command);
            Assert.Equal(0, code);
            Assert.Contains("the type \"yarn\"", error, StringComparison.Ordinal);
        }
        foreach (string[] command in new string[][] { ["eval", _model.Folder], ["generate", _model.Folder, "--prompt", "x"], ["gptq", _model.Folder, "--out", _model.PathOf("g")] })
        {
            var (code, _, error) = await Nq.Run(command);
            Assert.Equal(1, code);
            Assert.Contains("computes no forward pass. Quantizing, auditing and planning need none", error, StringComparison.Ordinal);
        }
    }
}
