"""The application class at SDK 2.28 (nxdi cd3abf3): compile, load, quantize, forward. FAKE_NXDI=step:failure makes a step fail as real ones do."""
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import torch
from neuronx_distributed_inference.models.config import LlamaInferenceConfig, NeuronConfig
from neuronx_distributed_inference.models.llama import forward as second
from neuronx_distributed_inference.models.llama import loader
from torch_neuronx.utils import get_platform_target

get_platform_target()  # modeling_llama.py:107 and :131: the import itself asks for the chip


def trouble(step):
    wanted, _, failure = os.environ.get("FAKE_NXDI", "").partition(":")
    if wanted != step:
        return
    if failure == "ncc":
        raise RuntimeError("neuronx-cc failed: [NCC_IXCG856] error in MATCH_REPLACE8 while compiling for --target=inf2")
    if failure == "oom":
        raise RuntimeError("RESOURCE_EXHAUSTED: Failed to allocate 1073741824 bytes on nd0:nc0 (Allocation Failure)")
    if failure == "busy":
        raise RuntimeError("nrt_init failed: NRT_RESOURCE, Logical Neuron Core(s) not available - Requested:2 Available:0")
    if failure == "disk":
        raise OSError(28, "No space left on device")
    if failure == "exit":
        sys.__stderr__.write("fatal: runtime error in native code\n")
        sys.__stderr__.flush()
        os._exit(9)
    if failure == "hang":
        child = subprocess.Popen(["sleep", "600"])
        print(f"started worker {child.pid}")
        if os.environ.get("FAKE_NXDI_WORKER"):
            with open(os.environ["FAKE_NXDI_WORKER"], "w", encoding="utf-8") as file:
                file.write(f"{child.pid}\n")
        for _ in range(60000):
            time.sleep(0.01)  # Python code: an interrupt reaches it
    if failure == "native":
        print("native code holds on")
        time.sleep(8)  # one call into native code: an interrupt waits for its end
    if failure == "stop":
        os.kill(os.getpid(), 19)  # SIGSTOP: alive, and silent


class NeuronLlamaForCausalLM:
    def __init__(self, model_path, config=None, neuron_config=None):
        """models/model_base.py:3069-3110."""
        trouble("open")
        assert isinstance(config, LlamaInferenceConfig)
        self.model_path, self.config, self.neuron_config = model_path, config, config.neuron_config
        self.on_device_sampling = self.neuron_config.on_device_sampling_config is not None
        self.is_loaded_to_neuron, self._prompts = False, None
        if os.environ.get("FAKE_NXDI_RELEASE") == "head":
            self.forward = self.forward_with_hook

    @classmethod
    def get_config_cls(cls):
        """models/llama/modeling_llama.py:1572."""
        return LlamaInferenceConfig

    @classmethod
    def get_neuron_config_cls(cls):
        """models/application_base.py:224-226."""
        return NeuronConfig

    def compile(self, compiled_model_path, debug=False, pre_shard_weights_hook=None, dry_run=False):
        """models/application_base.py:292-315: neuron_config.json, then model.pt; no weight is read."""
        self.config.save(compiled_model_path)
        print("tracing", compiled_model_path)
        os.write(1, b"a compiler writes to descriptor 1\n")
        trouble("compile")
        if os.environ.get("FAKE_NXDI") == "compile:nothing":
            return
        with open(os.path.join(compiled_model_path, "model.pt"), "wb") as file:
            file.write(f"graph for {get_platform_target()}".encode())

    def load(self, compiled_model_path, start_rank_id=None, local_ranks_size=None, skip_warmup=False):
        """models/application_base.py:317-330 and :628-681: the weights of the folder that the configuration names."""
        trouble("load")
        assert os.path.isfile(os.path.join(compiled_model_path, "model.pt")), "not compiled"
        loader.check(self.neuron_config.quantized_checkpoints_path if self.neuron_config.quantized else self.model_path, self.config)
        self.is_loaded_to_neuron = True

    def reset(self):
        """models/model_base.py:3942-3946."""
        assert self.is_loaded_to_neuron
        self._prompts = None

    def forward(self, input_ids=None, seq_ids=None, attention_mask=None, position_ids=None, input_capture_hook=None, return_dict=None):
        """models/model_base.py:3355: no **kwargs, no tensor_capture_hook. The answer is FAKE_NXDI_ANSWER; logits of the first new token are computed
        from the loaded weights, those of later tokens, and of a prompt with characters that the vocabulary lacks, are two made-up values."""
        rows = input_ids.tolist()
        first = self._prompts is None
        self._prompts = self._prompts or len(rows[0])
        answers = os.environ.get("FAKE_NXDI_ANSWER", " The answer is 7.\n#### 7").split("|")
        place = len(rows[0]) - self._prompts
        tokens = [ord(text[place]) if place < len(text) else 2 for text in (answers[i % len(answers)] for i in range(len(rows)))]
        known = first and max(map(max, rows)) < self.config.vocab_size
        real = [[token for token, is_real in zip(row, mask) if is_real] for row, mask in zip(rows, attention_mask.tolist())]
        return SimpleNamespace(tokens=tokens, logits=lambda: self._logits(real) if known else [[float(token), 0.5] for token in tokens])

    def _logits(self, rows):
        """In plain Python they take seconds, so they are computed for those who ask."""
        folder = self.neuron_config.quantized_checkpoints_path if self.neuron_config.quantized else self.model_path
        return [second.logits(self.config, folder, ids) for ids in rows]

    def forward_with_hook(self, input_ids=None, attention_mask=None, return_dict=None, tensor_capture_hook=None):
        """models/model_base.py:3333 at head: the key is taken."""
        return type(self).forward(self, input_ids, attention_mask=attention_mask, return_dict=return_dict)

    @classmethod
    def save_quantized_state_dict(cls, model_path, config):
        """models/application_base.py:745-769."""
        assert os.path.isdir(config.neuron_config.quantized_checkpoints_path), "a path that is no folder becomes a pickle"
        with open(os.path.join(config.neuron_config.quantized_checkpoints_path, "model.safetensors"), "wb") as file:
            file.write((2).to_bytes(8, "little") + b"{}")
        trouble("quantize")

    @classmethod
    def generate_quantized_state_dict(cls, model_path, config):
        """models/application_base.py:771-790, but the folder's own bytes, or with FAKE_NXDI=conformance:differ one byte of the first scale
        changed."""
        from neuron_bridge import weights

        trouble("conformance")
        found = weights.tensors_of(config.neuron_config.quantized_checkpoints_path)
        state = {name: torch.ByteTensor(weights.bytes_of(tensor)) for name, tensor in found.items()}
        state["layers.0.self_attn.q_proj.bias"] = None  # as the real one has it
        if os.environ.get("FAKE_NXDI") == "conformance:differ":
            name = next(name for name in sorted(state) if name.endswith(".scale"))
            state[name] = torch.ByteTensor(bytes([state[name].data[0] ^ 1]) + state[name].data[1:])
        return state
