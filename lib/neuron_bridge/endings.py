"""Where an answer ends.

The adapter continues a batch until its last row is finished, and fills finished rows with the pad token (utils/hf_adapter.py:234 in 2.28). A row is
finished by any end token, of which generation_config.json may name several, or by a stop string. What follows is no part of the answer, and
such a row was not cut short, however long it was made.
"""
import json
import os


def end_tokens(model_path, tokenizer):
    """The end tokens of config.json and of generation_config.json together, as the C# engine has them; the tokenizer's own where there are none."""
    named = []
    for name in ("config.json", "generation_config.json"):
        path = os.path.join(model_path, name)
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                given = json.load(file).get("eos_token_id")
            named += given if isinstance(given, list) else [given]
    return sorted({token for token in named if token is not None}) or [tokenizer.eos_token_id]


def answer(ids, ends, pad, tokenizer, stops=()):
    """The new tokens without what follows the end, and whether they ended by themselves."""
    for position, token in enumerate(ids):
        if token in ends:
            return ids[:position], True
    rest = list(ids)
    while rest and rest[-1] == pad:
        rest.pop()
    text = tokenizer.decode(rest, skip_special_tokens=True) if stops else ""
    return (rest, True) if any(stop in text for stop in stops) else (list(ids), False)
