"""Device memory, from neuron-monitor: one JSON document a period on its output.

The documentation's sample closes its braces inconsistently around loaded_models, so it is looked for in both places. The documents put
weights under "constants"; NxD Inference passes weights as inputs, so expect them under "tensors". The headline is neuron_device, the total.
"""
import json
import os
import shutil
import subprocess
import tempfile
import threading

from .protocol import BridgeError

CONFIG = {
    "period": "1s",
    "neuron_runtimes": [{"tag_filter": ".*", "metrics": [{"type": "neuroncore_counters"}, {"type": "memory_used"}, {"type": "execution_stats"}]}],
    "system_metrics": [{"type": "memory_info"}],
}


def parse(document):
    """The memory of every runtime in one document: bytes on host and device, by core and kind, and the loaded models."""
    runtimes = []
    for runtime in document.get("neuron_runtime_data") or []:
        memory = ((runtime.get("report") or {}).get("memory_used")) or {}
        used = memory.get("neuron_runtime_used_bytes") or {}
        breakdown = used.get("usage_breakdown") or {}
        models = memory.get("loaded_models") or used.get("loaded_models") or []
        runtimes.append({
            "pid": runtime.get("pid"),
            "tag": runtime.get("neuron_runtime_tag"),
            "error": runtime.get("error") or memory.get("error") or "",
            "host_bytes": used.get("host") or 0,
            "device_bytes": used.get("neuron_device") or 0,
            "host": breakdown.get("host") or {},
            "cores": breakdown.get("neuroncore_memory_usage") or {},
            "models": [{"name": model.get("name"), "is_running": model.get("is_running")} for model in models],
        })
    return runtimes


def sample(count=2, timeout=30):
    """Starts neuron-monitor, reads so many documents and ends it. The first often comes before the runtime reports; the last one counts."""
    search = os.pathsep.join(filter(None, (os.environ.get("PATH"), "/opt/aws/neuron/bin")))
    program = shutil.which("neuron-monitor", path=search)
    if program is None:
        raise BridgeError("neuron-monitor is not there. Install aws-neuronx-tools, or read memory on the Inf2 host.")
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
        json.dump(CONFIG, file)
    process = subprocess.Popen([program, "-c", file.name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    timer = threading.Timer(timeout, process.kill)
    timer.start()
    try:
        documents = []
        for line in process.stdout:
            if line.strip():
                documents.append(json.loads(line))
            if len(documents) >= count:
                break
        if not documents:
            raise BridgeError(f"neuron-monitor said nothing within {timeout} s. Look at it by hand: neuron-monitor -c FILE.")
        return {"runtimes": parse(documents[-1]), "documents": len(documents)}
    except ValueError as error:
        raise BridgeError(f"neuron-monitor printed a line that is not JSON: {error}") from error
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
        os.unlink(file.name)
