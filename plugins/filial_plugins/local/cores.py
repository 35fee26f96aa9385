"""How many threads to compute with: what this process may use, and what nothing else is busy on."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Literal


def threads(wish: int | Literal["auto"] = "auto") -> int:
    """How many threads torch should compute with.

    A number is taken as it is. ``auto`` counts the cores this process may use (affinity and the control group's
    quota) that nothing else is busy on (load average of the last minute): all of them on an idle machine, one on a
    busy one, where more would wait for each other most of the time.
    """
    if wish != "auto":
        return wish
    usable = cores()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.inf
    free = (os.cpu_count() or 1) - load
    return max(1, min(usable, int(free + 0.5))) if math.isfinite(free) else 1


def cores() -> int:
    """How many cores this process may use, by affinity and the control group's quota; at least one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, max(1, int(_quota()))) if math.isfinite(_quota()) else allowed


def _quota(root: Path = Path("/sys/fs/cgroup")) -> float:
    """Cores the control group grants; infinite where it sets no limit."""
    try:
        if (root / "cpu.max").exists():
            quota, period = (root / "cpu.max").read_text().split()[:2]
        else:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu/cpu.cfs_period_us").read_text().strip()
        return int(quota) / int(period) if quota not in ("max", "-1") else math.inf
    except (OSError, ValueError):
        return math.inf
