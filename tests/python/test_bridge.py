"""The bridge's functions against the fake: signatures, names, checkpoint folders, refusals."""
import json
import os
import struct
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "fake"), os.path.join(HERE, "..", "..", "lib")]

# No device answers here, and the compiler that is looked for is the fake's.
os.environ.setdefault("NEURON_PLATFORM_TARGET_OVERRIDE", "inf2")
os.environ["PATH"] = os.path.join(HERE, "fake") + os.pathsep + os.environ["PATH"]

from neuron_bridge import functions, protocol  # noqa: E402

CONFIG = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 16,
          "max_position_embeddings": 64, "rope_theta": 10000.0, "rms_norm_eps": 1e-5, "hidden_act": "silu"}


def write_safetensors(path, tensors):
    header, offset = {}, 0
    for name, (kind, shape, size) in tensors.items():
        count = size
        for length in shape:
            count *= length
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [offset, offset + count]}
        offset += count
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + bytes(offset))


def quantized_tensors(keep=()):
    yield "embed_tokens.weight", ("BF16", [16, 8], 2)
    yield "norm.weight", ("BF16", [8], 2)
    shapes = {"self_attn.q_proj": [8, 8], "self_attn.k_proj": [4, 8], "self_attn.v_proj": [4, 8], "self_attn.o_proj": [8, 8],
              "mlp.gate_proj": [12, 8], "mlp.up_proj": [12, 8], "mlp.down_proj": [8, 12]}
    linear = {f"layers.{layer}.{name}": shape for layer in range(2) for name, shape in shapes.items()} | {"lm_head": [16, 8]}
    for name, shape in linear.items():
        if name in keep:
            yield f"{name}.weight", ("BF16", shape, 2)
            continue
        yield f"{name}.weight", ("I8", shape, 1)
        yield f"{name}.scale", ("F32", [shape[0], 1], 4)
    for layer in range(2):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"layers.{layer}.{norm}.weight", ("BF16", [8], 2)


class BridgeTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = self.folder.name
        self.model, self.quantized = os.path.join(self.root, "model"), os.path.join(self.root, "q")
        os.mkdir(self.model)
        os.mkdir(self.quantized)
        with open(os.path.join(self.model, "config.json"), "w", encoding="utf-8") as file:
            json.dump(CONFIG, file)
        self.session = functions.Session(lambda line: None)
        for name in ("FAKE_NXDI", "FAKE_NXDI_ANSWER"):
            os.environ.pop(name, None)

    def call(self, name, **arguments):
        return functions.call(self.session, name, arguments)

    def open(self, **options):
        return self.call("open", model_path=self.model, neuron_config={
            "batch_size": 2, "seq_len": 64, "max_context_length": 32, "torch_dtype": "bfloat16", "quantized": True,
            "quantized_checkpoints_path": self.quantized, "quantization_type": "per_channel_symmetric", **options})

    def loaded(self, keep=(), **options):
        write_safetensors(os.path.join(self.quantized, "model.safetensors"), dict(quantized_tensors(keep)))
        self.open(**options)
        self.call("compile", path=os.path.join(self.root, "compiled"))
        return self.call("load", path=os.path.join(self.root, "compiled"))

    def refused(self, words, name, **arguments):
        with self.assertRaises(protocol.BridgeError) as caught:
            self.call(name, **arguments)
        self.assertIn(words, str(caught.exception))

    def test_a_run_from_folder_to_benchmark(self):
        self.loaded()
        answers = self.call("generate", prompts=["a", "bcd", "e"], max_new_tokens=30, stops=["\n\n"])["answers"]
        self.assertEqual([" The answer is 7.\n#### 7"] * 3, [answer["text"] for answer in answers])
        self.assertFalse(answers[0]["truncated"])
        self.assertTrue(self.call("generate", prompts=["a"], max_new_tokens=5)["answers"][0]["truncated"])
        report = self.call("benchmark", runs=3)
        self.assertEqual(3.0, report["report"]["token_generation_model"]["latency_ms_p50"])
        row = self.call("logits", prompts=["a"], max_new_tokens=2)["rows"][0]
        self.assertEqual([[32.0, 0.5], [84.0, 0.5]], row["logits"])
        self.refused("either prompts or ids", "logits", prompts=["a"], ids=[[1]])

    def test_agreement_is_a_rate_and_names_the_first_difference(self):
        self.loaded()
        same = self.call("generate", prompts=["a"], max_new_tokens=8)["answers"][0]["ids"]
        self.assertEqual(1.0, self.call("agreement", prompts=["a"], expected=[same], max_new_tokens=8)["rate"])
        other = self.call("agreement", prompts=["a"], expected=[same[:6] + [9, 9]], max_new_tokens=8)
        self.assertEqual((0.75, 6), (other["rate"], other["rows"][0]["first_difference"]))

    @unittest.skipIf(os.environ.get("FAKE_NXDI_RELEASE") == "head", "that release has the repair")
    def test_without_its_repair_the_adapter_of_2_28_fails_as_the_real_one_does(self):
        self.loaded()
        os.environ["FAKE_NXDI"] = "generate:unwrapped"
        with self.assertRaisesRegex(NameError, "name 'tensor_capture_hook' is not defined"):
            self.call("generate", prompts=["a"], max_new_tokens=1)

    def test_a_finished_row_is_cut_at_any_end_token_and_is_not_truncated(self):
        with open(os.path.join(self.model, "generation_config.json"), "w", encoding="utf-8") as file:
            json.dump({"eos_token_id": [2, ord("!")]}, file)
        os.environ["FAKE_NXDI_ANSWER"] = "yes!never|a longer answer"
        self.loaded()
        short, long = self.call("generate", prompts=["a", "b"], max_new_tokens=8)["answers"]
        self.assertEqual(("yes", False), (short["text"], short["truncated"]))
        self.assertEqual(("a longer", True), (long["text"], long["truncated"]))
        rows = self.call("logits", prompts=["a", "b"], max_new_tokens=8)["rows"]
        self.assertEqual([4, 8], [len(row["logits"]) for row in rows])  # the end token counts, its padding does not
        self.assertEqual([4, 8], [len(row["ids"]) for row in rows])

    def test_a_row_that_a_stop_string_ended_is_not_truncated(self):
        os.environ["FAKE_NXDI_ANSWER"] = "7;and more|a longer answer"
        self.loaded()
        short, long = self.call("generate", prompts=["a", "b"], max_new_tokens=6, stops=[";"])["answers"]
        self.assertEqual(("7;", False), (short["text"], short["truncated"]))
        self.assertEqual(("a long", True), (long["text"], long["truncated"]))

    def test_the_folder_must_hold_what_the_exclusions_say(self):
        self.loaded(keep=("lm_head",), modules_to_not_convert=["lm_head"])
        with self.assertRaisesRegex(RuntimeError, "Cannot find lm_head.scale"):
            self.loaded(keep=("lm_head",))
        with self.assertRaisesRegex(RuntimeError, "does not expect"):
            self.loaded(modules_to_not_convert=["layers.0.self_attn"])

    def test_unknown_options_and_arguments_are_refused(self):
        with self.assertRaisesRegex(TypeError, "quantizaton_dtype"):
            self.open(quantizaton_dtype="int8")
        self.refused("no call 'compil'", "compil")
        self.refused("'path'", "compile", pth="x")
        self.refused("not a class", "open", model_path=self.model, neuron_config={}, model_class="Other")
        self.refused("Call open first", "compile", path="x")
        self.open()
        os.rmdir(self.quantized)
        self.refused("no weights", "load", path="x")
        self.refused("not loaded", "generate", prompts=["a"], max_new_tokens=1)

    def test_a_folder_of_ours_is_never_quantized_again(self):
        self.open()
        self.assertEqual(["model.safetensors"], self.call("quantize")["files"])
        with open(os.path.join(self.quantized, "neuronquant.json"), "w", encoding="utf-8") as file:
            file.write("{}")
        self.refused("overwrite", "quantize")

    def test_lengths_and_logits_that_were_not_compiled_are_refused(self):
        self.loaded(on_device_sampling_config={"top_k": 1})
        self.refused("max_context_length 32", "generate", prompts=["x" * 40], max_new_tokens=1)
        self.refused("output_logits", "logits", prompts=["a"])

    def test_conformance_counts_bytes(self):
        self.loaded()
        self.assertTrue(self.call("conformance")["equal"])
        os.environ["FAKE_NXDI"] = "conformance:differ"
        differences = self.call("conformance")["differences"]
        self.assertEqual(1, len(differences))
        self.assertIn("1 of", differences[0]["difference"])

    def test_variables_come_before_torch_xla(self):
        self.assertEqual(["NEURONQUANT_TEST"], self.call("set_environment", variables={"NEURONQUANT_TEST": "1"})["changed"])
        sys.modules["torch_xla"] = sys
        self.addCleanup(sys.modules.pop, "torch_xla")
        self.assertEqual([], self.call("set_environment", variables={"NEURONQUANT_TEST": "1"})["changed"])
        self.refused("too late", "set_environment", variables={"NEURONQUANT_TEST": "2"})

    def test_an_fp8_cache_needs_both_variables(self):
        with self.assertRaisesRegex(AssertionError, "UNSAFE_FP8FNCAST"):
            self.open(kv_cache_quant=True, kv_quant_config={})


if __name__ == "__main__":
    unittest.main()
