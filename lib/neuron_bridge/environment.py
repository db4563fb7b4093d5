"""What this machine has: Python, packages, devices, tools. Nothing is imported for it, so it works where nothing is installed."""
import glob
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys

PACKAGES = ("neuronx-distributed-inference", "neuronx-distributed", "torch-neuronx", "torch", "neuronx-cc", "libneuronxla",
            "transformers", "safetensors")
VARIABLES = ("XLA_HANDLE_SPECIAL_SCALAR", "UNSAFE_FP8FNCAST", "NEURON_RT_VISIBLE_CORES", "NEURON_RT_NUM_CORES", "NEURON_PLATFORM_TARGET_OVERRIDE",
             "NEURON_COMPILED_ARTIFACTS", "NEURON_CC_FLAGS", "NEURON_LOGICAL_NC_CONFIG")
TOOLS = ("neuron-ls", "neuron-monitor", "neuronx-cc")

# From the SDK's manifest: the first three numbers of a version tell the release.
RELEASES = {"0.6.10598": "2.26.1", "0.7.15063": "2.27.1", "0.8.16251": "2.28.1", "0.9.17334": "2.29.0", "0.10.17970": "2.30.0",
            "0.10.18399": "2.31.0"}


def version_of(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def release_of(version):
    """The SDK's release of a version of NxD Inference; None for one that is not in the list."""
    return None if version is None else RELEASES.get(".".join(version.split("+")[0].split(".")[:3]))


def report():
    versions = {package: version_of(package) for package in PACKAGES}
    search = os.pathsep.join(filter(None, (os.environ.get("PATH"), os.path.join(sys.prefix, "bin"), "/opt/aws/neuron/bin")))
    return {
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "packages": versions,
        "sdk": release_of(versions["neuronx-distributed-inference"]),
        "has_nxdi": importlib.util.find_spec("neuronx_distributed_inference") is not None,
        "devices": sorted(path for path in glob.glob("/dev/neuron*") if path[len("/dev/neuron"):].isdigit()),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "tools": {tool: shutil.which(tool, path=search) is not None for tool in TOOLS},
        "torch_xla_loaded": "torch_xla" in sys.modules,
    }
