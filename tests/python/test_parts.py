"""The bridge's parts by themselves: the adapter's repair, ends of answers, the report, the monitor, and the bridge inside another program."""
import inspect
import json
import logging
import os
import stat
import subprocess
import sys
import tempfile
import time
import types
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))

from neuron_bridge import adapter, endings, environment, functions, inside, monitor, protocol  # noqa: E402


class AdapterTest(unittest.TestCase):
    """The repair on classes of its own: what each release lacks, and what is left alone."""

    @staticmethod
    def release(source, forward):
        module = types.ModuleType("adapter_of_a_release")
        exec(source, module.__dict__)  # pylint: disable=exec-used - a module of its own, so that the global is missing there
        return module, types.SimpleNamespace(forward=forward)

    FAULTY = """class HuggingFaceGenerationAdapter:
    def prepare_inputs_for_generation(self, input_ids, **kwargs):
        return {"input_ids": input_ids, "tensor_capture_hook": tensor_capture_hook}
"""
    REPAIRED = FAULTY.replace("        return", "        tensor_capture_hook = kwargs.get('tensor_capture_hook')\n        return")

    def prepared(self, module, model):
        one = module.HuggingFaceGenerationAdapter()
        one.neuron_model = model
        return model.forward(**one.prepare_inputs_for_generation(5))

    def test_both_faults_of_2_28_are_mended_once(self):
        module, model = self.release(self.FAULTY, lambda input_ids: input_ids)
        self.assertEqual(2, len(adapter.repair(module, model)))
        self.assertEqual([], adapter.repair(module, model))
        self.assertEqual(5, self.prepared(module, model))
        self.assertIn("kwargs", inspect.signature(module.HuggingFaceGenerationAdapter.prepare_inputs_for_generation).parameters)

    def test_a_repaired_release_is_left_as_it_is(self):
        for forward in (lambda input_ids, tensor_capture_hook: input_ids, lambda **inputs: inputs["input_ids"]):
            module, model = self.release(self.REPAIRED, forward)
            before = module.HuggingFaceGenerationAdapter.prepare_inputs_for_generation
            self.assertEqual([], adapter.repair(module, model))
            self.assertIs(before, module.HuggingFaceGenerationAdapter.prepare_inputs_for_generation)
            self.assertFalse(hasattr(module, "tensor_capture_hook"))
            self.assertEqual(5, self.prepared(module, model))

    def test_a_model_that_takes_the_key_keeps_it_beside_one_that_does_not(self):
        module, model = self.release(self.FAULTY, lambda input_ids: input_ids)
        adapter.repair(module, model)
        self.assertEqual(None, self.prepared(module, types.SimpleNamespace(forward=lambda input_ids, tensor_capture_hook: tensor_capture_hook)))


