"""The model of the release itself on this machine's processor: the graph's own modules in ordinary torch, without a compiler and without a device.

to_cpu builds the float model by the release's to_cpu (models/application_base.py:554-626, SDK 2.28). converted builds the quantized one, which
to_cpu does not do: it never calls convert, and it loads with strict=False, so that codes would silently become weights. Here convert is called as it
is for a graph (models/model_wrapper.py:1454-1530, load_module), and what the folder holds must be exactly what the modules ask for.

It proves that the folder fits the modules of the release, under its names, and that these compute what our engine computes. It does not prove
that the compiler keeps that, nor what a chip computes.
"""
import os
import socket

from .protocol import BridgeError
from .session import module, opened

CACHE = "kv_mgr."  # The cache lies among the parameters (modules/kvcache/kv_cache_manager.py:153-165, 2.28) and comes from no folder.


def to_cpu(session):
    """The float model of an opened configuration: float32, tp_degree 1, not quantized."""
    model = _able(session, quantized=False)
    os.environ.setdefault("MASTER_PORT", str(_free_port()))  # to_cpu takes 29500 otherwise, which may be taken (:579-584)
    try:
        model.to_cpu()
    except NotImplementedError as error:
        raise BridgeError(f"This release of NxD Inference cannot run {type(model).__name__} on a CPU: {error}. "
                          "Use the way over bytes: --bytes-only.") from error
    session.on_cpu = True
    return {"modules": _count(model)}


def converted(session):
    """The quantized model of an opened configuration, after to_cpu in the same process, which made the groups that its layers need."""
    model = _able(session, quantized=True)
    if not session.on_cpu:
        raise BridgeError("The layers need the process groups that to_cpu makes. Call to_cpu with the float configuration first.")
    shard = module("neuronx_distributed.trace.trace").get_sharded_checkpoint
    instance = model.models[0].get_model_instance()
    instance.load_module()
    graph, state = instance.module, model.checkpoint_loader_fn()
    given = [name for name in state if name.endswith(".scale")]
    shard(state, graph, 0, 1)  # Renames to the graph's modules; drops in silence what none asks for (nxd v2.28.0, trace/trace.py:640-644).
    _strict(graph, state, len(given))
    graph.eval()
    for wrapper in model.models:
        wrapper.model = graph
    return {"modules": _count(model), "quantized": sum(name.endswith(".scale") for name in graph.state_dict())}


def cpu_logits(session, ids):
    """The logits of the token after a row of token ids: [vocabulary]. One prompt, from an empty cache."""
    if not session.on_cpu:
        raise BridgeError("No model is on the CPU. Call to_cpu first.")
    torch, model = module("torch"), opened(session)
    limits = model.neuron_config
    if len(ids) > limits.max_context_length:
        raise BridgeError(f"The prompt has {len(ids)} tokens; max_context_length is {limits.max_context_length}.")
    model.reset()
    row = torch.tensor([ids])
    with torch.no_grad():  # from position 0 it is a prompt (models/model_base.py:3388, 2.28)
        output = model.forward(input_ids=row, attention_mask=torch.ones_like(row), position_ids=torch.arange(len(ids)).unsqueeze(0))
    return {"logits": output.logits.reshape(-1, output.logits.shape[-1])[-1].to(torch.float32).tolist()}


def _able(session, quantized):
    model, torch = opened(session), module("torch")
    config = model.neuron_config
    for able, words in ((hasattr(model, "to_cpu"), f"This release's {type(model).__name__} has no to_cpu; SDK 2.28.1 has it"),
                        (config.torch_dtype == torch.float32, "It runs in float32: set torch_dtype"),
                        (config.tp_degree == 1, "It runs in one process: set tp_degree 1"),
                        (bool(config.quantized) is quantized, f"The configuration must {'' if quantized else 'not '}be quantized here")):
        if not able:
            raise BridgeError(f"{words}.")
    return model


def _strict(graph, state, scales):
    """Every parameter but the cache from the folder, with the type that the module has, and every scale of the folder in use."""
    own = graph.state_dict()
    for name, tensor in own.items():
        if name in state and state[name].dtype != tensor.dtype:
            raise BridgeError(f"{name} is {state[name].dtype} in the folder and {tensor.dtype} in the model: a module is quantized on one side only. "
                              "Compare modules_to_not_convert with nq audit.")
    used = sum(name.endswith(".scale") for name in state)
    if used != scales:
        raise BridgeError(f"The folder has {scales} scales and the model takes {used} of them: a module is quantized on one side only. "
                          "Compare modules_to_not_convert with nq audit.")
    cache = {name: tensor for name, tensor in own.items() if name.startswith(CACHE) and name not in state}
    graph.load_state_dict({**state, **cache}, strict=True)


def _count(model):
    return sum(1 for _ in model.models[0].model.modules())


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
