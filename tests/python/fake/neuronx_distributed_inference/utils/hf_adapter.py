"""The generation adapter, with the behaviour of utils/hf_adapter.py at SDK 2.28 (nxdi cd3abf3): a fixed batch, right padding, greedy.

Each function names the lines that it follows. The fault of that release is here too: prepare_inputs_for_generation reads a name that the module
does not define. FAKE_NXDI_RELEASE=head plays the release that has it repaired (PR 136); FAKE_NXDI=generate:unwrapped goes round a repair
from outside. Every prompt gets the answer of FAKE_NXDI_ANSWER; rows with answers of their own are divided by "|" there,
and an answer that is over ends with token 2.
"""
import json
import os
from types import SimpleNamespace

from neuronx_distributed_inference.models.llama.modeling_llama import trouble
from torch import Tensor

REPAIRED = os.environ.get("FAKE_NXDI_RELEASE", "2.28") == "head"


def load_pretrained_config(model_path_or_name=None, hf_config=None):
    """hf_adapter.py:36."""
    def load_config(self):
        with open(os.path.join(model_path_or_name, "config.json"), encoding="utf-8") as file:
            self.__dict__.update(json.load(file))

    return load_config


class HuggingFaceGenerationAdapter:
    def __init__(self, model):
        """hf_adapter.py:99-131: forward is the model's own."""
        self.neuron_model, self.neuron_config, self.forward = model, model.config.neuron_config, model.forward

    def generate(self, input_ids, attention_mask, generation_config, stop_strings=None, tokenizer=None):
        """hf_adapter.py:133: stateless. What transformers would refuse is refused here."""
        self.neuron_model.reset()
        trouble("generate")
        if os.environ.get("FAKE_NXDI") == "generate:unwrapped":
            globals().pop("tensor_capture_hook", None)
        limits = self.neuron_config
        assert len(input_ids.tolist()) == limits.batch_size, "the batch must be the compiled one"
        assert input_ids.shape == attention_mask.shape and input_ids.shape[1] <= limits.max_context_length
        assert stop_strings is None or tokenizer is not None, "stop strings need the tokenizer"
        return self._sample(input_ids, attention_mask, generation_config, stop_strings, tokenizer)

    def _sample(self, input_ids, attention_mask, generation_config, stop_strings, tokenizer):
        """hf_adapter.py:139-257: a token a turn for the whole batch; finished rows get the pad token (:234) until the last row is finished."""
        ends = generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        rows, width, steps = input_ids.tolist(), input_ids.shape[1], []
        finished = [False] * len(rows)
        for _ in range(generation_config.max_new_tokens):
            inputs = self.prepare_inputs_for_generation(Tensor(rows), attention_mask=attention_mask)
            outputs = self.forward(**inputs, return_dict=True)
            if generation_config.output_logits:
                steps.append(Tensor(outputs.logits()))
            tokens = [generation_config.pad_token_id if done else token for token, done in zip(outputs.tokens, finished)]
            rows = [[*row, token] for row, token in zip(rows, tokens)]
            for i, row in enumerate(rows):
                text = tokenizer.decode(row[width:], True) if stop_strings else ""
                finished[i] = finished[i] or row[-1] in ends or any(stop in text for stop in stop_strings or ())
            if all(finished):
                break
        sequences = Tensor(rows)
        logits = tuple(steps) if generation_config.output_logits else None
        return SimpleNamespace(sequences=sequences, logits=logits) if generation_config.return_dict_in_generate else sequences

    if REPAIRED:

        def prepare_inputs_for_generation(self, input_ids, attention_mask=None, **kwargs):
            """hf_adapter.py:281 and :314 at head."""
            tensor_capture_hook = kwargs.get("tensor_capture_hook", None)
            return {"input_ids": input_ids, "attention_mask": attention_mask, "tensor_capture_hook": tensor_capture_hook}

    else:

        def prepare_inputs_for_generation(self, input_ids, attention_mask=None, **kwargs):
            """hf_adapter.py:259-333, with :313, whose name is defined nowhere."""
            return {"input_ids": input_ids, "attention_mask": attention_mask, "tensor_capture_hook": tensor_capture_hook}  # noqa: F821
