"""Choose the number of CPU threads from the cores that this process may use and the load of the machine."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Literal


def choose_threads(wish: int | Literal["auto"] = "auto") -> int:
    """Return how many threads torch should use.

    A number is returned unchanged. ``auto`` counts the cores this process may use (affinity and quota of the control
    group), minus the load average of the last minute: all cores on an idle machine, one on a busy one, where more
    threads would mostly wait for each other.
    """
    if wish != "auto":
        return wish
    usable = count_cores()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.inf
    free = (os.cpu_count() or 1) - load
    return max(1, min(usable, int(free + 0.5))) if math.isfinite(free) else 1


def count_cores() -> int:
    """Return how many cores this process may use, by affinity and quota of the control group; at least one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, max(1, int(_read_quota()))) if math.isfinite(_read_quota()) else allowed


def _read_quota(root: Path = Path("/sys/fs/cgroup")) -> float:
    """Return the cores that the control group grants; infinite if there is no limit."""
    try:
        if (root / "cpu.max").exists():
            quota, period = (root / "cpu.max").read_text().split()[:2]
        else:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu/cpu.cfs_period_us").read_text().strip()
        return int(quota) / int(period) if quota not in ("max", "-1") else math.inf
    except (OSError, ValueError):
        return math.inf
