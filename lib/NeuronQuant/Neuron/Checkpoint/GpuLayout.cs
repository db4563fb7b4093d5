using System.Text.Json.Nodes;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>How a folder for a GPU stores its codes.</summary>
public enum GpuLayout
{
    /// <summary>compressed-tensors, int-quantized: a byte a code, a float32 scale a row. vLLM multiplies it by activations in int8, too.</summary>
    CompressedTensors,

    /// <summary>auto-round's auto_round:auto_gptq: packed integers of 4 or 8 bits, also in groups, 16-bit scales. Activations stay.</summary>
    AutoRound,
}

/// <summary>What config.json says of the codes, for the loaders of both layouts.</summary>
/// <remarks>
/// vLLM has no int8 weights with 16-bit activations in int-quantized: without input_activations it refuses the scheme
/// (quantization/compressed_tensors/compressed_tensors.py, _get_scheme_from_parts). So the folder says "token, dynamic", which rounds activations
/// to int8 as they come. For weights alone use auto-round's layout. Neither quantizes the head: vLLM's is no linear layer.
/// </remarks>
internal static class GpuConfig
{
    public static string Name(GpuLayout layout) => layout == GpuLayout.CompressedTensors ? "compressed-tensors" : "auto-round";

    public static JsonObject Of(GpuLayout layout, QuantizationPlan plan, Grid grid) =>
        layout == GpuLayout.CompressedTensors ? CompressedTensors(plan) : AutoRound(plan, grid);

    // compressed-tensors, src/compressed_tensors/quantization/quant_config.py and quant_args.py: the fields of a config_group.
    private static JsonObject CompressedTensors(QuantizationPlan plan) => new()
    {
        ["quant_method"] = "compressed-tensors",
        ["format"] = "int-quantized",
        ["quantization_status"] = "compressed",
        ["config_groups"] = new JsonObject
        {
            ["group_0"] = new JsonObject
            {
                ["targets"] = new JsonArray("Linear"),
                ["weights"] = Arguments("channel", dynamic: false),
                ["input_activations"] = Arguments("token", dynamic: true),
                ["output_activations"] = null,
            },
        },
        ["ignore"] = new JsonArray([.. Ignored(plan).Select(name => JsonValue.Create(name))]),
        ["kv_cache_scheme"] = null,
    };

    // auto-round, export/export_to_autoround/export.py; read by vLLM's quantization/auto_round.py: 16 bits leave a layer alone.
    private static JsonObject AutoRound(QuantizationPlan plan, Grid grid)
    {
        var config = new JsonObject
        {
            ["quant_method"] = "auto-round",
            ["packing_format"] = "auto_round:auto_gptq",
            ["bits"] = grid.Bits,
            ["group_size"] = grid.GroupSize ?? -1,
            ["sym"] = true,
            ["data_type"] = "int",
            ["block_name_to_quantize"] = "model.layers",
        };
        var kept = plan.Kept.Where(module => module.Type != "lm_head").ToArray();
        if (kept.Length > 0)
            config["extra_config"] = new JsonObject(kept.Select(module => KeyValuePair.Create<string, JsonNode?>(
                module.HuggingFaceName, new JsonObject { ["bits"] = 16, ["data_type"] = "float" })));
        return config;
    }

    private static JsonObject Arguments(string strategy, bool dynamic) => new()
    {
        ["num_bits"] = 8,
        ["type"] = "int",
        ["symmetric"] = true,
        ["strategy"] = strategy,
        ["dynamic"] = dynamic,
        ["group_size"] = null,
        ["actorder"] = null,
        ["block_structure"] = null,
    };

    private static IEnumerable<string> Ignored(QuantizationPlan plan) =>
        plan.Kept.Select(module => module.HuggingFaceName).Append("lm_head").Distinct();

    /// <summary>Refuses what the layout, or vLLM's loader of it, does not hold.</summary>
    /// <exception cref="QuantizationException">with the remedy</exception>
    public static void Check(GpuLayout layout, QuantizationPlan plan, Grid grid)
    {
        if (plan.Format != Format.Int8 || plan.Granularity != Granularity.PerChannelSymmetric || !grid.IsInteger)
            throw new QuantizationException("plan", $"layout {Name(layout)} holds integers with scales along rows; make the plan int8 "
                + "per_channel_symmetric.");
        if (grid.HasZeroPoint)
            throw new QuantizationException("plan", $"layout {Name(layout)} is written symmetric, and the grid '{grid}' has zero points. Use a "
                + "symmetric grid, or layout fake.");
        if (layout == GpuLayout.CompressedTensors && (grid.Bits != 8 || grid.GroupSize is not null))
            throw new QuantizationException("plan", $"int-quantized holds 8 bits with one scale a row, and the grid is '{grid}'. Use layout "
                + "auto-round.");
        if (layout == GpuLayout.AutoRound && (grid.Bits is not (4 or 8) || grid.GroupSize is not (null or 32 or 64 or 128)))
            throw new QuantizationException("plan", $"vLLM reads packed codes of 4 and 8 bits, in groups of 32, 64, 128 or a row, and the grid "
                + $"is '{grid}'.");
        CheckModules(layout, plan);
    }

    private static void CheckModules(GpuLayout layout, QuantizationPlan plan)
    {
        var kept = plan.Kept.ToHashSet();
        if (plan.Modules.FirstOrDefault(module => module.Type == "lm_head" && !kept.Contains(module)) is { } head)
            throw new QuantizationException(head.Name, $"vLLM does not quantize the head in layout {Name(layout)} and would read codes as "
                + "weights. Keep it: lm_head.");
        foreach (string[] fused in new[] { new[] { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj" }, ["mlp.gate_proj", "mlp.up_proj"] })
            foreach (var layer in plan.Modules.Where(module => fused.Contains(module.Type)).GroupBy(module => module.Layer))
                if (layer.Select(kept.Contains).Distinct().Count() > 1)
                    throw new QuantizationException(layer.First().Name,
                        $"vLLM fuses {string.Join(", ", fused)} into one layer, and of this one some stay in bf16 and some do not. Keep all of "
                            + "them or none.");
    }
}
