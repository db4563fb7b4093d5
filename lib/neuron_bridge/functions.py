"""The calls. Each takes JSON values and gives JSON values; one model is open at a time.

The order of a run: environment, target, open, (quantize,) compile, load, then generate, logits, agreement, benchmark, memory, conformance. The
configuration object that "open" makes is kept and used by compile and load alike: kv_quant_config does not survive neuron_config.json, so a
model is never loaded from its compiled folder alone.
"""
import inspect
import logging
import os
import sys

from . import conformance as checks
from . import environment as machine
from . import monitor, on_cpu, weights
from .compiling import compile_model, target
from .generation import agreement, benchmark, generate, logits
from .protocol import BridgeError
from .session import Session, module, opened

__all__ = ["CALLS", "Session", "call"]

CLASSES = {
    "NeuronLlamaForCausalLM": "neuronx_distributed_inference.models.llama.modeling_llama",
    "NeuronQwen2ForCausalLM": "neuronx_distributed_inference.models.qwen2.modeling_qwen2",
    "NeuronMistralForCausalLM": "neuronx_distributed_inference.models.mistral.modeling_mistral",
}


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
    torch, hf_adapter = module("torch"), module("neuronx_distributed_inference.utils.hf_adapter")
    application = getattr(module(CLASSES[model_class]), model_class)
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
    model = opened(session)
    target = session.config.neuron_config.quantized_checkpoints_path
    if not session.config.neuron_config.quantized:
        raise BridgeError("quantized is not true, so there is nothing to quantize. Set it together with quantized_checkpoints_path.")
    if weights.written_by_us(target):
        raise BridgeError(f"{target} holds {weights.RECORD}: its codes are final, and save_quantized_state_dict would overwrite them. Just load it.")
    os.makedirs(target, exist_ok=True)  # A path that is no folder would become one pickle file.
    type(model).save_quantized_state_dict(session.model_path, session.config)
    return {"folder": target, "files": sorted(os.listdir(target))}


def load(session, path):
    """Loads the compiled folder with the configuration object that it was compiled with, and the weights that it names."""
    model = opened(session)
    source = session.config.neuron_config.quantized_checkpoints_path if session.config.neuron_config.quantized else session.model_path
    if not os.path.exists(source):
        raise BridgeError(f"There are no weights at {source}. Write them with nq quantize --layout nxd.")
    model.load(path)
    session.loaded = True
    return {"folder": path, "weights": source}


def memory(session, samples=2, timeout=30):
    return monitor.sample(samples, timeout)


def conformance(session):
    """Compares the folder byte by byte with what NxD Inference itself would have quantized: the first thing to do on a host, on a toy model."""
    model = opened(session)
    folder = session.config.neuron_config.quantized_checkpoints_path
    state = type(model).generate_quantized_state_dict(session.model_path, session.config)
    return checks.compare(state, folder, checks.is_tied(session.model_path), module("torch"))


CALLS = {
    "set_environment": set_environment, "environment": environment, "open": open_model, "quantize": quantize, "target": target,
    "compile": compile_model, "load": load,
    "generate": generate, "logits": logits, "agreement": agreement, "benchmark": benchmark, "memory": memory, "conformance": conformance,
    "conformance_bytes": checks.bytes_only, "to_cpu": on_cpu.to_cpu, "converted": on_cpu.converted, "cpu_logits": on_cpu.cpu_logits,
}
