namespace NeuronQuant.Checkpoints;

/// <summary>Reads config.json with the defaults of transformers, per family, and checks that the numbers fit each other.</summary>
/// <remarks>
/// A default is applied only where transformers has one that published configs rely on: num_key_value_heads = heads, head_dim = hidden / heads,
/// rope_theta = 10,000, hidden_act = silu, no tied embeddings. Sizes have no default: a missing one is an error, because transformers would
/// silently assume those of Llama 7B. The traps, from configuration_mistral.py and configuration_qwen2.py:
///   sliding_window  Mistral: a field left out means 4096, null means none (Nemo writes null). Qwen2 and Qwen3: it counts only with
///                   use_sliding_window, and only from layer max_window_layers on (28 by default). Llama: there is none.
///   attention_bias  Llama and Qwen3: on q, k, v and o. Qwen2: q, k and v always have one and o never. Mistral: none.
///   rope            in one of three places; see RopeFields.
/// </remarks>
internal static class ModelConfigReader
{
    private const long LargestConfig = 16_000_000; // Bytes; real ones have a few thousand.
    private const int MostLayers = 10_000; // Far above any model; keeps a hostile number from becoming a long loop.
    private const int WidestSize = 1 << 24; // Likewise for widths, so that products of two fit into 64 bits and of heads into 32.
    private const int MistralWindow = 4096, Qwen2Window = 4096, Qwen2FirstSlidingLayer = 28;

    private static readonly (ModelFamily Family, string Type, string Architecture)[] Known =
    [
        (ModelFamily.Llama, "llama", "LlamaForCausalLM"), (ModelFamily.Mistral, "mistral", "MistralForCausalLM"),
        (ModelFamily.Qwen2, "qwen2", "Qwen2ForCausalLM"), (ModelFamily.Qwen3, "qwen3", "Qwen3ForCausalLM"),
    ];

    public static ModelConfig Read(string path)
    {
        using var document = JsonFile.Read(path, LargestConfig, CheckpointFailure.ConfigNotFound, CheckpointFailure.ConfigNotJson);
        var fields = new ConfigFields(path, document.RootElement);
        var family = Family(fields);
        int heads = Size(fields, "num_attention_heads"), hidden = Size(fields, "hidden_size");
        var rope = RopeFields.Read(fields);
        bool llamaBias = family is ModelFamily.Llama or ModelFamily.Qwen3 && (fields.OptionalFlag("attention_bias") ?? false);
        var config = new ModelConfig
        {
            File = path,
            Family = family,
            HiddenSize = hidden,
            IntermediateSize = Size(fields, "intermediate_size"),
            LayerCount = Layers(fields),
            HeadCount = heads,
            KeyValueHeadCount = KeyValueHeads(fields, heads),
            HeadSize = HeadSize(fields, hidden, heads),
            VocabularySize = Size(fields, "vocab_size"),
            MaxPositionEmbeddings = fields.Count("max_position_embeddings"),
            RmsNormEpsilon = fields.Positive("rms_norm_eps"),
            RopeTheta = rope.Theta,
            RopeScaling = rope.Scaling,
            NotComputed = rope.NotComputed,
            HiddenActivation = fields.OptionalText("hidden_act") ?? "silu",
            TieWordEmbeddings = fields.OptionalFlag("tie_word_embeddings") ?? false,
            HasQueryKeyValueBias = llamaBias || family == ModelFamily.Qwen2,
            HasQueryKeyNorm = family == ModelFamily.Qwen3,
            HasOutputBias = llamaBias,
            HasMlpBias = family == ModelFamily.Llama && (fields.OptionalFlag("mlp_bias") ?? false),
            SlidingWindow = Window(fields, family),
            FirstSlidingLayer = family is ModelFamily.Qwen2 or ModelFamily.Qwen3 ? FirstSlidingLayer(fields) : 0,
            BeginTokenId = fields.OptionalInteger("bos_token_id"),
            EndTokenIds = GenerationConfig.EndTokens(path, fields.OptionalIntegers("eos_token_id")),
            PadTokenId = fields.OptionalInteger("pad_token_id"),
            WeightType = WeightType(fields),
            QuantizationMethod = fields.OptionalObject("quantization_config") is { } quantization
                ? quantization.OptionalText("quant_method") ?? "unknown" : null,
        };
        CheckLayerTypes(fields, config);
        return config;
    }

