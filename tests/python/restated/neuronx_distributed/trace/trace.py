"""nxd v2.28.0, trace/trace.py."""


def get_sharded_checkpoint(checkpoint, model, rank, tp_degree):
    """Lines 646-656, in place. preprocess_checkpoint (:628-644): the hooks rename, and what no module asks for is dropped without an error."""
    assert (rank, tp_degree) == (0, 1), "restated for one rank"
    for name, module in model.named_modules():  # invoke_preshard_hook, :717
        if hasattr(module, "preshard_hook"):
            module.preshard_hook(checkpoint, f"{name}.weight")
    for key in [key for key in checkpoint if key not in model.state_dict()]:
        checkpoint.pop(key)
