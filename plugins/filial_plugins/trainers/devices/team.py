"""Several processes that train one model, each on its share of every step (data parallelism).

Every process computes the gradient of the sum over its rows, divided by the trained tokens of the whole step, which all
of them know; the sum over processes is the gradient one process would have computed. Nothing is averaged twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from filial import UsageError
from filial_plugins.trainers.devices.sharding import is_shard

BUCKET = 1 << 24  # elements that are sent at once


class Team:
    """This process among those that train together; alone unless ``size`` is larger than 1."""

    def __init__(self, torch: Any, rank: int = 0, size: int = 1, device: str = "") -> None:
        self._torch, self.rank, self.size = torch, rank, size
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return self.rank == 0

    def summed(self, tensor: Any) -> Any:
        """The sum of a tensor over all processes."""
        if self.size > 1:
            self._torch.distributed.all_reduce(tensor)
        return tensor

    def sum_gradients(self, params: Iterable[Any]) -> None:
        """Replace each gradient by its sum over all processes; a process without one adds nothing.

        Those of parameters that are sharded are summed already.
        """
        if self.size == 1:
            return
        for bucket in _buckets(p for p in params if p.requires_grad and not is_shard(p)):
            grads = [self._torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
            whole = self.summed(self._torch.cat([g.flatten() for g in grads]))
            for p, part in zip(bucket, whole.split([p.numel() for p in bucket]), strict=True):
                p.grad = part.view_as(p).clone()

    def agreed(self, value: float) -> float:
        """The leader's value, for everybody: clocks differ."""
        if self.size == 1:
            return value
        told = self._torch.tensor([value], dtype=self._torch.float64, device=self.device)
        self._torch.distributed.broadcast(told, 0)
        return float(told)

    def most(self, count: int) -> int:
        """The largest of all processes' counts."""
        if self.size == 1:
            return count
        told = self._torch.tensor([count], device=self.device)
        self._torch.distributed.all_reduce(told, self._torch.distributed.ReduceOp.MAX)
        return int(told)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            self._torch.distributed.barrier()

    def mine(self, items: Sequence[int], sizes: Sequence[int]) -> list[int]:
        """This process's share of a step: the largest items first, each to whoever has least."""
        if self.size == 1:
            return list(items)
        shares: list[list[int]] = [[] for _ in range(self.size)]
        loads = [0] * self.size
        for k in sorted(range(len(items)), key=lambda k: (-sizes[k], k)):
            least = loads.index(min(loads))
            loads[least] += sizes[k]
            shares[least].append(k)
        return [items[k] for k in sorted(shares[self.rank])]


@contextmanager
def team(torch: Any) -> Iterator[Team]:
    """The processes that ``torchrun``, ``accelerate launch`` or `launched` started, as the environment tells.

    Raises:
        UsageError: the environment speaks of more processes than there are devices.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if size == 1:
        yield Team(torch)
        return
    local, cuda = int(os.environ.get("LOCAL_RANK", rank)), torch.cuda.is_available()
    if cuda and local >= torch.cuda.device_count():
        raise UsageError(
            f"process {local + 1} of this machine has no device: there are {torch.cuda.device_count()}; start as many "
            "processes as there are devices"
        )
    if cuda:
        torch.cuda.set_device(local)
    torch.distributed.init_process_group("nccl" if cuda else "gloo", init_method=_meeting(), rank=rank, world_size=size)
    try:
        yield Team(torch, rank, size, f"cuda:{local}" if cuda else "cpu")
    finally:
        torch.distributed.destroy_process_group()


def _meeting() -> str:
    """Where the processes find each other: a file on this machine, or the address that the environment names."""
    return os.environ.get("FILIAL_MEETING") or "env://"


def _buckets(params: Iterable[Any]) -> Iterator[list[Any]]:
    """Parameters of one dtype in runs of bounded size."""
    bucket: list[Any] = []
    for p in params:
        if bucket and (p.dtype != bucket[0].dtype or sum(q.numel() for q in bucket) + p.numel() > BUCKET):
            yield bucket
            bucket = []
        bucket.append(p)
    if bucket:
        yield bucket
