"""From plain data to a `Recipe`: the walk that checks every part and notes every fault."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filial.contracts import kinds
from filial.contracts.errors import FilialError, PluginError, UsageError, hint, near
from filial.contracts.kinds import Component
from filial.contracts.paths import resolve
from filial.gateway.budget import unknown_price
from filial.gateway.keys import refusal
from filial.plugins.discovery import singular
from filial.plugins.options import locate_files
from filial.plugins.options import named as named_files
from filial.plugins.wording import shown, suggestion, wrong_type
from filial.plugins.yaml import Address
from filial.recipe.faults import Faults
from filial.recipe.model import BASE, ComponentSpec, JudgeSpec, Recipe, StageSpec, unused_name
from filial.recipe.settings import (
    HELDOUT,
    VERBS,
    Evolve,
    Filter,
    Generate,
    Judge,
    Mix,
    Part,
    Rival,
    Root,
    Settings,
    Train,
    parts,
)

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

    def check_named(self, named: Iterable[tuple[Address, str]], address: Address) -> None:
        """As `check`, for every file that the keys or options at an address name."""
        for place, path in named:
            self.check(path, (*address, *place))

    def check_model(self, model: Any, address: Address) -> None:
        """As `check`, for a model that is plainly a path; any other name may be one on the hub."""
        if isinstance(model, str) and model.startswith(("pkg:", ".", "/", "~")):
            self.check(model, address)

    def _meant(self, place: Path, path: str) -> str:
        if path.startswith("pkg:"):
            return " in that package"
        try:
            meant = hint(place.name, os.listdir(place.parent))
        except OSError:
            return f" and no folder {shown(os.path.dirname(path))}; paths start at the recipe's folder"
        return meant or "; paths start at the recipe's folder"


class Components:
    """Reads the components of one recipe; what is wrong goes to ``faults``.

    ``built`` are those whose options are right, by their addresses; ``asking`` the addresses of what asks a teacher.
    """

    def __init__(self, manager: Manager, faults: Faults, files: Files) -> None:
        self.manager, self._faults, self._files = manager, faults, files
        self.built: dict[Address, Any] = {}
        self.asking: list[Address] = []

    def read(self, item: Any, kind: str, address: Address, beside: type[Settings] = Settings) -> ComponentSpec | None:
        """The component at an address, ``name`` or ``{use: name, …}``; None when something is wrong with it.

        ``beside`` has the recipe's own keys beside the options.
        """
        body = {"use": item} if isinstance(item, str) else item
        at = address if isinstance(item, str) else (*address, "use")
        one = singular(kind)
        if not isinstance(body, dict):
            instead = "" if body is None else f", not {shown(body)}"
            self._faults.add(address, f"the name of a {one} belongs here, or {{use: NAME, …}}{instead}")
            return None
        use = body.get("use")
        if not isinstance(use, str):
            what = f"use: {wrong_type(use, ['text'])}" if "use" in body else f"which {one}? add 'use: NAME'"
            self._faults.add(at, what)
            return None
        owner, found = f"{one} {shown(use)}", self._class(kind, use, at)
        fields = found.model_fields if found else {}
        own = {key: value for key, value in body.items() if key in beside.model_fields}
        settings = self._faults.validated(beside, own, address, owner)
        files = named_files(beside, own)
        self._files.check_named((one for one in files if (beside, one[1]) != (Judge, HELDOUT)), address)
        if taken := sorted({"use", *beside.model_fields} & set(fields)):
            message = f"{one} {use!r} has an option {taken[0]!r}, which the recipe needs for itself"
            self._faults.add(at, f"{message}; its author has to rename it")
        elif found is not None:
            options = {key: value for key, value in body.items() if key not in own and key != "use"}
            component = self._faults.validated(found, options, address, owner, beside.model_fields)
            if component is not None and settings is not None and self._usable(component, address, owner):
                where = self._faults.where(at)
                return ComponentSpec(kind, use, component.model_dump(mode="json"), settings, address, where)
        return None

    def listed(self, items: Any, part: Part, address: Address) -> list[ComponentSpec]:
        """The components of a list; what is no list is left to the check of the list itself."""
        items = items if isinstance(items, list) else []
        found = [self.read(item, part.kind, (*address, i), part.beside) for i, item in enumerate(items)]
        return [spec for spec in found if spec]

    def _class(self, kind: str, name: str, address: Address) -> type[Component] | None:
        try:
            return self.manager.get(kind, name)
        except PluginError as err:
            self._faults.add(address, str(err))
            return None

    def _usable(self, component: Component, address: Address, owner: str) -> bool:
        """Whether every file that the options name is there and holds what the component wants."""
        before, base, options = len(self._faults), self._files.base, component.model_dump(mode="json")
        try:
            named = list(named_files(type(component), options))
        except PluginError as err:
            self._faults.add(address, f"{owner}: {err}")
            return False
        self._files.check_named(named, address)
        if named and len(self._faults) == before:
            self._faults.validated(
                type(component), options, address, owner, make=lambda *_: locate_files(component, base)
            )
        self.built[address] = component
        if component.asks:
            self.asking.append(address)
        if isinstance(component, kinds.Judge) and component.compares not in (1, 2):
            self._faults.add(address, f"{owner} compares {component.compares!r} candidates; a judge compares 1 or 2")
        return len(self._faults) == before


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
    assert recipe is not None
    return recipe


Read = tuple[Settings | None, tuple[ComponentSpec, ...]]
"""The settings of a stage and its components; no settings where something is wrong with them."""


class _Walk:
    """One walk over one recipe."""

    def __init__(self, data: dict[str, Any], name: str, base: Path, manager: Manager, faults: Faults) -> None:
        self._data, self._name, self._base, self._faults = data, name, base, faults
        self._files = Files(base, faults)
        self._components = Components(manager, faults, self._files)

    def recipe(self) -> Recipe | None:
        """The recipe; without faults if there are none."""
        data = self._data
        root = self._faults.validated(Root, data, (), Root.owner)
        self._files.check_named(named_files(Root, data), ())
        teacher, template = self._single("teacher", "teachers"), self._single("template", "templates")
        stages = self._stages()
        train = self._single("train", "trainers", Train)
        if isinstance(data.get("train"), dict):
            self._files.check_model(data["train"].get("model"), ("train", "model"))
        judges = self._judges()
        hooks = self._hooks()
        self._across()
        self._allowed(teacher)
        if root is None:
            return None
        return Recipe(
            name=self._name, base=self._base, seed=root.seed, teacher=teacher, hooks=hooks,
            budget=root.budget.own() if root.budget else {}, data=root.data, stages=stages, heldout=root.heldout,
            template=template, train=train, judges=judges,
        )  # fmt: skip

    def _hooks(self) -> tuple[ComponentSpec, ...]:
        """The plugins that only have hooks, loaded: they join in what the recipe does."""
        manager, hooks = self._components.manager, dict[str, ComponentSpec]()
        for spec in self._components.listed(self._data.get("hooks", []), parts(Root)["hooks"], ("hooks",)):
            first = hooks.setdefault(manager.provenance(spec.kind, spec.use), spec)
            if first.written() != spec.written():  # where they are equal, the check of the list has said so
                self._faults.add(spec.path, f"the hook {shown(spec.use)} is named twice; once is all it can be had")
        for spec in hooks.values():
            try:
                manager.activate(spec.use, spec.options, self._base)
            except UsageError as err:
                self._faults.add(spec.path, str(err))
        return tuple(hooks.values())

    def _single(self, key: str, kind: str, beside: type[Settings] = Settings) -> ComponentSpec | None:
        return self._components.read(self._data[key], kind, (key,), beside) if key in self._data else None

    def _stages(self) -> tuple[StageSpec[Any], ...]:
        stages = self._data.get("stages", [])
        found = [self._stage(item, i) for i, item in enumerate(stages)] if isinstance(stages, list) else []
        return tuple(stage for stage in found if stage)

    def _stage(self, item: Any, index: int) -> StageSpec[Any] | None:
        address: Address = ("stages", index)
        if isinstance(item, str) and item in VERBS:
            self._faults.add(address, f"the stage {item!r} needs settings: write '- {item}: {{…}}'")
            return None
        if not isinstance(item, dict) or not item:
            verbs = ", ".join(VERBS)
            self._faults.add(address, f"a stage is '- VERB: …', with one of {verbs}, not {shown(item)}")
            return None
        verb, *others = item
        at = (*address, verb)
        if verb not in VERBS:
            self._faults.add(at, f"no stage {shown(verb)}{suggestion(verb, VERBS, 'there are')}", at_key=True)
            return None
        for other in others:
            if other in VERBS:
                why = f"the stage {verb!r} ends before {other!r}; begin the next one with '- '"
            else:
                why = f"{shown(other)} stands beside {verb!r}, not in it; indent it further"
            self._faults.add((*address, other), why, at_key=True)
        if others and item[verb] is None:
            return None
        starts = index == 0 and "data" not in self._data
        read: Any = {Generate: self._generate, Evolve: self._evolve, Filter: self._filter, Mix: self._mix}
        settings, components = read[VERBS[verb]](item[verb], at, starts)
        return StageSpec(verb, index, settings, components) if settings else None

    def _generate(self, body: Any, at: Address, starts: bool) -> Read:
        spec = self._components.read(body, Generate.kind, at, Generate)
        given = body if isinstance(body, dict) else {}
        generator = self._components.built.get(at)
        needed = generator is None or generator.needs_seeds
        if starts and needed and given.get("seeds") is None and isinstance(body, str | dict):
            self._faults.add(at, "the first stage has nothing to start from; add 'seeds: FILE'")
        consumes = generator is not None and generator.consumes and given.get("seeds") is None
        if (starts or consumes) and "keep_inputs" in given:
            why = "the first stage has no inputs to keep"
            if not starts:
                why = f"{given['use']} says itself what becomes of the records it is given"
            self._faults.add((*at, "keep_inputs"), f"{why}; remove keep_inputs", at_key=True)
        if spec is None:
            return None, ()
        kept = spec.settings.keep_inputs is None and not (starts or consumes)
        return spec.settings.model_copy(update={"keep_inputs": True} if kept else {}), (spec,)

    def _evolve(self, body: Any, at: Address, starts: bool) -> Read:
        self._needs_input(at, starts)
        if isinstance(body, list):
            self._faults.add(at, "write 'strategies:' in front of this list, indented under 'evolve:'")
            self._components.listed(body, parts(Evolve)["strategies"], at)
            return None, ()
        given = body if isinstance(body, dict) else {}
        if given.get("answer", True) is True:
            self._components.asking.append(at)
        found = []
        for key, part in parts(Evolve).items():
            items = given.get(key, Evolve.model_fields[key].default)
            found += self._components.listed(items, part, (*at, key))
        return self._faults.validated(Evolve, body, at, Evolve.owner), tuple(found)

    def _filter(self, body: Any, at: Address, starts: bool) -> Read:
        self._needs_input(at, starts)
        if body == []:
            self._faults.add(at, "the list is empty; name a filter")
            return None, ()
        part = parts(Filter)["filters"]
        if isinstance(body, list):
            return Filter(filters=body), tuple(self._components.listed(body, part, at))
        spec = self._components.read(body, part.kind, at)
        return Filter(filters=[body]), (spec,) if spec else ()

    def _mix(self, body: Any, at: Address, starts: bool) -> Read:
        self._needs_input(at, starts and not (isinstance(body, dict) and isinstance(body.get("sources"), dict)))
        spec = self._components.read(body, Mix.kind, at, Mix)
        return (spec.settings, (spec,)) if spec else (None, ())

    def _needs_input(self, at: Address, starts: bool) -> None:
        if starts:
            message = f"{at[-1]!r} has no records to start from; begin with 'generate' or add 'data: FILE'"
            self._faults.add(at, message, at_key=True)

    def _judges(self) -> tuple[JudgeSpec, ...]:
        if "judge" not in self._data:
            return ()
        body = self._data["judge"]
        if body == [] or body is None:
            self._faults.add(("judge",), "no judge is named" if body == [] else wrong_type(body, ["a list"]))
            return ()
        names: set[str] = set()
        items = body if isinstance(body, list) else [body]
        places: list[Address] = [("judge", i) for i in range(len(items))] if items is body else [("judge",)]
        found = [self._judge(item, at, names) for item, at in zip(items, places, strict=True)]
        return tuple(spec for spec in found if spec)

    def _judge(self, item: Any, address: Address, names: set[str]) -> JudgeSpec | None:
        given = item if isinstance(item, dict) else {}
        if given.get("data") == HELDOUT and self._data.get("heldout", 0) == 0:
            message = "no record is kept back; add 'heldout: 100', say, beside train"
            self._faults.add((*address, "data"), message)
        rivals = self._rivals(given.get("against", []), (*address, "against"))
        spec = self._components.read(item, Judge.kind, address, Judge)
        if spec is None:
            return None
        own = spec.settings
        if self._components.built[address].compares == 2 and not own.against:
            self._faults.add(address, "this judge compares pairs, so name a rival: add 'against: [base]', say")
        if own.only is not None and own.data != HELDOUT:
            self._faults.add((*address, "only"), "this goes with 'data: heldout' only; remove it", at_key=True)
        name = self._own_name(own.name, spec.use, (*address, "name"), names)
        return JudgeSpec(spec, name, own.data, rivals, own.only, own.limit, own.max_new_tokens)

    def _rivals(self, items: Any, address: Address) -> tuple[ComponentSpec | None, ...]:
        """Who is judged beside the model; None: the model before training. A teacher may cost money and take a key
        along, as the recipe's own does."""
        found: list[ComponentSpec | None] = []
        names = {BASE, "model"}
        for i, item in enumerate(items if isinstance(items, list) else []):
            at = (*address, i)
            if item == BASE:
                found.append(None)
            elif isinstance(item, str) and near(item, [BASE]):
                self._faults.add(at, f"no rival {shown(item)}; did you mean {BASE!r}?")
            elif spec := self._components.read(item, Rival.kind, at, Rival):
                self._allowed(spec)
                name = self._own_name(spec.settings.name, spec.use, (*at, "name"), names)
                found.append(replace(spec, settings=Rival(name=name)))
        return tuple(found)

    def _own_name(self, given: str | None, use: str, address: Address, names: set[str]) -> str:
        """A name for the figures, each once: the one given, or the component's own with a number if need be."""
        if given in names:
            self._faults.add(address, f"another is called {given!r} already; give this one a name of its own")
        name = given or unused_name(use.rpartition(":")[2], names)
        names.add(name)
        return name

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
        trainer = self._components.built.get(("train",))
        if "judge" in data and trainer is not None and type(trainer).teacher is kinds.Trainer.teacher:
            message = "the trainer does not say how its models are asked, so none can be judged; remove 'judge:'"
            faults.add(("judge",), message, at_key=True)
        if data.get("stages", []) == [] and "data" not in data:
            faults.add((), "this recipe has no records to work on; add 'stages:' or 'data: FILE'")

    def _allowed(self, spec: ComponentSpec | None) -> None:
        """A cap on money can be kept only where the price is known, and a key goes to no host that its user has not
        allowed, whoever wrote the recipe."""
        if spec is None:
            return
        budget = self._data.get("budget")
        try:
            teacher: Any = self._components.manager.build(spec.kind, {"use": spec.use, **spec.options})
            if isinstance(budget, dict) and budget.get("usd") is not None and teacher.price() is None:
                self._faults.add(("budget", "usd"), unknown_price(spec.use), at_key=True)
            why = refusal(teacher.destination())
        except FilialError as err:
            why = str(err)
        if why:
            self._faults.add(spec.path, f"teacher {spec.use!r}: {why}")
