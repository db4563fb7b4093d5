"""The calls. Each takes JSON values and gives JSON values; one model is open at a time.

The order of a run: environment, open, (quantize,) compile, load, then generate, logits, agreement, benchmark, memory, conformance. The
configuration object that "open" makes is kept and used by compile and load alike: kv_quant_config does not survive neuron_config.json, so a
model is never loaded from its compiled folder alone.
"""
import importlib
import inspect
import itertools
import json
import logging
import os
import sys
import tempfile

from . import adapter, endings
from . import conformance as checks
from . import environment as machine
from . import monitor, weights
from .protocol import BridgeError

CLASSES = {
    "NeuronLlamaForCausalLM": "neuronx_distributed_inference.models.llama.modeling_llama",
    "NeuronQwen2ForCausalLM": "neuronx_distributed_inference.models.qwen2.modeling_qwen2",
    "NeuronMistralForCausalLM": "neuronx_distributed_inference.models.mistral.modeling_mistral",
}


class Session:
    """What stays between calls: the open model, its configuration, its tokenizer."""

    def __init__(self, log):
        self.log = log
        self.model = self.config = self.tokenizer = self.model_path = None
        self.loaded = False


def call(session, name, arguments):
    function = CALLS.get(name)
    if function is None:
        raise BridgeError(f"There is no call '{name}'. There are: {', '.join(sorted(CALLS))}.")
    try:
        inspect.signature(function).bind(session, **arguments)
    except TypeError as error:
        raise BridgeError(f"{name}: {error}") from error
    return function(session, **arguments)


def set_environment(session, variables):
    """Sets variables; refused once torch_xla is loaded, which reads them then and never again."""
    changed = {name: value for name, value in variables.items() if os.environ.get(name) != value}
    if changed and "torch_xla" in sys.modules:
        raise BridgeError(f"torch_xla is loaded already, so {', '.join(sorted(changed))} would come too late. Start a new process.")
    os.environ.update(changed)
    return {"changed": sorted(changed)}


def environment(session):
    return machine.report()


class _Unexpected(logging.Handler):
    """NeuronConfig logs options that it does not know and goes on. Here they end the call."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []

    def emit(self, record):
        if "Unexpected keyword arguments" in record.getMessage():
            self.messages.append(record.getMessage())


def open_model(session, model_path, neuron_config, model_class="NeuronLlamaForCausalLM"):
    """Makes the configuration and the application in memory. Nothing is compiled and no weight is read."""
    if model_class not in CLASSES:
        raise BridgeError(f"'{model_class}' is not a class that this bridge loads. There are: {', '.join(CLASSES)}.")
    torch, hf_adapter = _import("torch"), _import("neuronx_distributed_inference.utils.hf_adapter")
    application = getattr(_import(CLASSES[model_class]), model_class)
    options = dict(neuron_config)
    for name in ("torch_dtype", "attention_dtype", "rpl_reduce_dtype"):
        if isinstance(options.get(name), str):
            options[name] = getattr(torch, options[name].replace("torch.", ""))
    handler = _Unexpected()
    logging.getLogger().addHandler(handler)
    try:
        config_class = application.get_config_cls()
        config = config_class(application.get_neuron_config_cls()(**options), load_config=hf_adapter.load_pretrained_config(model_path))
    finally:
        logging.getLogger().removeHandler(handler)
    if handler.messages:
        raise BridgeError(f"{handler.messages[0]}. Correct the names: nq neuron check says which.")
    session.model, session.config, session.model_path = application(model_path, config), config, model_path
    session.tokenizer, session.loaded = None, False
    return {"model_class": model_class, "batch_size": config.neuron_config.batch_size, "max_length": config.neuron_config.max_length,
            "max_context_length": config.neuron_config.max_context_length}


def quantize(session):
    """Lets NxD Inference quantize. Refused where the C# library wrote the codes: they would be rounded a second time and lost."""
    model = _opened(session)
    target = session.config.neuron_config.quantized_checkpoints_path
    if not session.config.neuron_config.quantized:
        raise BridgeError("quantized is not true, so there is nothing to quantize. Set it together with quantized_checkpoints_path.")
    if weights.written_by_us(target):
        raise BridgeError(f"{target} holds {weights.RECORD}: its codes are final, and save_quantized_state_dict would overwrite them. Just load it.")
    os.makedirs(target, exist_ok=True)  # A path that is no folder would become one pickle file.
    type(model).save_quantized_state_dict(session.model_path, session.config)
    return {"folder": target, "files": sorted(os.listdir(target))}


