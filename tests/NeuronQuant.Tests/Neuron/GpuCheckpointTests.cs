using System.Text.Json;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Neuron;
using NeuronQuant.Quantization;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

public class GpuCheckpointTests
{
    private const string Up = "model.layers.1.mlp.up_proj";

    [Fact]
    public void Auto_round_has_the_integers_where_the_format_puts_them()
    {
        using var model = new TinyModel();
        using var source = model.Open();
        var plan = Plan(source);
        GpuCheckpoint.Write(source, model.PathOf("gpu"), plan, GpuLayout.AutoRound);
        var expected = RoundToNearest.Quantize(WeightMatrix.Of(source, source[$"{Up}.weight"]), Grid.Nxd());
        using var written = Checkpoint.OpenStored(model.PathOf("gpu"));
        Assert.Equal(("8,48", TensorType.I32), (string.Join(',', written[$"{Up}.qweight"].Shape), written[$"{Up}.qweight"].Type));
        byte[] words = written.Bytes(written[$"{Up}.qweight"], 0, 48 * 32).ToArray();
        for (int row = 0; row < 48; row++) // byte c % 4 of the word [c / 4, row]
            for (int column = 0; column < 32; column++)
                Assert.Equal(expected.Integers[row * 32 + column] + 128, words[(column / 4 * 48 + row) * 4 + column % 4]);
        Assert.All(written.Bytes(written[$"{Up}.qzeros"], 0, 48).ToArray(), zero => Assert.Equal(127, zero));
        Assert.All(written.Bytes(written[$"{Up}.g_idx"], 0, 32 * 4).ToArray(), index => Assert.Equal(0, index));
        for (int row = 0; row < 48; row++)
            Assert.Equal((Half)expected.Scales[row], BitConverter.ToHalf(written.Bytes(written[$"{Up}.scales"], 2 * row, 2)));
        Assert.Equal(TensorType.BF16, written["lm_head.weight"].Type);
        var config = Config(model.PathOf("gpu"));
        Assert.Equal(("auto-round", "auto_round:auto_gptq", 8, -1, true), (config.GetProperty("quant_method").GetString(), config.GetProperty("packing_format").GetString(),
            config.GetProperty("bits").GetInt32(), config.GetProperty("group_size").GetInt32(), config.GetProperty("sym").GetBoolean()));
    }

    [Fact]
    public void Compressed_tensors_keeps_codes_and_float32_scales()
    {
        using var model = new TinyModel();
        using var source = model.Open();
        GpuCheckpoint.Write(source, model.PathOf("gpu"), Plan(source, "layers.0.self_attn"), GpuLayout.CompressedTensors);
        var expected = RoundToNearest.Quantize(WeightMatrix.Of(source, source[$"{Up}.weight"]), Grid.Nxd());
        using var written = Checkpoint.OpenStored(model.PathOf("gpu"));
        Assert.Equal(expected.Codes, written.Bytes(written[$"{Up}.weight"], 0, 48 * 32).ToArray());
        var scales = new float[48];
        written.ReadFloats(written[$"{Up}.weight_scale"], 0, scales);
        Assert.Equal(expected.Scales, scales);
        Assert.Equal(TensorType.BF16, written["model.layers.0.self_attn.q_proj.weight"].Type);
        var config = Config(model.PathOf("gpu"));
        Assert.Equal(("compressed-tensors", "int-quantized"), (config.GetProperty("quant_method").GetString(), config.GetProperty("format").GetString()));
        Assert.Equal(["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj", "model.layers.0.self_attn.v_proj", "model.layers.0.self_attn.o_proj", "lm_head"],
            config.GetProperty("ignore").EnumerateArray().Select(name => name.GetString()));
        var group = config.GetProperty("config_groups").GetProperty("group_0");
        Assert.Equal(("channel", "token"), (group.GetProperty("weights").GetProperty("strategy").GetString(), group.GetProperty("input_activations").GetProperty("strategy").GetString()));
    }

