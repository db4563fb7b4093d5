"""A tokenizer of characters, and the object that carries generation options: the names of transformers 4.57 that the adapter of NxD Inference
2.28 and this bridge use (utils/hf_adapter.py:133-257). Nothing of its computing is played."""
from types import SimpleNamespace

from torch import Tensor


class GenerationConfig:
    KNOWN = {"do_sample", "top_k", "top_p", "temperature", "max_new_tokens", "return_dict_in_generate", "output_logits",
             "pad_token_id", "eos_token_id"}

    def __init__(self, **options):
        assert set(options) <= self.KNOWN, f"unknown generation options {set(options) - self.KNOWN}"
        self.output_logits = self.return_dict_in_generate = False
        self.__dict__.update(options)


class AutoTokenizer:
    bos_token_id, eos_token_id, eos_token = 1, 2, "</s>"

    def __init__(self, padding_side):
        self.padding_side, self.pad_token_id = padding_side, None

    @classmethod
    def from_pretrained(cls, path, padding_side="left"):
        return cls(padding_side)

    @property
    def pad_token(self):
        return None

    @pad_token.setter
    def pad_token(self, token):
        assert token == self.eos_token
        self.pad_token_id = self.eos_token_id

    def __call__(self, prompts, padding, return_tensors):
        assert padding and return_tensors == "pt" and self.padding_side == "right", "NxD Inference pads on the right"
        rows = [[self.bos_token_id] + [ord(char) for char in prompt] for prompt in prompts]
        width = max(map(len, rows))
        mask = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
        return SimpleNamespace(input_ids=Tensor([row + [self.pad_token_id] * (width - len(row)) for row in rows]), attention_mask=Tensor(mask))

    def batch_decode(self, sequences, skip_special_tokens):
        return [self.decode(row, skip_special_tokens) for row in sequences.tolist()]

    def decode(self, ids, skip_special_tokens):
        return "".join(chr(token) for token in ids if token > 3 or not skip_special_tokens)