def compile_model(session, path):
    """Compiles into a folder. Weights are not read."""
    _opened(session).compile(path)
    return {"folder": path, "files": sorted(os.listdir(path))}


def load(session, path):
    """Loads the compiled folder with the configuration object that it was compiled with, and the weights that it names."""
    model = _opened(session)
    source = session.config.neuron_config.quantized_checkpoints_path if session.config.neuron_config.quantized else session.model_path
    if not os.path.exists(source):
        raise BridgeError(f"There are no weights at {source}. Write them with nq quantize --layout nxd.")
    model.load(path)
    session.loaded = True
    return {"folder": path, "weights": source}


def generate(session, prompts, max_new_tokens, stops=()):
    """Continues prompts greedily, as many at once as were compiled; a smaller last batch is filled up by repetition."""
    answers = []
    for batch, count in _batches(session, prompts):
        output, width, tokenizer = _generate(session, batch, max_new_tokens, stop_strings=list(stops) or None)
        for row in output.sequences.tolist()[:count]:
            new, ended = endings.answer(row[width:], _ends(session), tokenizer.pad_token_id, tokenizer, stops)
            answers.append({"ids": new, "text": tokenizer.decode(new, skip_special_tokens=True), "truncated": not ended})
    return {"answers": answers}


def logits(session, prompts=None, max_new_tokens=1, ids=None):
    """The logits of each new token up to the end token, [token][vocabulary], after texts or after token ids of one length. With sampling on the device, output_logits
    must have been compiled in."""
    if (prompts is None) == (ids is None):
        raise BridgeError("Give either prompts or ids.")
    neuron_config = _opened(session).neuron_config
    if neuron_config.on_device_sampling_config is not None and not neuron_config.output_logits:
        raise BridgeError("The model samples on the device and gives no logits. Compile it with output_logits, or without on_device_sampling_config.")
    rows = []
    for batch, count in _batches(session, prompts if ids is None else ids):
        output, width, _ = _generate(session, batch, max_new_tokens, output_logits=True)
        steps = [step.tolist() for step in output.logits]
        for i in range(count):
            new = output.sequences.tolist()[i][width:]
            last = next((position + 1 for position, token in enumerate(new) if token in _ends(session)), len(new))  # what follows is padding
            rows.append({"ids": new[:last], "logits": [step[i] for step in steps[:last]]})
    return {"rows": rows}


def agreement(session, prompts, expected, max_new_tokens):
    """How many tokens agree with an expected continuation. Exact equality is too strict for a quantized model; a rate is not."""
    answers = generate(session, prompts, max_new_tokens)["answers"]
    rows = []
    for answer, wanted in zip(answers, expected, strict=True):
        same = [left == right for left, right in itertools.zip_longest(answer["ids"], wanted)]  # an answer that ends early differs from there on
        rows.append({"tokens": len(same), "agreeing": sum(same), "first_difference": same.index(False) if False in same else None})
    total = sum(row["tokens"] for row in rows)
    return {"rows": rows, "rate": sum(row["agreeing"] for row in rows) / total if total else None}


def benchmark(session, runs=20, report_path=None):
    """benchmark_sampling and its report; greedy, so that the end token cannot shorten a run where sampling is on the device."""
    model = _loaded(session)
    module, transformers = _import("neuronx_distributed_inference.utils.benchmark"), _import("transformers")
    _adapter(session)
    generation = transformers.GenerationConfig(do_sample=False, top_k=1, top_p=1.0, temperature=1.0, **_special(session))
    with tempfile.TemporaryDirectory() as folder:
        path = report_path or os.path.join(folder, "benchmark_report.json")
        module.benchmark_sampling(model, generation_config=generation, num_runs=runs, benchmark_report_path=path)
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
    return {"runs": runs, "batch_size": model.neuron_config.batch_size, "report": report}