    [Theory]
    [InlineData(GpuLayout.CompressedTensors, 8, null, "nxd")]
    [InlineData(GpuLayout.CompressedTensors, 8, null, "half")]
    [InlineData(GpuLayout.CompressedTensors, 8, null, "autoround")]
    [InlineData(GpuLayout.AutoRound, 8, null, "nxd")]
    [InlineData(GpuLayout.AutoRound, 8, null, "autoround")]
    [InlineData(GpuLayout.AutoRound, 8, 32, "half")]
    [InlineData(GpuLayout.AutoRound, 4, 32, "nxd")]
    [InlineData(GpuLayout.AutoRound, 4, null, "autoround")]
    public void Integers_come_back_equal_and_those_that_NxDI_would_change_are_counted(GpuLayout layout, int bits, int? group, string name)
    {
        var grid = Grid.Parse(name, bits);
        if (group is { } size) grid = grid.InGroups(size);
        using var source = Checkpoint.Open(Repository.PathOf("data", "demo-model"));
        string folder = Directory.CreateTempSubdirectory("neuronquant-").FullName;
        try
        {
            var plan = Plan(source);
            var record = GpuCheckpoint.Write(source, folder, plan, layout, grid);
            using var read = Checkpoint.Open(folder);
            long changed = 0, weights = 0;
            foreach (var module in plan.Modules.Except(plan.Kept))
            {
                var tensor = read.Find(module, "weight")!;
                var intended = RoundToNearest.Quantize(WeightMatrix.Of(source, source.Find(module, "weight")!), grid);
                var values = WeightMatrix.Of(read, tensor);
                float[] restored = values.ToArray();
                for (int i = 0; i < restored.Length; i++)
                {
                    // bf16 and the 16-bit scale are each off by less than half a step of 128.
                    float scale = intended.Scale(i / intended.Columns, i % intended.Columns);
                    Assert.Equal(intended.Integers[i], Math.Clamp(MathF.Round(restored[i] / (layout == GpuLayout.AutoRound ? (float)(Half)scale : scale)), -128, 127));
                }
                if (grid.WhyNotOnNeuron is null) changed += SecondRounding.Compare(intended, RoundToNearest.Quantize(values, Grid.Nxd())).Changed;
                weights += restored.Length;
            }
            Assert.Equal((weights, grid.WhyNotOnNeuron is null ? changed : null), (record.Weights, record.IntegersChanged));
            // On NxDI's grid the extreme of a row rounds to the same bf16 number again, also with a float16 scale. Those of 127.5 and 128 lose some.
            if (record.IntegersChanged is { } count && name == "nxd") Assert.Equal(0, count);
            else if (record.IntegersChanged is { } lost) Assert.InRange((double)lost / weights, 1e-4, 0.2);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Theory]
    [InlineData("nxd")]
    [InlineData("half")]
    public void A_bf16_scale_as_llm_compressor_stores_it_keeps_the_integers_and_costs_NxDI_some(string name)
    {
        using var model = new TinyModel();
        using var source = model.Open();
        var plan = Plan(source);
        GpuCheckpoint.Write(source, model.PathOf("gpu"), plan, GpuLayout.CompressedTensors, Grid.Parse(name));
        string theirs = model.Rewrite(model.PathOf("gpu"), "theirs", (tensor, bytes) => tensor.Name.EndsWith("_scale", StringComparison.Ordinal)
            ? [(new TensorDeclaration(tensor.Name, TensorType.BF16, tensor.Shape), Bf16(bytes))] : [(new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes)]);
        using var read = Checkpoint.Open(theirs);
        long changed = 0, weights = 0;
        foreach (var module in plan.Modules.Except(plan.Kept))
        {
            var ours = RoundToNearest.Quantize(WeightMatrix.Of(source, source.Find(module, "weight")!), Grid.Parse(name));
            var stored = ours with { Scales = [.. ours.Scales.Select(BFloat16.Round)] };
            var values = WeightMatrix.Of(read, read.Find(module, "weight")!);
            Assert.Equal(stored.DequantizeBf16().Select(BFloat16.Decode), values.ToArray());
            Assert.Equal(ours.Integers.ToArray().Select(code => (float)code),
                values.ToArray().Select((value, i) => Math.Clamp(MathF.Round(value / stored.Scale(i / ours.Columns)), -128, 127)));
            var there = SecondRounding.Replay(stored);
            Assert.Equal(there, SecondRounding.Compare(stored, RoundToNearest.Quantize(values, Grid.Nxd())));
            (changed, weights) = (changed + there.Changed, weights + there.Weights);
        }
        Assert.InRange((double)changed / weights, 1e-4, 0.1);
    }

    private static byte[] Bf16(byte[] floats)
    {
        var values = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(floats);
        var codes = new ushort[values.Length];
        BFloat16.Encode(values, codes);
        return System.Runtime.InteropServices.MemoryMarshal.AsBytes(codes.AsSpan()).ToArray();
    }

    [Fact]
    public void Chosen_codes_are_written_as_they_are()
    {
        using var model = new TinyModel();
        using var source = model.Open();
        var plan = Plan(source);
        var chosen = new QuantizedModules("mine", plan.Modules.Except(plan.Kept).ToDictionary(module => module, module =>
        {
            var weight = RoundToNearest.Quantize(WeightMatrix.Of(source, source.Find(module, "weight")!), Grid.Nxd());
            weight.Codes[0] = 5;
            return weight;
        }));
        GpuCheckpoint.Write(source, model.PathOf("gpu"), plan, GpuLayout.CompressedTensors, chosen: chosen);
        using var written = Checkpoint.OpenStored(model.PathOf("gpu"));
        Assert.Equal(5, written.Bytes(written[$"{Up}.weight"], 0, 1)[0]);
        Assert.Throws<QuantizationException>(() => GpuCheckpoint.Write(source, model.PathOf("b"), plan, GpuLayout.CompressedTensors, Grid.Half(), chosen: chosen));
    }

    [Fact]
    public void What_a_layout_or_vLLM_does_not_hold_is_refused_with_the_remedy()
    {
        using var model = new TinyModel();
        using var source = model.Open();
        Refused("lm_head", QuantizationPlan.Create(source, Format.Int8), GpuLayout.AutoRound, null);
        Refused("all of them or none", Plan(source, "layers.0.self_attn.q_proj", "layers.0.self_attn.qkv_proj.q_proj"), GpuLayout.CompressedTensors, null);
        Refused("Use layout auto-round", Plan(source), GpuLayout.CompressedTensors, Grid.Nxd(4));
        Refused("4 and 8 bits", Plan(source), GpuLayout.AutoRound, Grid.Nxd(3));
        Refused("zero points", Plan(source), GpuLayout.AutoRound, Grid.Asymmetric());
        Refused("groups of 32 columns", Plan(source), GpuLayout.AutoRound, Grid.Nxd(4).InGroups(32)); // down_proj has 48 columns
        Refused("int8 per_channel_symmetric", QuantizationPlan.Create(source, Format.F8E4M3, modulesToNotConvert: ["lm_head"]), GpuLayout.AutoRound, null);

        void Refused(string words, QuantizationPlan plan, GpuLayout layout, Grid? grid) => Assert.Contains(words,
            Assert.Throws<QuantizationException>(() => GpuCheckpoint.Write(source, model.PathOf("gpu"), plan, layout, grid)).Message);
    }

    [Fact]
    public void NxDI_is_not_given_a_packed_folder()
    {
        using var model = new TinyModel();
        using var source = model.Open();
        GpuCheckpoint.Write(source, model.PathOf("gpu"), Plan(source), GpuLayout.AutoRound);
        var config = FolderConfig.Of(model.PathOf("gpu"));
        Assert.Equal(FolderKind.Foreign, config.Kind);
        Assert.Contains(config.Findings, finding => finding.ToString().Contains("packed", StringComparison.Ordinal));
    }

    private static QuantizationPlan Plan(Checkpoint source, params string[] keep) => QuantizationPlan.Create(source, Format.Int8,
        modulesToNotConvert: source.Config.TieWordEmbeddings ? keep : [.. keep, "lm_head"]);

    private static JsonElement Config(string folder) =>
        JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "config.json"))).RootElement.GetProperty("quantization_config");
}