    private static ModelFamily Family(ConfigFields fields)
    {
        string? type = fields.OptionalText("model_type"), architecture = fields.OptionalTexts("architectures").FirstOrDefault();
        if (type is null && architecture is null) throw fields.Missing("model_type");
        string remedy = $"{OtherFamilies.Known(type, architecture)}Use a Llama, Mistral, Qwen2 or Qwen3 checkpoint; other models have other modules.";
        int byType = Array.FindIndex(Known, row => row.Type == type), byName = Array.FindIndex(Known, row => row.Architecture == architecture);
        if (type is not null && byType < 0)
            throw fields.Unsupported("model_type", CheckpointException.Quote(type), string.Join(", ", Known.Select(row => row.Type)), remedy);
        if (architecture is not null && byName < 0)
            throw fields.Unsupported("architectures", CheckpointException.Quote(architecture),
                string.Join(", ", Known.Select(row => row.Architecture)), remedy);
        if (type is not null && architecture is not null && byType != byName)
            throw fields.Value("architectures", CheckpointException.Quote(architecture), $"{Known[byType].Architecture}, since model_type is {type}");
        return Known[Math.Max(byType, byName)].Family;
    }

    private static int Size(ConfigFields fields, string name)
    {
        int size = fields.Count(name);
        return size <= WidestSize ? size : throw fields.Value(name, $"{size}", $"at most {WidestSize}");
    }

    private static int Layers(ConfigFields fields)
    {
        int layers = fields.Count("num_hidden_layers");
        return layers <= MostLayers ? layers : throw fields.Value("num_hidden_layers", $"{layers}", $"at most {MostLayers}");
    }

    private static int KeyValueHeads(ConfigFields fields, int heads)
    {
        int count = fields.OptionalCount("num_key_value_heads") ?? heads;
        return heads % count == 0 ? count : throw fields.Value("num_key_value_heads", $"{count}", $"a divisor of num_attention_heads, {heads}");
    }

    private static int HeadSize(ConfigFields fields, int hidden, int heads)
    {
        int? written = fields.OptionalCount("head_dim");
        if (written is null && hidden % heads != 0)
            throw fields.Value("num_attention_heads", $"{heads}", $"a divisor of hidden_size, {hidden}, as there is no head_dim");
        int size = written ?? hidden / heads;
        if (size % 2 != 0) throw fields.Value("head_dim", $"{size}", "an even width, since rotary embeddings turn pairs");
        return (long)size * heads <= WidestSize ? size : throw fields.Value("head_dim", $"{size}", $"at most {WidestSize} together with the heads");
    }

    private static int? Window(ConfigFields fields, ModelFamily family) => family switch
    {
        ModelFamily.Mistral when !fields.IsWritten("sliding_window") => MistralWindow,
        ModelFamily.Mistral => fields.OptionalCount("sliding_window"),
        ModelFamily.Qwen2 or ModelFamily.Qwen3 when fields.OptionalFlag("use_sliding_window") ?? false =>
            fields.IsWritten("sliding_window") ? fields.OptionalCount("sliding_window") : Qwen2Window,
        _ => null,
    };

    private static int FirstSlidingLayer(ConfigFields fields) =>
        fields.Has("max_window_layers") ? fields.Index("max_window_layers") : Qwen2FirstSlidingLayer;

    // transformers 5 may list the kind of every layer. We compute the list from the older fields, so it has to agree with them.
    private static void CheckLayerTypes(ConfigFields fields, ModelConfig config)
    {
        var written = fields.OptionalTexts("layer_types");
        if (written.Count == 0) return;
        var computed = Enumerable.Range(0, config.LayerCount)
            .Select(layer => config.SlidingWindowOf(layer) is null ? "full_attention" : "sliding_attention");
        if (!written.SequenceEqual(computed))
            throw fields.Unsupported("layer_types", $"a list of {written.Count} that differs from what the sliding window's fields say",
                $"{config.LayerCount} entries that agree with them", "This library does not mix attention kinds freely: remove or correct the list.");
    }

    private static TensorType? WeightType(ConfigFields fields)
    {
        string name = fields.Has("dtype") ? "dtype" : "torch_dtype";
        string? text = fields.OptionalText(name);
        return text switch
        {
            null => null,
            "bfloat16" or "torch.bfloat16" => TensorType.BF16,
            "float16" or "torch.float16" => TensorType.F16,
            "float32" or "torch.float32" => TensorType.F32,
            _ => throw fields.Unsupported(name, CheckpointException.Quote(text), "bfloat16, float16 or float32", "Correct or remove the field."),
        };
    }
}
