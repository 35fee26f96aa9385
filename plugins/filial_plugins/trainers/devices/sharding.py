"""Shard a model: each process keeps a part of every parameter, its gradient and the optimizer state (ZeRO stage 3).

torch's FSDP2 does this (`torch.distributed.fsdp.fully_shard`): the parameters of a layer are gathered for its
computation and freed afterwards, and each process receives its part of the reduced gradients. A sharded parameter is a
`DTensor`; functions here gather it. All processes must call them, since each holds a part of the result.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from filial_plugins.trainers.steps.loss import Loss


def shard_model(network: Any, loss: Loss, torch: Any, *, device: str, half: bool) -> Any:
    """Shard a model in place. Returns its loss as a module that gathers what it needs: call this, not the model.

    Decoder layers (the classes in transformers' ``_no_split_modules``) are gathered one at a time. Everything else
    (embeddings, last norm, head) stays gathered for the whole loss, since the head is called without the model around
    it.

    Args:
        device: type of the device that each process has; the model may still be in main memory.
        half: compute in bfloat16; shards, gradient sums and updates stay in float32.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    class WholeLoss(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, batch: Any) -> Any:
            return loss(batch)

    root = WholeLoss()
    # The mean over processes is what torch's reduction gives; whoever calls backward multiplies by their number.
    way = {
        "mesh": init_device_mesh(device, (torch.distributed.get_world_size(),)),
        "mp_policy": MixedPrecisionPolicy(
            param_dtype=torch.bfloat16 if half else None, reduce_dtype=torch.float32, cast_forward_inputs=False
        ),
    }
    unsplit = set(network._no_split_modules or ())
    for layer in [m for m in network.modules() if type(m).__name__ in unsplit]:
        fully_shard(layer, **way)
    return fully_shard(root, **way)


def is_shard(tensor: Any) -> bool:
    """Return whether this tensor is one process's part of a tensor."""
    return hasattr(tensor, "full_tensor")


def gather_tensor(tensor: Any) -> Any:
    """Return a tensor with the parts of all processes; any other tensor unchanged."""
    return tensor.full_tensor() if is_shard(tensor) else tensor


def gather_state(state: Any, keep: bool) -> Any:
    """Return a state of dicts and lists with every tensor complete; gathered tensors are in main memory.

    Args:
        keep: False: take part in gathering, but return None for gathered tensors.
    """
    done: dict[int, Any] = {}  # tied weights are gathered once and stay one

    def made(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: made(inside) for name, inside in value.items()}
        if isinstance(value, list):
            return [made(inside) for inside in value]
        if not hasattr(value, "detach"):
            return value
        if not is_shard(value):
            return value.detach()
        if id(value) not in done:
            full = value.detach().full_tensor()
            done[id(value)] = full.cpu() if keep else None
        return done[id(value)]

    return made(state)


def split_like(tensor: Any, param: Any) -> Any:
    """Return this process's part of a complete tensor, split like the parameter; without one, the tensor unchanged.

    Every process has the complete tensor, so nothing is sent.
    """
    if not is_shard(param) or tensor.shape != param.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(param.device), param.device_mesh, param.placements, src_data_rank=None)


def split_weights(weights: dict[str, Any], model: Any) -> dict[str, Any]:
    """Split complete weights like those of the model."""
    own = model.state_dict(keep_vars=True)
    return {name: split_like(tensor, own.get(name)) for name, tensor in weights.items()}


def split_optimizer_state(saved: dict[str, Any], optimizer: Any) -> dict[str, Any]:
    """Split the complete state of a torch optimizer like its parameters, which are numbered in their order."""
    own = [p for group in optimizer.param_groups for p in group.get("params", ())]
    if not any(is_shard(p) for p in own):
        return saved
    split = {
        k: {name: split_like(v, own[k]) if hasattr(v, "shape") else v for name, v in state.items()}
        for k, state in saved["state"].items()
    }
    return saved | {"state": split}


def gather_model(model: Any, torch: Any, leads: bool) -> Any:
    """Return the leader an ordinary model in main memory with all weights, and the other processes the model itself.

    A model that is not sharded is returned unchanged.
    """
    if not any(is_shard(p) for p in model.parameters()):
        return model
    weights = gather_state(model.state_dict(keep_vars=True), keep=leads)
    if not leads:
        return model
    with torch.device("meta"):  # no memory, and no draw of first weights
        twin = type(model)(deepcopy(model.config))
    twin.load_state_dict(weights, assign=True)
    twin.tie_weights()
    for name, buffer in model.named_buffers():  # those that no file holds, such as rotary frequencies
        place, _, leaf = name.rpartition(".")
        setattr(twin.get_submodule(place), leaf, buffer.detach().cpu())
    twin.generation_config = model.generation_config
    return twin.eval()
