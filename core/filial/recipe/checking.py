"""From plain data to a `Recipe`: the walk that checks every part and notes every fault."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from filial.contracts.errors import FilialError, PluginError, UsageError
from filial.contracts.kinds import Component, Generator
from filial.contracts.messages import FREE, Price
from filial.contracts.paths import resolve
from filial.gateway.budget import unknown_price
from filial.plugins.discovery import singular
from filial.plugins.options import json_schema, locate_files
from filial.plugins.options import named as named_files
from filial.plugins.yaml import Address
from filial.recipe.faults import Faults, near, shown, suggestion, wrong_type
from filial.recipe.model import ComponentSpec, JudgeSpec, Recipe, StageSpec
from filial.recipe.schema import BUDGET, EVOLVE, GENERATE, JUDGE, MIX, ROOT, STAGES, STRATEGY, TRAIN, Schema, defaults

if TYPE_CHECKING:
    from filial.plugins.manager import Manager


class Files:
    """Looks for files beside the recipe, in packages (``pkg:``), or leaves them to the hub (``hf:``)."""

    def __init__(self, base: Path, faults: Faults) -> None:
        self.base, self._faults = base, faults

    def check(self, path: Any, address: Address) -> None:
        """Note a fault if this names a file or folder that is not there; what is no text is left to the schema."""
        if not isinstance(path, str) or not path or path.startswith("hf:"):
            return
        try:
            place = resolve(path, self.base)
            there = place.exists()
        except UsageError as err:
            self._faults.add(address, str(err))
        except (OSError, RuntimeError, ValueError, ImportError) as err:
            self._faults.add(address, f"{shown(path)} is not a path that can be opened ({err})")
        else:
            if not there:
                self._faults.add(address, f"no file {shown(path)}{self._meant(place, path)}")

    def check_model(self, model: Any, address: Address) -> None:
        """As `check`, for a model that is plainly a path; any other name may be one on the hub."""
        if isinstance(model, str) and model.startswith(("pkg:", ".", "/", "~")):
            self.check(model, address)

    def _meant(self, place: Path, path: str) -> str:
        if path.startswith("pkg:"):
            return " in that package"
        try:
            meant = near(place.name, os.listdir(place.parent))
        except OSError:
            return f" and no folder {shown(os.path.dirname(path))}; paths start at the recipe's folder"
        return f"; did you mean {meant!r}?" if meant else "; paths start at the recipe's folder"


class Components:
    """Reads the components of one recipe; what is wrong goes to ``faults``.

    ``asking`` collects the addresses of components whose class says that it asks a teacher, ``consuming`` those of
    generators that say what becomes of each record they are given.
    """

    def __init__(self, manager: Manager, faults: Faults, files: Files) -> None:
        self._manager, self._faults, self._files = manager, faults, files
        self.asking: list[Address] = []
        self.consuming: list[Address] = []

    def read(
        self, item: Any, kind: str, address: Address, keys: dict[str, Schema], *required: str
    ) -> ComponentSpec | None:
        """The component at an address, ``name`` or ``{use: name, …}``; None when something is wrong with it.

        ``keys`` are the recipe's own keys beside the options, ``required`` those of them that must be there.
        """
        body = {"use": item} if isinstance(item, str) else item
        at = address if isinstance(item, str) else (*address, "use")
        if not isinstance(body, dict):
            instead = "" if body is None else f", not {shown(body)}"
            self._faults.add(address, f"the name of a {singular(kind)} belongs here, or {{use: NAME, …}}{instead}")
            return None
        if not isinstance(body.get("use"), str):
            what = (
                f"use: {wrong_type(body['use'], ['string'])}"
                if "use" in body
                else f"which {singular(kind)}? add 'use: NAME'"
            )
            self._faults.add(at, what)
            return None
        found = self._class(kind, body["use"], at)
        schema = self._schema(found, kind, body["use"], at, keys, required)
        owner = f"{singular(kind)} {shown(body['use'])}"
        sound = self._faults.check(body, schema, address, owner)
        if found is None or not sound:
            return None
        options = self._options(found, {k: v for k, v in body.items() if k != "use" and k not in keys}, address, owner)
        if options is None or not self._files_there(found, options, address, owner):
            return None
        if found.asks:
            self.asking.append(address)
        if issubclass(found, Generator) and found.consumes:
            self.consuming.append(address)
        return ComponentSpec(kind, body["use"], options, defaults(keys, body), address, self._faults.where(at))

    def activate(self, name: str, address: Address) -> None:
        """Load a plugin that brings hooks only."""
        try:
            self._manager.activate(name)
        except PluginError as err:
            self._faults.add(address, str(err))

    def price(self, teacher: ComponentSpec) -> Price | None:
        """What a sound teacher costs."""
        try:
            return self._manager.get("teachers", teacher.use)(**teacher.options).price()  # type: ignore[attr-defined,no-any-return]
        except FilialError as err:
            self._faults.add(teacher.path, f"teacher {teacher.use!r}: {err}")
            return FREE

    def refused_key(self, teacher: ComponentSpec) -> str:
        """Why a sound teacher's key must not go where it would; empty if it may."""
        from filial.gateway.keys import refusal

        try:
            return refusal(self._manager.get("teachers", teacher.use)(**teacher.options).destination())  # type: ignore[attr-defined]
        except FilialError as err:
            return str(err)

    def _class(self, kind: str, name: str, address: Address) -> type[Component] | None:
        try:
            return self._manager.get(kind, name)
        except PluginError as err:
            self._faults.add(address, str(err))
            return None

    def _schema(
        self, found: type[Component] | None, kind: str, name: str, address: Address, keys: dict[str, Schema],
        required: tuple[str, ...],
    ) -> Schema:  # fmt: skip
        """What may stand in the braces: the recipe's keys and, where the class is known, its options."""
        own: Schema = {}
        try:
            own = json_schema(found) if found is not None else {}
        except PluginError as err:
            self._faults.add(address, str(err))
        options = own.get("properties", {})
        if taken := sorted({"use", *keys} & set(options)):
            message = f"{singular(kind)} {name!r} has an option {taken[0]!r}, which the recipe needs for itself"
            self._faults.add(address, f"{message}; its author has to rename it")
        return {
            **own,
            "type": "object",
            "properties": {**options, **keys, "use": {"type": "string"}},
            "required": [*required, *own.get("required", [])],
            "additionalProperties": found is None,
        }

    def _files_there(self, found: type[Component], options: dict[str, Any], address: Address, owner: str) -> bool:
        """Whether every file that the options name is there and holds what the component wants."""
        before, files = len(self._faults), list(named_files(found, options))
        for place, path in files:
            self._files.check(path, (*address, *place))
        if files and len(self._faults) == before:
            try:
                locate_files(found(**options), self._files.base)
            except ValidationError as err:
                for error in err.errors(include_url=False, include_input=False):
                    self._faults.add(address, f"{owner}: {error['msg'].removeprefix('Value error, ')}")
            except (FilialError, OSError, UnicodeDecodeError) as err:
                self._faults.add(address, f"{owner}: {err}")
        return len(self._faults) == before

    def _options(
        self, found: type[Component], options: dict[str, Any], address: Address, owner: str
    ) -> dict[str, Any] | None:
        """Every option as plain data, after the component's own validators; None when they object."""
        try:
            return found.model_validate(options).model_dump(mode="json")
        except ValidationError as err:
            for error in err.errors(include_url=False, include_input=False):
                place = tuple(p for p in error["loc"] if isinstance(p, str | int))
                self._faults.add((*address, *place), f"{owner}: {error['msg'].removeprefix('Value error, ')}")
        except FilialError as err:
            self._faults.add(address, f"{owner}: {err}")
        except Exception as err:  # a third party's validator: its failure costs this recipe, not the program
            self._faults.add(address, f"{owner} fails on these options: {type(err).__name__}: {err}")
        return None


