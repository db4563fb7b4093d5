"""nxdi cd3abf3 (SDK 2.28), utils/hf_adapter.py: the part that reads a configuration."""
import json
import os


def load_pretrained_config(model_path_or_name=None, hf_config=None):
    """Lines 36-80. A torch_dtype that was given stays (:61)."""
    def load_config(self):
        with open(os.path.join(model_path_or_name, "config.json"), encoding="utf-8") as file:
            values = json.load(file)
        assert self.neuron_config.overrides_torch_dtype, "the folder's own type would count"
        values.pop("torch_dtype", None)
        self.__dict__.update(values)

    return load_config
