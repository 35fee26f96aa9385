"""Turn plain data into a `Recipe`: check every part and collect every fault.

The models check each part by itself (`filial.recipe.settings`, the options of a component). This module checks what a
part needs from other parts, from the plugins and from the folder of the recipe.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from filial.contracts import kinds
from filial.contracts.errors import FilialError, PluginError, UsageError, near
from filial.gateway.budget import unknown_price
from filial.gateway.keys import refusal
from filial.plugins.discovery import STAGES, singular
from filial.plugins.options import locate_files
from filial.plugins.wording import describe_value, describe_wrong_type
from filial.plugins.yaml import Address
from filial.recipe.faults import Faults
from filial.recipe.model import BASE, ComponentSpec, JudgeSpec, Recipe, StageSpec, unused_name
from filial.recipe.settings import HELDOUT, Part, Rival, Root, StageSettings, parts, stage_class

if TYPE_CHECKING:
    from filial.plugins.manager import Manager


def read_recipe(data: Any, name: str, manager: Manager, faults: Faults) -> Recipe:
    """Check the data of a recipe.

    Raises:
        RecipeError: with every fault, including those already in ``faults``.
    """
    if not isinstance(data, dict):
        faults.add((), f"a recipe is a mapping of keys such as seed, teacher and stages, not {describe_value(data)}")
        faults.raise_if_any()
    faults.hide_secrets(data)
    recipe = _Walk(data, name, manager, faults).recipe()
    faults.raise_if_any()
    assert recipe is not None
    return recipe


def read_stage(data: dict[str, Any], name: str, manager: Manager, faults: Faults) -> StageSpec:
    """Check a stage outside a recipe: it needs no records and no teacher, and no default depends on its position.

    Raises:
        RecipeError: with every fault.
    """
    stage = _Walk({"data": name}, name, manager, faults, alone=True).stage(data, 0)
    faults.raise_if_any()
    assert stage is not None
    return stage


class _Components:
    """Reads the components of one recipe and adds what is wrong to ``faults``.

    Attributes:
        built: the components without faults, by address.
        asking: the addresses of the components that ask a teacher.
    """

    def __init__(self, manager: Manager, faults: Faults) -> None:
        self._manager, self._faults = manager, faults
        self.built: dict[Address, Any] = {}
        self.asking: list[Address] = []

    def read(self, item: Any, part: Part, address: Address) -> ComponentSpec | None:
        """Return the component at an address, written ``name`` or ``{use: name, …}``; None if it has a fault."""
        body = {"use": item} if isinstance(item, str) else item
        at = address if isinstance(item, str) else (*address, "use")
        one = singular(part.kind)
        if not isinstance(body, dict):
            instead = "" if body is None else f", not {describe_value(body)}"
            self._faults.add(address, f"the name of a {one} belongs here, or {{use: NAME, …}}{instead}")
            return None
        use = body.get("use")
        if not isinstance(use, str):
            why = f"use: {describe_wrong_type(use, ['text (in quotes)'])}"
            self._faults.add(at, why if "use" in body else f"which {one}? add 'use: NAME'")
            return None
        owner, keys = f"{one} {describe_value(use)}", part.beside.model_fields
        own = {key: value for key, value in body.items() if key in keys}
        options = {key: value for key, value in body.items() if key not in keys and key != "use"}
        settings = self._faults.validate(part.beside, own, address, owner)
        try:
            found = self._manager.get(part.kind, use)
        except PluginError as err:
            self._faults.add(at, str(err))
            return None
        if taken := sorted(keys & found.model_fields.keys()):
            message = f"{one} {use!r} has an option {taken[0]!r}, which the recipe needs for itself"
            self._faults.add(at, f"{message}; its author has to rename it")
            return None
        component = self._faults.validate(found, options, address, owner, keys)
        if component is None or settings is None or not self._is_usable(component, address, owner):
            return None
        where = self._faults.where(at)
        return ComponentSpec(part.kind, use, component.model_dump(mode="json"), settings, address, where)

    def read_list(self, items: Any, part: Part, address: Address) -> list[ComponentSpec]:
        """Return the components of a list. A value that is not a list is reported by its own model."""
        items = items if isinstance(items, list) else []
        found = [self.read(item, part, (*address, i)) for i, item in enumerate(items)]
        return [spec for spec in found if spec]

    def _is_usable(self, component: kinds.Component, address: Address, owner: str) -> bool:
        """Return whether the files that its options name are valid, and the component keeps its contract."""
        faults, options, base = self._faults, component.model_dump(mode="json"), self._faults.base
        self.built[address] = component
        if component.asks:
            self.asking.append(address)
        if isinstance(component, kinds.Judge) and component.compares not in (1, 2):
            faults.add(address, f"{owner} compares {component.compares!r} candidates; a judge compares 1 or 2")
            return False
        if faults.validate(type(component), options, address, owner) is None:
            return False
        locate = partial(locate_files, component, base)
        return faults.validate(type(component), options, address, owner, make=locate) is not None


Read = tuple[StageSettings | None, tuple[ComponentSpec, ...]]
"""The settings of a stage (None if they have a fault) and its components."""


class _Walk:
    """Checks one recipe, part by part."""

    def __init__(
        self, data: dict[str, Any], name: str, manager: Manager, faults: Faults, *, alone: bool = False
    ) -> None:
        self._data, self._name, self._manager, self._faults, self._alone = data, name, manager, faults, alone
        self._components = _Components(manager, faults)
        faults.context["build_format"] = partial(manager.build, "formats")

    def recipe(self) -> Recipe | None:
        """Return the recipe, if its root has no fault."""
        data, named = self._data, parts(Root)
        root = self._faults.validate(Root, data, (), Root.owner)
        single: dict[str, Any] = {
            key: self._components.read(data[key], named[key], (key,))
            for key in ("teacher", "template", "train")
            if key in data
        }
        stages = data.get("stages")
        found = [self.stage(item, i) for i, item in enumerate(stages)] if isinstance(stages, list) else []
        judges = self._read_judges()
        hooks = self._load_hooks(self._components.read_list(data.get("hooks"), named["hooks"], ("hooks",)))
        self._check_together()
        self._check_teacher(single.get("teacher"))
        if root is None:
            return None
        return Recipe(
            name=self._name, base=self._faults.base, seed=root.seed, hooks=hooks, data=root.data,
            budget=root.budget.plain_values() if root.budget else {}, stages=tuple(stage for stage in found if stage),
            heldout=root.heldout, judges=judges, **single,
        )  # fmt: skip

    def _load_hooks(self, specs: list[ComponentSpec]) -> tuple[ComponentSpec, ...]:
        """Load the hook plugins of the recipe, and return them."""
        hooks = dict[str, ComponentSpec]()
        for spec in specs:
            try:
                if hooks.setdefault(self._manager.provenance(spec.kind, spec.use), spec) is not spec:
                    raise UsageError(f"the hook {describe_value(spec.use)} is named twice; remove one")
                self._manager.activate(spec.use, spec.options, self._faults.base)
            except UsageError as err:
                self._faults.add(spec.path, str(err))
        return tuple(hooks.values())

    def stage(self, item: Any, index: int) -> StageSpec | None:
        """Return the stage at a position of the list; None if it has a fault."""
        address: Address = ("stages", index)
        verbs = self._manager.index[STAGES]
        if not isinstance(item, dict) or not item:
            why = f"a stage is '- VERB: …', with one of {', '.join(verbs)}, not {describe_value(item)}"
            self._faults.add(address, why)
            return None
        verb, *others = item
        at, body = (*address, verb), item[verb]
        try:
            model = stage_class(self._manager, str(verb))
        except PluginError as err:
            self._faults.add(at, str(err), at_key=True)
            return None
        for other in others:
            why = f"{describe_value(other)} stands beside {verb!r}, not in it; indent it further"
            if other in verbs:
                why = f"the stage {verb!r} ends before {other!r}; begin the next one with '- '"
            self._faults.add((*address, other), why, at_key=True)
        if others and body is None:
            return None
        settings, components = self._read_keys(model, verb, body, at)
        settings = self._check_keys(model, settings, verb, body if isinstance(body, dict) else {}, at)
        return StageSpec(verb, index, settings, components) if settings else None

    def _read_keys(self, model: type[StageSettings], verb: str, body: Any, at: Address) -> Read:
        """Return the keys and the components of a stage."""
        read, named = self._components, parts(model)
        if model.kind:
            specs = [read.read(body, Part(model.kind, model), at)]
            inside = model.nested(body) if isinstance(body, dict) else ()
            specs += [read.read(item, part, (*at, *address)) for address, item, part in inside]
            return (specs[0].settings if specs[0] else None), tuple(spec for spec in specs if spec)
        if model.alone:
            part = named[model.alone]
            if not isinstance(body, list):
                spec = read.read(body, part, at)
                return model(**{model.alone: [body]}), (spec,) if spec else ()
            if not body:
                self._faults.add(at, f"the list is empty; name a {singular(part.kind)}")
                return None, ()
            return model(**{model.alone: body}), tuple(read.read_list(body, part, at))
        if named and isinstance(body, list):
            key, part = next(iter(named.items()))
            self._faults.add(at, f"write '{key}:' in front of this list, indented under '{verb}:'")
            read.read_list(body, part, at)
            return None, ()
        given = body if isinstance(body, dict) else {}
        found = list[ComponentSpec]()
        for key, part in named.items():
            items = given.get(key, model.model_fields[key].get_default(call_default_factory=True, validated_data={}))
            found += read.read_list(items, part, (*at, key))
        return self._faults.validate(model, body, at, model.owner or f"the stage {verb!r}"), tuple(found)

    def _check_keys(
        self, model: type[StageSettings], settings: StageSettings | None, verb: str, given: dict[str, Any], at: Address
    ) -> StageSettings | None:
        """Check what the keys of a stage need from the rest of the recipe. Return them; None if they have a fault."""
        first = at[1] == 0 and "data" not in self._data

        def fault(message: str, key: str = "") -> None:
            self._faults.add((*at, key) if key else at, message, at_key=bool(key))

        def check() -> StageSettings | None:
            if first and not model.starts(given):
                why = f"{verb!r} has no records to start from; begin with a stage that makes some or add 'data: FILE'"
                self._faults.add(at, why, at_key=True)
            if model.asks(given):
                self._components.asking.append(at)
            depends = model.check(given, self._components.built.get(at), first, fault)
            return settings and (settings if self._alone else settings.model_copy(update=depends))

        return self._faults.validate(model, given, at, f"the stage {verb!r}", make=check)

    def _read_judges(self) -> tuple[JudgeSpec, ...]:
        body = self._data.get("judge", ())
        if body == [] or body is None:
            self._faults.add(("judge",), "no judge is named; name one, or remove the key")
            return ()
        names: set[str] = set()
        if isinstance(body, list | tuple):
            found = [self._read_judge(item, ("judge", i), names) for i, item in enumerate(body)]
        else:
            found = [self._read_judge(body, ("judge",), names)]
        return tuple(spec for spec in found if spec)

    def _read_judge(self, item: Any, address: Address, names: set[str]) -> JudgeSpec | None:
        given = item if isinstance(item, dict) else {}
        if given.get("data") == HELDOUT and self._data.get("heldout", 0) == 0:
            self._faults.add((*address, "data"), "no record is kept back; add 'heldout: 100', say, beside train")
        rivals = self._read_rivals(given.get("against"), (*address, "against"))
        spec = self._components.read(item, parts(Root)["judge"], address)
        if spec is None:
            return None
        own = spec.settings
        if self._components.built[address].compares == 2 and not own.against:
            self._faults.add(address, "this judge compares pairs, so name a rival: add 'against: [base]', say")
        name = self._choose_name(spec, names)
        return JudgeSpec(spec, name, own.data, rivals, own.only, own.limit, own.max_new_tokens)

    def _read_rivals(self, items: Any, address: Address) -> tuple[ComponentSpec | None, ...]:
        """Return the candidates judged in addition to the model; None stands for the model before training. The
        teachers among them are checked like the recipe's own."""
        found: list[ComponentSpec | None] = []
        names = {BASE, "model"}
        for i, item in enumerate(items if isinstance(items, list) else []):
            at = (*address, i)
            if item == BASE:
                found.append(None)
            elif isinstance(item, str) and near(item, [BASE]):
                self._faults.add(at, f"no rival {describe_value(item)}; did you mean {BASE!r}?")
            elif spec := self._components.read(item, Part(Rival.kind, Rival), at):
                self._check_teacher(spec)
                found.append(replace(spec, settings=Rival(name=self._choose_name(spec, names))))
        return tuple(found)

    def _choose_name(self, spec: ComponentSpec, names: set[str]) -> str:
        """Return a name for the figures, used once: the given one, or the component's, with a number if it is taken."""
        given = spec.settings.name
        if given in names:
            why = f"another is called {given!r} already; give this one a name of its own"
            self._faults.add((*spec.path, "name"), why)
        name: str = given or unused_name(spec.name, names)
        names.add(name)
        return name

    def _check_together(self) -> None:
        """Check what the parts need from each other."""
        data, faults = self._data, self._faults
        if self._components.asking and "teacher" not in data:
            why = "this asks a teacher, but the recipe names none; add a line 'teacher: {use: NAME, …}'"
            faults.add(self._components.asking[0], why)
        if "train" in data and "template" not in data:
            faults.add(("train",), "training needs a template; add a line 'template: {use: NAME}'", at_key=True)
        if "judge" in data and "train" not in data:
            why = "there is no model to judge; add 'train:', or judge a finished model with 'filial judge'"
            faults.add(("judge",), why, at_key=True)
        trainer = self._components.built.get(("train",))
        if "judge" in data and trainer is not None and type(trainer).teacher is kinds.Trainer.teacher:
            why = "the trainer does not say how its models are asked, so none can be judged; remove 'judge:'"
            faults.add(("judge",), why, at_key=True)
        if data.get("stages", []) == [] and "data" not in data:
            faults.add((), "this recipe has no records to work on; add 'stages:' or 'data: FILE'")

    def _check_teacher(self, spec: ComponentSpec | None) -> None:
        """Check that the price is known if money is capped, and that the user allows the API key for this host."""
        # The author of a recipe and its user may be different people: a recipe must not send a key anywhere.
        if spec is None:
            return
        budget = self._data.get("budget")
        try:
            teacher: Any = self._manager.build(spec.kind, {"use": spec.use, **spec.options})
            if isinstance(budget, dict) and budget.get("usd") is not None and teacher.price() is None:
                self._faults.add(("budget", "usd"), unknown_price(spec.use), at_key=True)
            why = refusal(teacher.destination())
        except FilialError as err:
            why = str(err)
        if why:
            self._faults.add(spec.path, f"teacher {spec.use!r}: {why}")