HELDOUT = "heldout"


def closed(keys: dict[str, Schema], *required: str) -> Schema:
    """A mapping with these keys and no others."""
    return {"type": "object", "properties": keys, "required": list(required), "additionalProperties": False}


def read_recipe(data: Any, name: str, base: Path, manager: Manager, faults: Faults) -> Recipe:
    """Check a recipe's data.

    Raises:
        RecipeError: with every fault that is in ``faults`` by then.
    """
    if not isinstance(data, dict):
        faults.add((), f"a recipe is a mapping of keys such as seed, teacher and stages, not {shown(data)}")
        faults.raise_if_any()
    faults.hide_secrets(data)
    recipe = _Walk(data, name, base, manager, faults).recipe()
    faults.raise_if_any()
    return recipe


class _Walk:
    """One walk over one recipe."""

    def __init__(self, data: dict[str, Any], name: str, base: Path, manager: Manager, faults: Faults) -> None:
        self._data, self._name, self._base, self._faults = data, name, base, faults
        self._files = Files(base, faults)
        self._components = Components(manager, faults, self._files)

    def recipe(self) -> Recipe:
        data, faults = self._data, self._faults
        faults.check(data, closed(ROOT), (), "the recipe")
        if "budget" in data:
            faults.check(data["budget"], closed(BUDGET), ("budget",), "budget")
        if "data" in data:
            self._files.check(data["data"], ("data",))
        teacher, template = self._single("teacher", "teachers"), self._single("template", "templates")
        stages = self._stages()
        train = self._single("train", "trainers", TRAIN, "model")
        if isinstance(data.get("train"), dict):
            self._files.check_model(data["train"].get("model"), ("train", "model"))
        judges = self._judges()
        self._hooks()
        self._across()
        self._affordable(teacher)
        self._allowed(teacher)
        values = defaults(ROOT, data)
        return Recipe(
            name=self._name, base=self._base, seed=values["seed"], teacher=teacher,
            hooks=tuple(values["hooks"]),
            budget=values["budget"] or {}, data=values["data"], stages=stages, heldout=values["heldout"],
            template=template, train=train, model=train.settings["model"] if train else None, judges=judges,
        )  # fmt: skip

    def _hooks(self) -> None:
        """Load the plugins that only have hooks; they join the run when it starts."""
        named = self._data.get("hooks", [])
        for i, name in enumerate(named if isinstance(named, list) else []):
            if isinstance(name, str):
                self._components.activate(name, ("hooks", i))

    def _single(
        self, key: str, kind: str, keys: dict[str, Schema] | None = None, *required: str
    ) -> ComponentSpec | None:
        if key not in self._data:
            return None
        return self._components.read(self._data[key], kind, (key,), keys or {}, *required)

    def _stages(self) -> tuple[StageSpec, ...]:
        stages = self._data.get("stages", [])
        found = [self._stage(item, i) for i, item in enumerate(stages)] if isinstance(stages, list) else []
        return tuple(stage for stage in found if stage)

    def _stage(self, item: Any, index: int) -> StageSpec | None:
        address: Address = ("stages", index)
        verbs = ", ".join(STAGES)
        if isinstance(item, str) and item in STAGES:
            self._faults.add(address, f"the stage {item!r} needs settings: write '- {item}: {{…}}'")
            return None
        if not isinstance(item, dict) or not item:
            self._faults.add(address, f"a stage is '- VERB: …', with one of {verbs}, not {shown(item)}")
            return None
        verb, *others = item
        if verb not in STAGES:
            self._faults.add(
                (*address, verb),
                f"no stage {shown(verb)}{suggestion(verb, STAGES, 'there are')}",
                at_key=True,
            )
            return None
        for other in others:
            if other in STAGES:
                hint = f"the stage {verb!r} ends before {other!r}; begin the next one with '- '"
            else:
                hint = f"{shown(other)} stands beside {verb!r}, not in it; indent it further"
            self._faults.add((*address, other), hint, at_key=True)
        if others and item[verb] is None:
            return None
        read = {"generate": self._generate, "evolve": self._evolve, "filter": self._filter, "mix": self._mix}[verb]
        return read(item[verb], index, (*address, verb))

    def _generate(self, body: Any, index: int, address: Address) -> StageSpec | None:
        spec = self._components.read(body, "generators", address, GENERATE)
        given = body if isinstance(body, dict) else {}
        self._files.check(given.get("seeds"), (*address, "seeds"))
        starts = index == 0 and "data" not in self._data
        if starts and given.get("seeds") is None and isinstance(body, str | dict):
            self._faults.add(address, "the first stage has nothing to start from; add 'seeds: FILE'")
        if starts and "keep_inputs" in given:
            message = "the first stage has no inputs to keep; remove keep_inputs"
            self._faults.add((*address, "keep_inputs"), message, at_key=True)
        consumes = address in self._components.consuming and given.get("seeds") is None
        if consumes and not starts and "keep_inputs" in given:
            message = f"{given['use']} says itself what becomes of the records it is given; remove keep_inputs"
            self._faults.add((*address, "keep_inputs"), message, at_key=True)
        if spec is None:
            return None
        settings = spec.settings | ({"keep_inputs": None} if starts or consumes else {})
        return StageSpec("generate", index, settings, (spec,))

    def _evolve(self, body: Any, index: int, address: Address) -> StageSpec | None:
        self._needs_input("evolve", index, address)
        if isinstance(body, list):
            self._faults.add(address, "write 'strategies:' in front of this list, indented under 'evolve:'")
            self._listed(body, "strategies", address, STRATEGY)
            return None
        self._faults.check(body, closed(EVOLVE, "strategies"), address, "the evolve stage")
        if not isinstance(body, dict):
            return None
        settings = defaults(EVOLVE, body)
        items = {key: settings.pop(key) for key in ("strategies", "eliminate")}
        strategies = self._listed(items["strategies"], "strategies", (*address, "strategies"), STRATEGY)
        rules = self._listed(items["eliminate"], "filters", (*address, "eliminate"), {})
        if settings["answer"] is True:
            self._components.asking.append(address)
        return StageSpec("evolve", index, settings, tuple(strategies + rules))

    def _filter(self, body: Any, index: int, address: Address) -> StageSpec:
        self._needs_input("filter", index, address)
        if body == []:
            self._faults.add(address, "the list is empty; name a filter")
        if not isinstance(body, list):
            spec = self._components.read(body, "filters", address, {})
            return StageSpec("filter", index, {}, (spec,) if spec else ())
        return StageSpec("filter", index, {}, tuple(self._listed(body, "filters", address, {})))

    def _mix(self, body: Any, index: int, address: Address) -> StageSpec | None:
        sources = body.get("sources") if isinstance(body, dict) else None
        if isinstance(sources, dict):
            for task, source in sources.items():
                self._files.check(source, (*address, "sources", task))
        else:
            self._needs_input("mix", index, address)
        spec = self._components.read(body, "mixers", address, MIX)
        return StageSpec("mix", index, spec.settings, (spec,)) if spec else None

    def _needs_input(self, verb: str, index: int, address: Address) -> None:
        if index == 0 and "data" not in self._data:
            message = f"{verb!r} has no records to start from; begin with 'generate' or add 'data: FILE'"
            self._faults.add(address, message, at_key=True)

    def _listed(self, items: Any, kind: str, address: Address, keys: dict[str, Schema]) -> list[ComponentSpec]:
        if not isinstance(items, list):  # the schema has said so
            return []
        found = [self._components.read(item, kind, (*address, i), keys) for i, item in enumerate(items)]
        return [spec for spec in found if spec]

    def _judges(self) -> tuple[JudgeSpec, ...]:
        if "judge" not in self._data:
            return ()
        body = self._data["judge"]
        if body == [] or body is None:
            self._faults.add(("judge",), "no judge is named" if body == [] else wrong_type(body, ["array"]))
            return ()
        if not isinstance(body, list):
            spec = self._judge(body, ("judge",), {})
            return (spec,) if spec else ()
        names: dict[str, int] = {}
        found = [self._judge(item, ("judge", i), names) for i, item in enumerate(body)]
        return tuple(spec for spec in found if spec)

    def _judge(self, item: Any, address: Address, names: dict[str, int]) -> JudgeSpec | None:
        data = item.get("data") if isinstance(item, dict) else None
        if data == HELDOUT:
            if self._data.get("heldout", 0) == 0:
                message = "no record is kept back; add 'heldout: 100', say, beside train"
                self._faults.add((*address, "data"), message)
        else:
            self._files.check(data, (*address, "data"))
        spec = self._components.read(item, "judges", address, JUDGE, "data")
        if spec is None:
            return None
        own = spec.settings
        if own["only"] is not None and own["data"] != HELDOUT:
            self._faults.add((*address, "only"), "this goes with 'data: heldout' only; remove it", at_key=True)
        return JudgeSpec(
            spec, self._judge_name(own["name"], spec.use, (*address, "name"), names), own["data"],
            tuple(own["against"]), own["only"], own["limit"], own["max_new_tokens"],
        )  # fmt: skip

    def _judge_name(self, given: str | None, use: str, address: Address, names: dict[str, int]) -> str:
        """A name for the figures, each once: the one given, or the judge's own with a number if need be."""
        name = given or use.rpartition(":")[2]
        names[name] = names.get(name, 0) + 1
        if names[name] > 1 and given:
            self._faults.add(address, f"another judge is called {given!r} already; give this one a name of its own")
        return name if names[name] == 1 else f"{name}-{names[name]}"

    def _across(self) -> None:
        """What one part needs of another."""
        data, faults = self._data, self._faults
        if self._components.asking and "teacher" not in data:
            message = "this asks a teacher, but the recipe names none; add a line 'teacher: {use: NAME, …}'"
            faults.add(self._components.asking[0], message)
        if "train" in data and "template" not in data:
            faults.add(("train",), "training needs a template; add a line 'template: {use: NAME}'", at_key=True)
        if "judge" in data and "train" not in data:
            message = "there is no model to judge; add 'train:', or judge a finished model with 'filial judge'"
            faults.add(("judge",), message, at_key=True)
        if data.get("stages", []) == [] and "data" not in data:
            faults.add((), "this recipe has no records to work on; add 'stages:' or 'data: FILE'")

    def _affordable(self, teacher: ComponentSpec | None) -> None:
        """A cap on money can be kept only where the price is known."""
        budget = self._data.get("budget")
        capped = isinstance(budget, dict) and budget.get("usd") is not None
        if teacher is not None and capped and self._components.price(teacher) is None:
            self._faults.add(("budget", "usd"), unknown_price(teacher.use), at_key=True)

    def _allowed(self, teacher: ComponentSpec | None) -> None:
        """A key goes to no host that its user has not allowed, whoever wrote the recipe."""
        if teacher is not None and (why := self._components.refused_key(teacher)):
            self._faults.add(teacher.path, f"teacher {teacher.use!r}: {why}")
