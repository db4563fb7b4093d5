"""What stays between calls, and the two questions that most calls ask first: is a model open, is it loaded."""
import importlib
import sys

from .protocol import BridgeError


class Session:
    """What stays between calls: the open model, its configuration, its tokenizer."""

    def __init__(self, log):
        self.log = log
        self.model = self.config = self.tokenizer = self.model_path = None
        self.loaded = self.on_cpu = False


ENVIRONMENT = ("Create the environment of environment.yml, or use the Neuron image's own: "
               "/opt/aws_neuronx_venv_pytorch_2_9_nxd_inference/bin/python.")


def module(name, remedy=ENVIRONMENT):
    """A Python module of the host; where it is not installed the error says which, in which interpreter, and what to do."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise BridgeError(f"'{error.name}' is not installed in {sys.executable}. {remedy}") from error


def opened(session):
    if session.model is None:
        raise BridgeError("No model is open. Call open first.")
    return session.model


def loaded(session):
    if not session.loaded:
        raise BridgeError("The model is not loaded. Call load first.")
    return opened(session)
