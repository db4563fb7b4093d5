using System.Text;
using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;

namespace NeuronQuant.Neuron;

/// <summary>
/// The Python that a session runs, as one script to read, to keep beside a result, or to run by hand on the host: variables first, then the
/// configuration, compile, load with the same object, one generation, the benchmark.
/// </summary>
/// <remarks>
/// Four lines mend the generation adapter of SDK 2.28, as the bridge does (lib/neuron_bridge/adapter.py): utils/hf_adapter.py:313 uses a name that
/// is defined nowhere, and forward, models/model_base.py:3355, does not take it. They change nothing on a release that has both repairs.
/// </remarks>
public static class NeuronScript
{
    /// <summary>Writes the script.</summary>
    /// <param name="setup">the configuration</param>
    /// <param name="modelPath">the folder with config.json and tokenizer</param>
    /// <param name="compiledPath">where the graph goes</param>
    public static string Of(NeuronSetup setup, string modelPath, string compiledPath)
    {
        modelPath = HubCache.Resolve(modelPath);
        var text = new StringBuilder("import os\n");
        foreach (var (name, value) in setup.Config.RequiredEnvironment)
            text.Append($"os.environ[{Quote(name)}] = {Quote(value)}  # before torch_xla loads\n");
        bool qwen = setup.ModelClass == "NeuronQwen2ForCausalLM";
        string options = qwen ? "qwen2.modeling_qwen2 import Qwen2NeuronConfig as NeuronConfig" : "config import NeuronConfig";
        var (room, config) = qwen ? ("qwen2", "Qwen2InferenceConfig") : ("llama", "LlamaInferenceConfig");
        text.Append($$"""

            import functools
            from inspect import signature

            import torch
            from transformers import AutoTokenizer, GenerationConfig
            from neuronx_distributed_inference.models.{{options}}
            from neuronx_distributed_inference.models.{{room}}.modeling_{{room}} import {{config}}, {{setup.ModelClass}}
            from neuronx_distributed_inference.utils import hf_adapter
            from neuronx_distributed_inference.utils.benchmark import benchmark_sampling
            from neuronx_distributed_inference.utils.hf_adapter import HuggingFaceGenerationAdapter, load_pretrained_config

            neuron_config = {{setup.Config.ToPython()}}
            config = {{config}}(neuron_config, load_config=load_pretrained_config({{Quote(modelPath)}}))
            model = {{setup.ModelClass}}({{Quote(modelPath)}}, config)  # no save_quantized_state_dict: the folder's codes are final
            model.compile({{Quote(compiledPath)}})
            model.load({{Quote(compiledPath)}})  # the same object: kv_quant_config does not survive neuron_config.json

            hf_adapter.tensor_capture_hook = getattr(hf_adapter, "tensor_capture_hook", None)  # used by 2.28, and defined nowhere
            prepare, takes = HuggingFaceGenerationAdapter.prepare_inputs_for_generation, "tensor_capture_hook" in signature(model.forward).parameters
            keep = lambda *args, **kwargs: {name: value for name, value in prepare(*args, **kwargs).items() if takes or name != "tensor_capture_hook"}
            HuggingFaceGenerationAdapter.prepare_inputs_for_generation = functools.wraps(prepare)(keep)

            tokenizer = AutoTokenizer.from_pretrained({{Quote(modelPath)}}, padding_side="right")
            tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
            inputs = tokenizer(["Hello"] * neuron_config.batch_size, padding=True, return_tensors="pt")
            generation = GenerationConfig(do_sample=False, top_k=1, top_p=1.0, temperature=1.0, pad_token_id=tokenizer.pad_token_id,
                                          eos_token_id={{EndTokens(modelPath)}}, max_new_tokens=32)
            output = HuggingFaceGenerationAdapter(model).generate(inputs.input_ids, attention_mask=inputs.attention_mask,
                                                                  generation_config=generation)
            print(tokenizer.batch_decode(output, skip_special_tokens=True))
            benchmark_sampling(model, generation_config=generation, num_runs=20, benchmark_report_path="benchmark_report.json")

            """);
        return text.ToString();
    }

    // The list, where the model's files name one: a model may end in several ways, and its tokenizer knows one.
    private static string EndTokens(string modelPath)
    {
        string path = Path.Combine(modelPath, "config.json");
        var tokens = File.Exists(path) ? ModelConfig.Read(path).EndTokenIds : [];
        return tokens.Length == 0 ? "tokenizer.eos_token_id" : $"[{string.Join(", ", tokens)}]";
    }

    private static string Quote(string text) => JsonValue.Create(text).ToJsonString(ConfigJson.Plain);
}
