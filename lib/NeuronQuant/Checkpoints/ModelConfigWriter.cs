using System.Text.Json;

namespace NeuronQuant.Checkpoints;

/// <summary>The fields of config.json for a model that is saved as bf16, so that transformers and this library read the same model back.</summary>
/// <remarks>What ModelConfig does not hold (dropout, initialisation) is left out: transformers fills in defaults that do not change inference.</remarks>
internal static class ModelConfigWriter
{
    /// <summary>The whole file.</summary>
    public static byte[] Bytes(ModelConfig config)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            Write(json, config);
            json.WriteEndObject();
        }
        return stream.ToArray();
    }

    private static void Write(Utf8JsonWriter json, ModelConfig config)
    {
        var (type, architecture) = config.Family switch
        {
            ModelFamily.Mistral => ("mistral", "MistralForCausalLM"),
            ModelFamily.Qwen2 => ("qwen2", "Qwen2ForCausalLM"),
            ModelFamily.Qwen3 => ("qwen3", "Qwen3ForCausalLM"),
            _ => ("llama", "LlamaForCausalLM"),
        };
        json.WriteStartArray("architectures");
        json.WriteStringValue(architecture);
        json.WriteEndArray();
        json.WriteString("model_type", type);
        WriteSizes(json, config);
        json.WriteNumber("rms_norm_eps", config.RmsNormEpsilon);
        json.WriteNumber("rope_theta", config.RopeTheta);
        if (config.RopeScaling is { } scaling) WriteScaling(json, scaling);
        json.WriteString("hidden_act", config.HiddenActivation);
        json.WriteBoolean("tie_word_embeddings", config.TieWordEmbeddings);
        WriteFamilyFields(json, config);
        WriteTokens(json, config);
        json.WriteString("torch_dtype", "bfloat16");
    }

    private static void WriteSizes(Utf8JsonWriter json, ModelConfig config)
    {
        json.WriteNumber("hidden_size", config.HiddenSize);
        json.WriteNumber("intermediate_size", config.IntermediateSize);
        json.WriteNumber("num_hidden_layers", config.LayerCount);
        json.WriteNumber("num_attention_heads", config.HeadCount);
        json.WriteNumber("num_key_value_heads", config.KeyValueHeadCount);
        json.WriteNumber("head_dim", config.HeadSize);
        json.WriteNumber("vocab_size", config.VocabularySize);
        json.WriteNumber("max_position_embeddings", config.MaxPositionEmbeddings);
    }

    private static void WriteScaling(Utf8JsonWriter json, RopeScaling scaling)
    {
        json.WriteStartObject("rope_scaling");
        json.WriteString("rope_type", "llama3");
        json.WriteNumber("factor", scaling.Factor);
        json.WriteNumber("low_freq_factor", scaling.LowFrequencyFactor);
        json.WriteNumber("high_freq_factor", scaling.HighFrequencyFactor);
        json.WriteNumber("original_max_position_embeddings", scaling.OriginalMaxPositionEmbeddings);
        json.WriteEndObject();
    }

    private static void WriteFamilyFields(Utf8JsonWriter json, ModelConfig config)
    {
        if (config.Family == ModelFamily.Llama)
        {
            json.WriteBoolean("attention_bias", config.HasOutputBias);
            json.WriteBoolean("mlp_bias", config.HasMlpBias);
            return;
        }
        if (config.Family is ModelFamily.Qwen2 or ModelFamily.Qwen3)
        {
            json.WriteBoolean("use_sliding_window", config.SlidingWindow is not null);
            json.WriteNumber("max_window_layers", config.FirstSlidingLayer);
        }
        if (config.Family == ModelFamily.Qwen3) json.WriteBoolean("attention_bias", config.HasOutputBias);
        if (config.SlidingWindow is int window) json.WriteNumber("sliding_window", window);
        else json.WriteNull("sliding_window");
    }

    private static void WriteTokens(Utf8JsonWriter json, ModelConfig config)
    {
        if (config.BeginTokenId is int begin) json.WriteNumber("bos_token_id", begin);
        if (config.EndTokenIds is [int only]) json.WriteNumber("eos_token_id", only);
        else if (config.EndTokenIds.Length > 1)
        {
            json.WriteStartArray("eos_token_id");
            foreach (int token in config.EndTokenIds) json.WriteNumberValue(token);
            json.WriteEndArray();
        }
        if (config.PadTokenId is int pad) json.WriteNumber("pad_token_id", pad);
    }
}
