"""What holds for every component, whatever its kind."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
from abc import abstractmethod
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from filial.contracts.context import Context
from filial.contracts.records import Record
from filial.testing.scripted import PATIENCE, context

HEAVY = ("torch", "transformers", "datasets", "openai", "pyarrow", "pandas", "tensorflow")
RECORDS = (
    Record(id="s1", instruction="Name three colours.", output="Red, green and blue.", task="lists"),
    Record(id="s2", instruction="Add the numbers.", input="2 and 40", output="42", task="sums"),
    Record(id="s3", instruction="Sage „Grüß Gott“ 你好.", output="Grüß Gott! 🙂", task="talk"),
)


class ComponentContract:
    """What holds for a component of any kind. Subclass the contract of your kind.

    Set ``component`` to an instance with the options to test.
    """

    component: ClassVar[Any]

    def test_explains_itself_in_one_line(self) -> None:
        """Lists and ``--help`` show the first line of the class's own docstring."""
        from filial.plugins.options import summary

        line = summary(type(self.component))
        assert line, f"{type(self.component).__name__} has no docstring of its own"
        assert len(line) <= 120, f"the first line of the docstring has {len(line)} characters, 120 at most"

    def test_options_have_a_schema_and_a_description(self) -> None:
        """Recipes, flags and the docs are made from it; what the component holds is valid by it."""
        from jsonschema import Draft202012Validator

        from filial.plugins.options import click_options, json_schema

        cls = type(self.component)
        schema = json_schema(cls)
        Draft202012Validator.check_schema(schema)
        held = self.component.model_dump(mode="json", exclude_unset=True)
        Draft202012Validator(schema).validate(held)
        assert len(click_options(cls)) == len(schema["properties"])
        bare = [name for name, option in schema["properties"].items() if not option.get("description")]
        assert not bare, f"options without a description: {', '.join(bare)}"

    def test_is_rebuilt_from_its_options(self) -> None:
        """The lock file of a run holds options, not objects."""
        held = self.component.model_dump(mode="json", exclude_unset=True)
        assert type(self.component).model_validate(held).model_dump() == self.component.model_dump()

    def test_survives_pickling(self) -> None:
        """Work may be done in other processes."""
        copied = pickle.loads(pickle.dumps(self.component))
        assert type(copied) is type(self.component)
        assert copied.model_dump() == self.component.model_dump()

    def test_importing_it_loads_nothing_heavy(self) -> None:
        """torch, transformers and their like are imported by the method that needs them."""
        cls = type(self.component)
        loaded = _heavy_imports(cls.__module__, inspect.getfile(cls), tuple(sys.path))
        assert not loaded, f"importing {cls.__module__} also imports {loaded}"

    def test_is_registered_under_the_name_it_promises(self) -> None:
        """The entry points of its package and its ``register`` hook agree."""
        import pytest

        from filial.contracts.kinds import KINDS
        from filial.plugins.manager import Manager

        cls = type(self.component)
        kind = next(kind for kind, base in KINDS.items() if issubclass(cls, base))
        manager, package = Manager(), cls.__module__.partition(".")[0]
        names = [
            f"{claim.dist}:{name}"
            for name, claims in manager.index[kind].items()
            for claim in claims
            if claim.value.partition(".")[0].partition(":")[0] == package
        ]
        if not names:
            pytest.skip(f"no installed package promises anything of {package} in filial.{kind}; pip install -e .")
        assert cls in [manager.get(kind, name) for name in names], f"none of {names} is {cls.__name__}"


class RecordContract(ComponentContract):
    """What holds for a component that is given records; ``reply`` is what the teacher says, for those that ask."""

    records: ClassVar[Sequence[Record]] = RECORDS
    reply: ClassVar[Any] = "Name three colours that a painter would never mix, and say why."
    gives: ClassVar[Any]
    """The type of what it hands back."""

    def context(self, *key: object, memory: dict[str, Any] | None = None) -> Context:
        """A fresh context whose teacher says ``reply``."""
        return context(type(self).reply, key=("test", *key), memory=memory)

    def given(self) -> Sequence[Record]:
        """The records it is given."""
        return self.records

    @abstractmethod
    def outcomes(self) -> list[Any]:
        """What it makes of the records, in a fresh context."""

    def test_it_gives_what_its_kind_promises(self) -> None:
        """At least one value of a type of its contract, and none with nonsense such as a score of NaN."""
        outcomes = self.outcomes()
        assert outcomes, "it gives nothing"
        for outcome in outcomes:
            assert isinstance(outcome, self.gives), f"it gives {outcome!r}"
            fault = outcome.fault() if hasattr(outcome, "fault") else ""
            assert not fault, fault

    def test_input_is_untouched(self) -> None:
        """A record is shared by everybody who holds it: new values go into a new one."""
        before = copy.deepcopy(list(self.given()))
        self.outcomes()
        assert list(self.given()) == before

    def test_same_input_same_output(self) -> None:
        """Randomness comes from ``ctx.rng`` alone; what a filter remembers starts empty with every stage."""
        assert self.outcomes() == self.outcomes()


_PROBE = """
import importlib, importlib.util, sys
name, file, heavy, sys.path[:] = sys.argv[1], sys.argv[2], sys.argv[3].split(","), sys.argv[4:]
if importlib.util.find_spec(name.partition(".")[0]) is not None:
    importlib.import_module(name)
else:
    spec = importlib.util.spec_from_file_location("probed", file)
    module = sys.modules["probed"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
print(",".join(name for name in heavy if name in sys.modules))
"""


@cache
def _heavy_imports(module: str, file: str, path: tuple[str, ...]) -> str:
    """Heavy packages that a fresh interpreter has loaded after importing ``module``, comma-separated."""
    command = [sys.executable, "-c", _PROBE, module, file, ",".join(HEAVY), *path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=Path(file).parent)
    assert done.returncode == 0, f"importing {module} in a fresh interpreter fails: {done.stderr[-2000:]}"
    return done.stdout.strip()
