"""Processes that train one model together, each on its share of every step (data parallelism).

Every process computes the gradient of the sum over its rows, divided by the number of trained tokens in the whole step,
which all processes know. The sum over processes is then the gradient that one process would compute; there is no mean
of means.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from filial import UsageError
from filial_plugins.trainers.devices.sharding import is_shard

BUCKET_SIZE = 1 << 24  # elements per all-reduce


class ProcessGroup:
    """The processes that train together, as this process sees them; ``size`` 1 is a single process."""

    def __init__(self, torch: Any, rank: int = 0, size: int = 1, device: str = "") -> None:
        self._torch, self.rank, self.size = torch, rank, size
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))

    @property
    def is_leader(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def all_reduce(self, tensor: Any) -> Any:
        """Return the sum of a tensor over all processes, in place."""
        if self.size > 1:
            self._torch.distributed.all_reduce(tensor)
        return tensor

    def sum_gradients(self, params: Iterable[Any]) -> None:
        """Replace each gradient by its sum over all processes. A missing gradient counts as zero.

        Gradients of sharded parameters are skipped: FSDP has already reduced them.
        """
        if self.size == 1:
            return
        for bucket in _split_buckets(p for p in params if p.requires_grad and not is_shard(p)):
            grads = [self._torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
            total = self.all_reduce(self._torch.cat([g.flatten() for g in grads]))
            for p, part in zip(bucket, total.split([p.numel() for p in bucket]), strict=True):
                p.grad = part.view_as(p).clone()

    def broadcast(self, value: float) -> float:
        """Return the leader's value in every process: clocks differ between processes."""
        if self.size == 1:
            return value
        value_tensor = self._torch.tensor([value], dtype=self._torch.float64, device=self.device)
        self._torch.distributed.broadcast(value_tensor, 0)
        return float(value_tensor)

    def all_reduce_max(self, count: int) -> int:
        """Return the largest of all processes' counts."""
        if self.size == 1:
            return count
        value_tensor = self._torch.tensor([count], device=self.device)
        self._torch.distributed.all_reduce(value_tensor, self._torch.distributed.ReduceOp.MAX)
        return int(value_tensor)

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            self._torch.distributed.barrier()

    def take_share(self, items: Sequence[int], sizes: Sequence[int]) -> list[int]:
        """Return this process's items: the largest first, each to the process with the smallest load so far."""
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
def join_process_group(torch: Any) -> Iterator[ProcessGroup]:
    """Join the processes that ``torchrun``, ``accelerate launch`` or `launch_processes` started.

    Raises:
        UsageError: the environment names more processes than there are devices.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if size == 1:
        yield ProcessGroup(torch)
        return
    local, cuda = int(os.environ.get("LOCAL_RANK", rank)), torch.cuda.is_available()
    if cuda and local >= torch.cuda.device_count():
        raise UsageError(
            f"process {local + 1} of this machine has no device: there are {torch.cuda.device_count()}; start one "
            "process "
            "per device"
        )
    if cuda:
        torch.cuda.set_device(local)
    torch.distributed.init_process_group(
        "nccl" if cuda else "gloo", init_method=_init_method(), rank=rank, world_size=size
    )
    try:
        yield ProcessGroup(torch, rank, size, f"cuda:{local}" if cuda else "cpu")
    finally:
        torch.distributed.destroy_process_group()


def _init_method() -> str:
    """Return the address where processes find each other: a file on this machine, or what the environment says."""
    return os.environ.get("FILIAL_RENDEZVOUS") or "env://"


def _split_buckets(params: Iterable[Any]) -> Iterator[list[Any]]:
    """Split parameters into lists of one dtype and at most `BUCKET_SIZE` elements."""
    bucket: list[Any] = []
    for p in params:
        if bucket and (p.dtype != bucket[0].dtype or sum(q.numel() for q in bucket) + p.numel() > BUCKET_SIZE):
            yield bucket
            bucket = []
        bucket.append(p)
    if bucket:
        yield bucket
