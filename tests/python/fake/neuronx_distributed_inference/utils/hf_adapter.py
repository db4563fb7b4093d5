"""The generation adapter: a fixed batch, right padding, greedy. Every prompt gets the answer of FAKE_NXDI_ANSWER.

Logits of the first new token are computed from the loaded weights; those of later tokens, and of a prompt with characters that the vocabulary
lacks, are two made-up values."""
import json
import os
from types import SimpleNamespace

from neuronx_distributed_inference.models.llama import forward
from neuronx_distributed_inference.models.llama.modeling_llama import trouble
from torch import Tensor


def load_pretrained_config(model_path_or_name=None, hf_config=None):
    def load_config(self):
        with open(os.path.join(model_path_or_name, "config.json"), encoding="utf-8") as file:
            self.__dict__.update(json.load(file))

    return load_config


class HuggingFaceGenerationAdapter:
    def __init__(self, model):
        self.model = model

    def generate(self, input_ids, attention_mask, generation_config, stop_strings=None, tokenizer=None):
        self.model.reset()
        trouble("generate")
        limits = self.model.neuron_config
        assert len(input_ids.tolist()) == limits.batch_size, "the batch must be the compiled one"
        assert input_ids.shape == attention_mask.shape and input_ids.shape[1] <= limits.max_context_length
        assert stop_strings is None or tokenizer is not None, "stop strings need the tokenizer"
        answer = [ord(char) for char in os.environ.get("FAKE_NXDI_ANSWER", " The answer is 7.\n#### 7")][:generation_config.max_new_tokens]
        answer = answer + [generation_config.eos_token_id] if len(answer) < generation_config.max_new_tokens else answer
        steps = tuple(Tensor([[float(token), 0.5] for _ in input_ids.tolist()]) for token in answer) if generation_config.output_logits else None
        if steps and max(map(max, input_ids.tolist())) < self.model.config.vocab_size:
            steps = (Tensor([self.first(row, mask) for row, mask in zip(input_ids.tolist(), attention_mask.tolist())]), *steps[1:])
        sequences = Tensor([row + answer for row in input_ids.tolist()])
        return SimpleNamespace(sequences=sequences, logits=steps) if generation_config.return_dict_in_generate else sequences

    def first(self, ids, mask):
        limits = self.model.neuron_config
        folder = limits.quantized_checkpoints_path if limits.quantized else self.model.model_path
        return forward.logits(self.model.config, folder, [token for token, real in zip(ids, mask) if real])