class EndingsTest(unittest.TestCase):
    TOKENIZER = types.SimpleNamespace(eos_token_id=9, decode=lambda ids, skip_special_tokens: "".join(map(str, ids)))

    def test_end_tokens_come_from_both_files_and_else_from_the_tokenizer(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual([9], endings.end_tokens(folder, self.TOKENIZER))
            for name, value in (("config.json", 2), ("generation_config.json", [2, 5])):
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    json.dump({"eos_token_id": value}, file)
            self.assertEqual([2, 5], endings.end_tokens(folder, self.TOKENIZER))

    def test_padding_after_a_stop_is_cut_and_padding_without_one_is_an_answer(self):
        self.assertEqual(([7, 8], True), endings.answer([7, 8, 0, 0], [2], 0, self.TOKENIZER, ["78"]))
        self.assertEqual(([7, 8, 0], False), endings.answer([7, 8, 0], [2], 0, self.TOKENIZER, ["9"]))
        self.assertEqual(([7], True), endings.answer([7, 5, 0], [2, 5], 0, self.TOKENIZER))


class ReportTest(unittest.TestCase):
    def test_the_environment_is_reported_without_importing_anything(self):
        report = functions.call(functions.Session(print), "environment", {})
        self.assertEqual("%d.%d.%d" % sys.version_info[:3], report["python"])
        self.assertEqual("2.28.1", environment.release_of("0.8.16251+abc"))
        self.assertIsNone(environment.release_of(None))

    def test_infinities_become_null(self):
        self.assertEqual({"a": [None, 1.5]}, protocol.clean({"a": (float("inf"), 1.5)}))


class MonitorTest(unittest.TestCase):
    USED = {"host": 10, "neuron_device": 14_000_000_000,
            "usage_breakdown": {"host": {"tensors": 3}, "neuroncore_memory_usage": {"0": {"tensors": 7}}}}

    def test_loaded_models_are_found_in_both_places(self):
        models = [{"name": "m", "is_running": True}]
        inside = {"neuron_runtime_used_bytes": {**self.USED, "loaded_models": models}}
        beside = {"neuron_runtime_used_bytes": self.USED, "loaded_models": models}
        for memory in (inside, beside):
            row = monitor.parse({"neuron_runtime_data": [{"pid": 5, "report": {"memory_used": memory}}]})[0]
            self.assertEqual((5, 14_000_000_000, 7, "m"), (row["pid"], row["device_bytes"], row["cores"]["0"]["tensors"], row["models"][0]["name"]))
        self.assertEqual([], monitor.parse({"neuron_runtime_data": None}))

    def test_it_is_started_read_and_ended(self):
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "neuron-monitor")
            document = json.dumps({"neuron_runtime_data": [{"pid": 1, "report": {"memory_used": {"neuron_runtime_used_bytes": self.USED}}}]})
            with open(program, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\nwhile :; do echo '{document}'; sleep 0.05; done\n")
            os.chmod(program, os.stat(program).st_mode | stat.S_IXUSR)
            before = os.environ["PATH"]
            self.addCleanup(os.environ.__setitem__, "PATH", before)
            os.environ["PATH"] = folder + os.pathsep + before
            self.assertEqual(14_000_000_000, monitor.sample(2, 10)["runtimes"][0]["device_bytes"])
            os.environ["PATH"] = folder + "-absent"
            with self.assertRaisesRegex(protocol.BridgeError, "aws-neuronx-tools"):
                monitor.sample()


class InsideTest(unittest.TestCase):
    def setUp(self):
        self.before, self.lines = (sys.stdout, sys.stderr, list(sys.path)), []
        self.inside = inside.Inside(self.lines.append, {"NEURONQUANT_INSIDE": "1"}, [HERE])

    def test_calls_answer_as_the_child_process_does(self):
        answer = json.loads(self.inside.call("environment", {}))
        self.assertEqual(("result", sys.executable), (answer["event"], answer["result"]["executable"]))
        error = json.loads(self.inside.call("nothing", {}))
        self.assertEqual(("error", "BridgeError"), (error["event"], error["type"]))
        self.assertIn("Traceback", error["traceback"])
        self.inside.close()

    def test_lines_come_and_the_host_gets_back_what_it_had(self):
        print("one")
        logging.getLogger("x").warning("two")
        sys.stdout.write("half")
        self.assertEqual("1", os.environ.pop("NEURONQUANT_INSIDE"))
        self.assertEqual(HERE, sys.path[0])
        self.inside.close()
        self.assertEqual(["one", "WARNING x: two"], self.lines)
        self.assertEqual(self.before, (sys.stdout, sys.stderr, sys.path))

    @unittest.skipUnless(os.path.exists("/proc/self/task"), "needs the process table of Linux")
    def test_what_it_started_ends_with_it(self):
        child = subprocess.Popen(["sh", "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE, text=True)
        grandchild = int(child.stdout.readline())
        self.inside.close()
        self.assertIsNotNone(child.wait(5))
        child.stdout.close()
        self.assertTrue(any(self.is_gone(grandchild) or time.sleep(0.05) for _ in range(100)), "a grandchild is still there")

    @staticmethod
    def is_gone(process):
        try:
            with open(f"/proc/{process}/stat", encoding="ascii") as file:
                return ") Z" in file.read()  # dead, and not collected yet
        except OSError:
            return True


if __name__ == "__main__":
    unittest.main()
