"""get_platform_target of torch-neuronx 2.9, which is not public source: by the variable, else by a device, else an error, as its users report
(aws-neuron-sdk issue 1303) and as its callers use it (nxdi cd3abf3, models/config.py:1073; nxd v2.28.0, utils/utils.py:6-26)."""
import glob
import os

KNOWN = ("inf2", "trn1", "trn2", "trn3")


def get_platform_target():
    target = os.environ.get("NEURON_PLATFORM_TARGET_OVERRIDE") or ("inf2" if glob.glob("/dev/neuron[0-9]*") else None)
    if target not in KNOWN:
        raise RuntimeError(f"Unable to determine the platform target: {target}")
    return target
