"""What type checkers make of plugins: options are what they are declared to be, and their defaults are known."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = '''
from typing import Annotated, Literal

from filial import Context, Drop, Field, InputFile, Record, Strategy


class Pirate(Strategy):
    """Retell the instruction the way a pirate would."""

    accent: str = Field("cornish", description="Which coast the pirate is from.")
    words: int | None = Field(None, ge=1, description="At most.")
    mood: Literal["good", "bad"] = Field(default="good", description="The mood.")
    ships: list[str] = Field(default_factory=list, max_length=3, description="Their names.")
    log: InputFile | None = Field(None, description="A file.")
    {more}

    async def evolve(self, record: Record, ctx: Context) -> Record | Drop:
        return record.evolved(instruction=self.accent)


{call}
'''


CASES = [
    ("Pirate()", "", ""),
    ("Pirate(accent='welsh', words=3, mood='bad', ships=['Ann'], log='log.txt')", "", ""),
    ("Pirate(acent='welsh')", "", 'Unexpected keyword argument "acent"'),
    ("Pirate(accent=3)", "", '"accent" to "Pirate" has incompatible type "int"; expected "str"'),
    ("Pirate(mood='odd')", "", '"mood" to "Pirate" has incompatible type'),
    ("words: int = Pirate().accent", "", "Incompatible types in assignment"),
    ("Pirate()", "tide: int = Field('high', description='The tide.')", 'type "str"'),
    ("Pirate()", "tide: int = Field(3, descripton='The tide.')", "descripton"),
    ("Pirate(tide=3)", "tide: Annotated[int, Field(description='The tide.')]", ""),
    ("Pirate()", "tide: Annotated[int, Field(description='The tide.')]", 'Missing named argument "tide"'),
    ("from filial import Recrod", "", 'has no attribute "Recrod"'),
]
PAGES = {"README.md": "readme", "docs/plugins/index.md": "guide"}


@pytest.fixture(scope="module")
def errors(tmp_path_factory) -> dict[str, list[str]]:
    """What mypy --strict says of each case and page, as to somebody who has no plugin for mypy."""
    folder = tmp_path_factory.mktemp("typing")
    for place, (call, more, _) in enumerate(CASES):
        (folder / f"case{place}.py").write_text(PLUGIN.format(call=call, more=more))
    for page, name in PAGES.items():
        text = (ROOT / page).read_text(encoding="utf-8")
        (code,) = [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "class Pirate" in code]
        (folder / f"{name}.py").write_text(f"{code}\nPirate()\n")
    names = sorted(path.name for path in folder.glob("*.py"))
    command = [sys.executable, "-m", "mypy", "--strict", "--hide-error-context", "--no-error-summary", *names]
    env = {**os.environ, "MYPYPATH": str(ROOT / "core"), "MYPY_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, list[str]] = {name.removesuffix(".py"): [] for name in names}
    for line in done.stdout.splitlines():
        found[line.partition(".py:")[0]].append(line)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("place", range(len(CASES)))
def test_options_have_the_types_they_are_declared_with(errors, place):
    error, found = CASES[place][2], errors[f"case{place}"]
    assert bool(found) == bool(error), found
    assert any(error in line for line in found) or not error, found


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES.values())
def test_the_headline_example_is_called_without_options(errors, page):
    """It has no annotations of its own, which --strict asks for; there is nothing else to say of it."""
    assert not [line for line in errors[page] if not line.endswith("[no-untyped-def]")]