def memory(session, samples=2, timeout=30):
    return monitor.sample(samples, timeout)


def conformance(session):
    """Compares the folder byte by byte with what NxD Inference itself would have quantized: the first thing to do on a host, on a toy model."""
    model = _opened(session)
    folder = session.config.neuron_config.quantized_checkpoints_path
    state = type(model).generate_quantized_state_dict(session.model_path, session.config)
    return checks.compare(state, folder, checks.is_tied(session.model_path), _import("torch"))


def _import(name):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise BridgeError(f"'{error.name}' is not installed in {sys.executable}. Create the environment of environment.yml, or use the Neuron "
                          "image's own: /opt/aws_neuronx_venv_pytorch_2_9_nxd_inference/bin/python.") from error


def _opened(session):
    if session.model is None:
        raise BridgeError("No model is open. Call open first.")
    return session.model


def _loaded(session):
    if not session.loaded:
        raise BridgeError("The model is not loaded. Call load first.")
    return _opened(session)


def _tokenizer(session):
    if session.tokenizer is None:
        tokenizer = _import("transformers").AutoTokenizer.from_pretrained(session.model_path, padding_side=session.config.neuron_config.padding_side)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        session.tokenizer = tokenizer
    return session.tokenizer


def _special(session):
    tokenizer = _tokenizer(session)
    return {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": _ends(session)}


def _batches(session, prompts):
    size = _loaded(session).neuron_config.batch_size
    for start in range(0, len(prompts), size):
        part = list(prompts[start:start + size])
        yield part + [part[-1]] * (size - len(part)), len(part)


def _generate(session, prompts, max_new_tokens, **extra):
    model, tokenizer = _loaded(session), _tokenizer(session)
    if isinstance(prompts[0], str):
        inputs = tokenizer(prompts, padding=True, return_tensors="pt")
        input_ids, mask = inputs.input_ids, inputs.attention_mask
    else:
        input_ids = _import("torch").tensor(prompts)
        mask = _import("torch").ones_like(input_ids)
    width = input_ids.shape[1]
    limits = model.neuron_config
    if width > limits.max_context_length or width + max_new_tokens > limits.max_length:
        raise BridgeError(f"A prompt has {width} tokens and its answer may have {max_new_tokens}; compiled were max_context_length "
                          f"{limits.max_context_length} and max_length {limits.max_length}. Shorten the prompt, or compile for longer ones.")
    transformers = _import("transformers")
    generation = transformers.GenerationConfig(do_sample=False, top_k=1, max_new_tokens=max_new_tokens, return_dict_in_generate=True,
                                               output_logits=extra.pop("output_logits", False), **_special(session))
    if extra.get("stop_strings"):
        extra["tokenizer"] = tokenizer
    output = _adapter(session)(model).generate(input_ids, attention_mask=mask, generation_config=generation,
                                                                  **{name: value for name, value in extra.items() if value is not None})
    return output, width, tokenizer


def _ends(session):
    return endings.end_tokens(session.model_path, _tokenizer(session))


def _adapter(session):
    """The adapter's class, mended where its release needs it."""
    module = _import("neuronx_distributed_inference.utils.hf_adapter")
    for mended in adapter.repair(module, session.model):
        session.log(f"NxD Inference's generation adapter: {mended}")
    return module.HuggingFaceGenerationAdapter


CALLS = {
    "set_environment": set_environment, "environment": environment, "open": open_model, "quantize": quantize, "compile": compile_model, "load": load,
    "generate": generate, "logits": logits, "agreement": agreement, "benchmark": benchmark, "memory": memory, "conformance": conformance,
    "conformance_bytes": checks.bytes_only,
}
