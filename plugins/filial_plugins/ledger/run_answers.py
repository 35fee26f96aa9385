"""Which answers of the ledger the runs of a folder used: every finished stage of a run lists them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from filial import UsageError
from filial.commands import ANSWERS, is_lost
from filial.storage import read_manifest


def find_run_folder(home: Path, run: str) -> Path:
    """Return the folder of a run given by its name or as a folder.

    Raises:
        UsageError: there is no such run.
    """
    for folder in (home / "runs" / run, Path(run)):
        if (folder / "stages").is_dir():
            return folder
    there = ", ".join(folder.name for folder in list_runs(home)) or "none"
    raise UsageError(f"no run {run!r} in {home / 'runs'}; there are: {there}")


def list_runs(home: Path) -> list[Path]:
    """Return the folders of all runs."""
    return sorted(stages.parent for stages in home.glob("runs/*/stages") if stages.is_dir())


def read_run_answers(run: Path) -> tuple[set[str], int]:
    """Return the keys of a run's answers, and the number of rows it lost to failed calls, which have no answer.

    Raises:
        UsageError: a stage is damaged or does not list its answers.
    """
    keys: set[str] = set()
    lost = 0
    for path in _list_manifests(run):
        manifest = read_manifest(path)
        files = manifest.get("files", {}) if manifest else {}
        lists = [path.parent / name for name in files if name.endswith(ANSWERS)]
        if manifest is None or not lists:
            raise UsageError(f"{path}: this step is damaged or from an older filial; run its recipe again")
        lost += sum(n for reason, n in manifest.get("reasons", {}).items() if is_lost(reason))
        for file in lists:
            keys.update(file.read_text("ascii").split())
    return keys, lost


def is_unfinished(run: Path) -> bool:
    """Return whether a run has not ended since its last start; some of its answers may not be listed yet."""
    begun, ended = run / "recipe.lock.yaml", run / "summary.json"
    return not ended.exists() or (begun.exists() and ended.stat().st_mtime_ns < begun.stat().st_mtime_ns)


def _list_manifests(run: Path) -> Iterator[Path]:
    yield from sorted(run.glob("stages/*/manifest.json"))
    yield from sorted(run.glob("judge/*.json"))
