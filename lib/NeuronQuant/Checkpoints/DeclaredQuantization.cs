namespace NeuronQuant.Checkpoints;

/// <summary>What the files beside the weights say of their quantization: config.json's quantization_config, or hf_quant_config.json.</summary>
/// <remarks>
/// compressed-tensors, ModelOpt, fbgemm and DeepSeek's "fp8" store a weight as code and scale whose product is the weight; that they
/// are said here does not make it so, the tensors decide (see <see cref="SourceScheme"/>). Any other method is refused: its codes are packed,
/// shifted or rotated; but GPTQ and auto-round say how theirs are packed, and where each weight bears it out they are read. compressed-tensors
/// wrote compression_config before it wrote quantization_config. ModelOpt writes hf_quant_config.json
/// ("quantization": {"quant_algo": "FP8"}), and newer releases also the same fields into config.json. Names as of vLLM 0.11,
/// model_executor/layers/quantization, and transformers 4.57, quantizers/auto.py.
/// </remarks>
/// <param name="Name">The scheme in words: compressed-tensors (float-quantized), ModelOpt (FP8), GPTQ (4 bits).</param>
/// <param name="IsExact">Whether the method can be one whose weights are code x scale.</param>
/// <param name="Block">Rows and columns that share a scale, where the files say so.</param>
internal sealed record DeclaredQuantization(string Name, bool IsExact, (int Rows, int Columns)? Block)
{
    /// <summary>How integers are packed, for GPTQ and auto-round; null where that is not said, or is not known here.</summary>
    public Packing? Packing { get; private init; }

    private const string ModelOptFile = "hf_quant_config.json";
    private const long LargestFile = 64_000_000; // Bytes; a list of every module of a large mixture of experts has some.

    private static readonly string[] ExactFormats = ["float-quantized", "int-quantized", "naive-quantized", "dense"];
    private static readonly string[] ExactAlgorithms = ["FP8", "FP8_PER_CHANNEL_PER_TOKEN", "FP8_PB_WO"];

    /// <summary>Reads what the folder of a config.json says; null when it says nothing.</summary>
    public static DeclaredQuantization? Read(string configPath)
    {
        if (File.Exists(configPath))
        {
            using var document = JsonFile.Read(configPath, LargestFile, CheckpointFailure.ConfigNotFound, CheckpointFailure.ConfigNotJson);
            var fields = new ConfigFields(configPath, document.RootElement);
            foreach (string name in new[] { "quantization_config", "compression_config" })
                if (fields.OptionalObject(name) is { } quantization) return Of(quantization);
            if (fields.OptionalObject("quantization") is not null) return new DeclaredQuantization("MLX (packed integers)", false, null);
        }
        string other = Path.Combine(Path.GetDirectoryName(configPath) ?? "", ModelOptFile);
        if (!File.Exists(other)) return null;
        using var modelOpt = JsonFile.Read(other, LargestFile, CheckpointFailure.ConfigNotFound, CheckpointFailure.ConfigNotJson);
        return new ConfigFields(other, modelOpt.RootElement).OptionalObject("quantization") is { } algorithm ? ModelOpt(algorithm) : null;
    }

    private static DeclaredQuantization? Of(ConfigFields fields)
    {
        string? method = fields.OptionalText("quant_method")?.ToLowerInvariant().Replace('_', '-');
        return method switch
        {
            "compressed-tensors" => CompressedTensors(fields),
            "modelopt" or "modelopt-fp4" => ModelOpt(fields),
            null when fields.Has("quant_algo") => ModelOpt(fields),
            "fbgemm-fp8" => new DeclaredQuantization("fbgemm fp8", true, null),
            "fp8" => new DeclaredQuantization("fp8", true, Pair(fields, "weight_block_size")),
            null => new DeclaredQuantization("an unnamed method", false, null),
            "gptq" => Bits("GPTQ", fields) with { Packing = Gptq(fields) },
            "awq" => Bits("AWQ", fields),
            "auto-round" or "intel/auto-round" => Bits("auto-round", fields) with { Packing = AutoRound(fields) },
            "bitsandbytes" => new DeclaredQuantization(
                $"bitsandbytes ({(fields.OptionalFlag("load_in_4bit") ?? false ? "4 bits" : "8 bits")})", false, null),
            _ => Bits(method, fields),
        };
    }

