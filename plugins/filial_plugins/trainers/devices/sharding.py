"""Sharding: each process keeps a part of every parameter, of its gradient and of the optimiser's state (ZeRO 3).

torch's FSDP2 does it (`torch.distributed.fsdp.fully_shard`): a layer's parameters are gathered when it is computed and
given up afterwards; gradients arrive summed, each process's part of them. A parameter is a `DTensor` from then on, and
whoever needs it whole asks here. All processes must ask, for all of them have a part of the answer.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from filial_plugins.trainers.steps.loss import Loss


def sharded(network: Any, loss: Loss, torch: Any, *, device: str, half: bool) -> Any:
    """Shard a model in place. Returns its loss as a module, which gathers what it needs: call that, not the model.

    The decoder's layers, by transformers' own account of what must not be split, are gathered one at a time; what is
    outside of them (embeddings, the last norm, the head) for the whole of the loss, where the head is used without the
    model around it.

    Args:
        device: type of the device that each process has one of; the model may be in main memory before.
        half: compute in bfloat16; parts, gradients' sums and updates stay in float32.
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
    """Whether this is one process's part of a tensor."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Any) -> Any:
    """A tensor with the parts of all processes; any other tensor as it is."""
    return tensor.full_tensor() if is_shard(tensor) else tensor


def gathered(state: Any, keep: bool) -> Any:
    """A state of dicts and lists with every tensor whole, gathered ones in main memory.

    Args:
        keep: False: take part, but keep nothing; gathered tensors are None in what is returned.
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


def part_like(tensor: Any, param: Any) -> Any:
    """This process's part of a whole tensor, split as a parameter of that shape is; without one, the tensor as it is.

    Every process brings the whole tensor, so nothing is sent.
    """
    if not is_shard(param) or tensor.shape != param.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(param.device), param.device_mesh, param.placements, src_data_rank=None)


def parts_of_weights(weights: dict[str, Any], model: Any) -> dict[str, Any]:
    """Whole weights, split as the model's are."""
    own = model.state_dict(keep_vars=True)
    return {name: part_like(tensor, own.get(name)) for name, tensor in weights.items()}


def parts_of_state(saved: dict[str, Any], optimizer: Any) -> dict[str, Any]:
    """The whole state of an optimiser of torch, split as its parameters are; those are numbered in their order."""
    own = [p for group in optimizer.param_groups for p in group.get("params", ())]
    if not any(is_shard(p) for p in own):
        return saved
    split = {
        k: {name: part_like(v, own[k]) if hasattr(v, "shape") else v for name, v in state.items()}
        for k, state in saved["state"].items()
    }
    return saved | {"state": split}


def whole_model(model: Any, torch: Any, leads: bool) -> Any:
    """For the leader, an ordinary model in main memory with the weights of all processes; for the others, the model.

    A model that is not sharded is returned as it is.
    """
    if not any(is_shard(p) for p in model.parameters()):
        return model
    weights = gathered(model.state_dict(keep_vars=True), keep=leads)
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
