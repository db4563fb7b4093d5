"""Compiling, which needs the compiler and a target but no device, and its own errors before an hour is spent.

NxD asks which chip it compiles for when its modules are imported (models/llama/modeling_llama.py:131, SDK 2.28) and again for every kernel. Without a
device only NEURON_PLATFORM_TARGET_OVERRIDE answers (aws-neuron-sdk issue 1303), so it must be set before a model is opened. The compiler is a
program of the environment; whoever starts that environment's Python by its path has not put it on the PATH.
"""
import os
import shutil
import sys

from . import environment as machine
from .protocol import BridgeError
from .session import module, opened

COMPILER, OVERRIDE = "neuronx-cc", "NEURON_PLATFORM_TARGET_OVERRIDE"


def target(session):
    """The chip that NxD would compile for, and whether a device or the variable says so."""
    devices = machine.report()["devices"]
    if not devices and not os.environ.get(OVERRIDE):
        raise BridgeError(f"Without a Neuron device nothing says which chip to compile for. Set {OVERRIDE}=inf2 before a model is opened.")
    utils = module("torch_neuronx.utils")
    try:
        return {"target": str(utils.get_platform_target()), "by": "device" if devices and not os.environ.get(OVERRIDE) else OVERRIDE}
    except Exception as error:  # pylint: disable=broad-except - the package is not public; whatever it raises, the step is this one
        raise BridgeError(f"torch_neuronx does not know the chip to compile for ({error}). Set {OVERRIDE}=inf2, exactly so.") from error


def compile_model(session, path):
    """Compiles into a folder. Weights are not read."""
    model = opened(session)
    find_compiler()
    model.compile(path)
    files = sorted(os.listdir(path))
    if "model.pt" not in files:  # application_base.py:311 (2.28): the one file that load needs
        raise BridgeError(f"The compiler ended without an error, but {path} holds no model.pt. What it said is in the log.")
    return {"folder": path, "files": files}


def find_compiler():
    """The compiler's path; where only the environment's own folder has it, that folder is put on the PATH for those that NxD starts."""
    found = shutil.which(COMPILER)
    if found is None:
        own = os.path.join(sys.prefix, "bin")
        found = shutil.which(COMPILER, path=own)
        if found is None:
            raise BridgeError(f"The compiler {COMPILER} is neither on the PATH nor in {own}. Install neuronx-cc as environment.yml pins it; "
                              "it needs no device.")
        os.environ["PATH"] = own + os.pathsep + os.environ.get("PATH", "")
    return found