    private static DeclaredQuantization Bits(string method, ConfigFields fields) =>
        new(fields.OptionalInteger("bits") is int bits ? $"{method} ({bits} bits)" : method, false, null);

    private static Packing? Gptq(ConfigFields fields) => fields.OptionalText("checkpoint_format") switch
    {
        null or "gptq" => PackingOf(fields, zeroIsLessOne: true),
        "gptq_v2" => PackingOf(fields, zeroIsLessOne: false),
        _ => null,
    };

    // auto-round's own packing, which older releases used for zero points and wrote as backend, stores them as they are; without either name
    // only symmetric weights are known to be GPTQ's.
    private static Packing? AutoRound(ConfigFields fields)
    {
        if (fields.OptionalText("data_type") is not (null or "int")) return null;
        string? format = fields.OptionalText("packing_format"), backend = fields.OptionalText("backend");
        bool isGptq = format is not null ? format == "auto_round:auto_gptq"
            : backend is not null ? backend.Contains("gptq", StringComparison.Ordinal) : fields.OptionalFlag("sym") is true;
        return isGptq ? PackingOf(fields, zeroIsLessOne: true) : null;
    }

    private static Packing? PackingOf(ConfigFields fields, bool zeroIsLessOne) =>
        fields.OptionalInteger("bits") is int bits and (2 or 4 or 8) && fields.OptionalInteger("group_size") is int group and (-1 or > 0)
            ? new Packing(bits, group, fields.OptionalFlag("desc_act") ?? false, zeroIsLessOne) : null;

    // A transform is a rotation that the runtime applies between layers, and a sparse file keeps only some weights: no product either way.
    private static DeclaredQuantization CompressedTensors(ConfigFields fields)
    {
        string? format = fields.OptionalText("format"), sparse = fields.OptionalObject("sparsity_config")?.OptionalText("format");
        bool rotated = fields.OptionalObject("transform_config")?.OptionalObject("config_groups") is { IsEmpty: false };
        bool whole = sparse is null or "dense";
        string name = $"compressed-tensors ({format ?? "no format"}{(whole ? "" : $", {sparse}")}{(rotated ? ", with transforms" : "")})";
        return new DeclaredQuantization(name, (format is null || ExactFormats.Contains(format)) && whole && !rotated, GroupBlock(fields));
    }

    // Blocks are said for each group of modules; groups that differ say nothing for all.
    private static (int, int)? GroupBlock(ConfigFields fields)
    {
        var blocks = fields.OptionalObject("config_groups")?.Objects()
            .Select(group => group.OptionalObject("weights")).Select(weights => weights is null ? null : Pair(weights, "block_structure"))
            .Distinct().ToArray();
        return blocks is [var only] ? only : null;
    }

    private static DeclaredQuantization? ModelOpt(ConfigFields fields)
    {
        string? algorithm = fields.OptionalText("quant_algo");
        if (algorithm is null) return null; // Only the cache is quantized.
        bool exact = ExactAlgorithms.Contains(algorithm.ToUpperInvariant());
        return new DeclaredQuantization($"ModelOpt ({algorithm})", exact, null);
    }

    private static (int, int)? Pair(ConfigFields fields, string name)
    {
        if (fields.IsText(name)) return null; // Some writers put the pair into a string; the shapes then tell it.
        var sizes = fields.OptionalIntegers(name);
        return sizes is [> 0 and var rows, > 0 and var columns] ? (rows, columns) : sizes.Count == 0 ? null
            : throw fields.Value(name, $"[{string.Join(", ", sizes)}]", "two sizes above 0");
    }
}
