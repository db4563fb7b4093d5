"""Prompts in, answers or logits out, through the generation adapter of the release: greedily, in batches as large as were compiled.

The adapter is mended where its release needs it (adapter.py), and answers end at any end token of the model (endings.py).
"""
import itertools
import json
import os
import tempfile

from . import adapter, endings
from .protocol import BridgeError
from .session import loaded, module, opened


def generate(session, prompts, max_new_tokens, stops=()):
    """Continues prompts greedily, as many at once as were compiled; a smaller last batch is filled up by repetition."""
    answers, ends = [], _ends(session)
    for batch, count in _batches(session, prompts):
        output, width, tokenizer = _generate(session, batch, max_new_tokens, stop_strings=list(stops) or None)
        for row in output.sequences.tolist()[:count]:
            new, ended = endings.answer(row[width:], ends, tokenizer.pad_token_id, tokenizer, stops)
            answers.append({"ids": new, "text": tokenizer.decode(new, skip_special_tokens=True), "truncated": not ended})
    return {"answers": answers}


def logits(session, prompts=None, max_new_tokens=1, ids=None):
    """The logits of each new token up to the end token, [token][vocabulary], after texts or after token ids of one length. With sampling on the
    device, output_logits must have been compiled in."""
    if (prompts is None) == (ids is None):
        raise BridgeError("Give either prompts or ids.")
    neuron_config = opened(session).neuron_config
    if neuron_config.on_device_sampling_config is not None and not neuron_config.output_logits:
        raise BridgeError("The model samples on the device and gives no logits. Compile it with output_logits, or without on_device_sampling_config.")
    rows, ends = [], _ends(session)
    for batch, count in _batches(session, prompts if ids is None else ids):
        output, width, _ = _generate(session, batch, max_new_tokens, output_logits=True)
        steps = [step.tolist() for step in output.logits]
        for i in range(count):
            new = output.sequences.tolist()[i][width:]
            last = next((position + 1 for position, token in enumerate(new) if token in ends), len(new))  # what follows is padding
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
    model = loaded(session)
    timing, transformers = module("neuronx_distributed_inference.utils.benchmark"), module("transformers")
    _adapter(session)
    generation = transformers.GenerationConfig(do_sample=False, top_k=1, top_p=1.0, temperature=1.0, **_special(session))
    with tempfile.TemporaryDirectory() as folder:
        path = report_path or os.path.join(folder, "benchmark_report.json")
        timing.benchmark_sampling(model, generation_config=generation, num_runs=runs, benchmark_report_path=path)
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
    return {"runs": runs, "batch_size": model.neuron_config.batch_size, "report": report}


def _tokenizer(session):
    if session.tokenizer is None:
        tokenizer = module("transformers").AutoTokenizer.from_pretrained(session.model_path, padding_side=session.config.neuron_config.padding_side)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        session.tokenizer = tokenizer
    return session.tokenizer


def _special(session):
    tokenizer = _tokenizer(session)
    return {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": _ends(session)}


def _batches(session, prompts):
    size = loaded(session).neuron_config.batch_size
    for start in range(0, len(prompts), size):
        part = list(prompts[start:start + size])
        yield part + [part[-1]] * (size - len(part)), len(part)


def _generate(session, prompts, max_new_tokens, **extra):
    model, tokenizer = loaded(session), _tokenizer(session)
    if isinstance(prompts[0], str):
        inputs = tokenizer(prompts, padding=True, return_tensors="pt")
        input_ids, mask = inputs.input_ids, inputs.attention_mask
    else:
        input_ids = module("torch").tensor(prompts)
        mask = module("torch").ones_like(input_ids)
    width = input_ids.shape[1]
    limits = model.neuron_config
    if width > limits.max_context_length or width + max_new_tokens > limits.max_length:
        raise BridgeError(f"A prompt has {width} tokens and its answer may have {max_new_tokens}; compiled were max_context_length "
                          f"{limits.max_context_length} and max_length {limits.max_length}. Shorten the prompt, or compile for longer ones.")
    transformers = module("transformers")
    generation = transformers.GenerationConfig(do_sample=False, top_k=1, max_new_tokens=max_new_tokens, return_dict_in_generate=True,
                                               output_logits=extra.pop("output_logits", False), **_special(session))
    if extra.get("stop_strings"):
        extra["tokenizer"] = tokenizer
    output = _adapter(session)(model).generate(input_ids, attention_mask=mask, generation_config=generation,
                                               **{name: value for name, value in extra.items() if value is not None})
    return output, width, tokenizer


def _ends(session):
    loaded(session)
    return endings.end_tokens(session.model_path, _tokenizer(session))


def _adapter(session):
    """The adapter's class, mended where its release needs it."""
    release = module("neuronx_distributed_inference.utils.hf_adapter")
    for mended in adapter.repair(release, session.model):
        session.log(f"NxD Inference's generation adapter: {mended}")
    return release.HuggingFaceGenerationAdapter
