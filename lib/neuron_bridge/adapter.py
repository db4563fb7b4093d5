"""The generation adapter of NxD Inference 2.28, made to run.

prepare_inputs_for_generation of that release (utils/hf_adapter.py:313) reads a global name, tensor_capture_hook, that its module never defines:
every generation ends in a NameError. With the name defined, forward (models/model_base.py:3355, no **kwargs) refuses the key of that name. So the
module gets the name, as None, which is what later releases pass by default, and the key is dropped where forward does not take it. A release
that has both repairs is left as it is.
"""
import functools
import inspect

HOOK = "tensor_capture_hook"


def repair(module, model):
    """Mends the adapter class of a module for a model. Gives what was mended: nothing where there was nothing to mend, or it was done before."""
    adapter, mended = module.HuggingFaceGenerationAdapter, []
    prepare = adapter.prepare_inputs_for_generation
    reads_a_global = HOOK in inspect.unwrap(prepare).__code__.co_names
    if reads_a_global and not hasattr(module, HOOK):
        setattr(module, HOOK, None)
        mended.append(f"{module.__name__}.{HOOK} is None now")
    if not takes(model.forward) and not hasattr(prepare, "__wrapped__"):
        adapter.prepare_inputs_for_generation = without_the_key(prepare)
        mended.append(f"{HOOK} is kept from forward")
    return mended


def takes(forward):
    parameters = inspect.signature(forward).parameters
    return HOOK in parameters or any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())


def without_the_key(prepare):
    @functools.wraps(prepare)  # transformers reads the signature to know which arguments a model takes
    def wrapped(self, *args, **kwargs):
        inputs = prepare(self, *args, **kwargs)
        return inputs if takes(self.neuron_model.forward) else {name: value for name, value in inputs.items() if name != HOOK}

    return wrapped
