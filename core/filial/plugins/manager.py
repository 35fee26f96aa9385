"""Load a plugin when its name is first used, keep its failure to itself, and know who registered what."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pluggy

from filial import __version__
from filial.contracts.checks import SLUG
from filial.contracts.errors import MissingExtra, PluginError, UsageError
from filial.contracts.kinds import KINDS, Component, HookPlugin
from filial.plugins import discovery, hookspecs
from filial.plugins.content import content
from filial.plugins.discovery import HOOKS, Claim, Index, singular
from filial.plugins.hooks import Hooks, ModuleHooks, check_hooks, class_of_entry, classes_of_file
from filial.plugins.loading import contained, import_entry, import_file, is_installed
from filial.plugins.options import change_files, locate_files, validated
from filial.storage import file_sha256

log = logging.getLogger("filial.plugins")
C = TypeVar("C")


class Manager:
    """All plugins of one process.

    Attributes:
        index: who claims which name, from metadata alone; a file given to `load_file` is added to it.
        hook: the lifecycle hooks of the plugins loaded so far.
        files: those given to `load_file`.
    """

    def __init__(self, index: Index | None = None, *, no_plugins: bool = False) -> None:
        self.index = discovery.index(no_plugins=no_plugins) if index is None else index
        self.files: list[Path] = []
        self._pm = pluggy.PluginManager("filial")
        self._pm.add_hookspecs(hookspecs)
        self.hook = Hooks(self._pm, lambda name: self._hooks_name(self._claims[name]))
        self._found: dict[tuple[str, str, str], type[Component]] = {}  # (distribution, kind, name)
        self._claims: dict[str, Claim] = {}  # plugin -> the claim that loaded it
        self._failed: dict[str, str] = {}  # plugin -> what its failure was
        self._owners: dict[str, str] = {}  # top-level module -> distribution and version
        self._staged: dict[tuple[str, str], type[Component]] | None = None  # what is being registered just now
        for kind in KINDS:  # historic: every plugin loaded later still receives this call
            caller: pluggy.HookCaller = getattr(self._pm.hook, f"register_{kind}")
            caller.call_historic(kwargs={"register": partial(self._register, kind)})

    def get(self, kind: str, name: str) -> type[Component]:
        """The class behind ``name`` or ``dist:name``; its plugin is imported if it was not yet.

        Of the kind "hooks" it is a `HookPlugin`, which joins in nothing before `activate`.

        Raises:
            PluginError: the name is unknown, blocked or claimed twice, or its plugin is broken.
        """
        claim = self.index.claim(kind, name)
        key = (claim.dist, kind, claim.name)
        if key not in self._found and kind == HOOKS:
            with self._contained(claim):
                self._found[key] = class_of_entry(claim.name, import_entry(claim.value))
        elif key not in self._found:
            self._load(claim, lambda: import_entry(claim.value))
        if key not in self._found:
            names = ", ".join(repr(n) for d, k, n in self._found if (d, k) == (claim.dist, kind))
            what = f"{claim.owner} promises {singular(kind)} {claim.name!r} ({claim.entry})"
            raise PluginError(f"{what}, but registers {names or f'no {singular(kind)} at all'}")
        return self._found[key]

    def entry_class(self, group: str, name: str, base: type[C]) -> type[C]:
        """The class that the entry of a group names, imported if it was not yet; nothing is registered.

        Raises:
            PluginError: as `get`; or the entry names no subclass of ``base`` that has all its methods.
        """
        claim = self.index.claim(group, name)
        with self._contained(claim):
            if not SLUG.fullmatch(claim.name):
                raise PluginError("a name is kebab-case, such as 'deep-sea'")
            found = import_entry(claim.value)
            if not (isinstance(found, type) and issubclass(found, base)):
                raise PluginError(f"{found!r} is no {singular(group)} class")
            if missing := sorted(getattr(found, "__abstractmethods__", ())):
                raise PluginError(f"{found.__name__} has no method {missing[0]}")
        self._owners[found.__module__.partition(".")[0]] = claim.owner
        return found

    def build(self, kind: str, spec: str | Mapping[str, Any], where: str = "") -> Component:
        """The component that ``spec`` describes: a name, or ``use: name`` with options beside it.

        Args:
            where: put in front of every message, such as ``--teacher``.

        Raises:
            UsageError: no such plugin (`PluginError`), or its options are wrong; one sentence.
        """
        options = {"use": spec} if isinstance(spec, str) else dict(spec)
        use, one = options.pop("use", None), f"{where}: {singular(kind)}" if where else singular(kind)
        if not isinstance(use, str):
            raise UsageError(f"{one} needs 'use: NAME'")
        try:
            cls = self.get(kind, use)
        except PluginError as err:
            raise PluginError(f"{where}: {err}" if where else str(err)) from err
        return validated(cls, options, owner=f"{one} {use!r}")

    def provenance(self, what: str | Component | type[Component], name: str = "") -> str:
        """``dist:name==version`` of a loaded component, or of ``(kind, name)`` without importing it.

        A component that no plugin registered is named by its module and class.
        """
        claim = self._claim(what, name)
        return f"{claim.dist}:{claim.name}=={claim.version}" if claim else _class_name(what)

    def identity(self, what: str | Component | type[Component], name: str = "") -> str:
        """`provenance` without the version, the same however a recipe writes the distribution: who gives an answer."""
        claim = self._claim(what, name)
        return claim.identity if claim else _class_name(what)

    def _claim(self, what: str | Component | type[Component], name: str = "") -> Claim | None:
        if isinstance(what, str):
            return self.index.claim(what, name)
        cls = what if isinstance(what, type) else type(what)
        found = next((key for key, known in self._found.items() if known is cls), None)
        return self.index.claim(found[1], f"{found[0]}:{found[2]}") if found else None

    def claimants(self, kind: str, name: str) -> list[str]:
        """All who claim the bare name of ``name`` or ``dist:name``, as `identity`."""
        return [claim.identity for claim in self.index[kind].get(name.rpartition(":")[2], [])]

    def version(self, kind: str, name: str) -> str:
        """A component's version, with a digest of its code where the version does not say it all: what keys hold."""
        return _version(self.index.claim(kind, name))

    def own_version(self) -> str:
        """filial's version, likewise."""
        claims = (claim for names in self.index.values() for claims in names.values() for claim in claims)
        ours = next((claim for claim in claims if claim.dist == discovery.OURSELVES), None)
        return _version(replace(ours, value="filial", version=__version__)) if ours else __version__

    def owner(self, module: str) -> str:
        """The distribution and version of the loaded plugin that a module belongs to; "" where there is none."""
        return self._owners.get(module.partition(".")[0], "")

    def name_of(self, cls: type[Component]) -> str:
        """Return how a recipe names a class: ``name``, or ``dist:name`` where the bare name is another's; "" where
        nobody registers it. Whoever may have brought it, going by its module, is loaded."""
        kind, module = _kind(cls), f"{cls.__module__}."
        for name, claims in self.index[kind].items():
            for claim in claims:
                if module.startswith(f"{claim.value.partition(':')[0]}."):
                    with suppress(PluginError):  # a plugin that cannot be loaded has not registered this class
                        self.get(kind, f"{claim.dist}:{name}")
        if (found := self._claim(cls)) is None:
            return ""
        return found.name if self.index.bare(kind, found.name) == [found] else f"{found.dist}:{found.name}"

    def adopt(self, cls: type[Component]) -> str:
        """Give a class that no package registers a name, for as long as this manager lives. Returns it.

        Raises:
            PluginError: it could not be registered either, or another class of its module has this name.
        """
        kind, dist = _kind(cls), cls.__module__
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_+", "-", cls.__name__).strip("-").lower()
        self._staged = {}
        try:
            self._register(kind, name, cls)
        finally:
            self._staged = None
        if self._found.setdefault((dist, kind, name), cls) is not cls:
            raise PluginError(f"two classes of {dist} are called {cls.__name__}; rename one of them")
        claim = Claim(kind, name, f"{dist}:{cls.__qualname__}", dist, "unregistered", "")
        if claim not in self.index[kind].get(name, ()):
            self.index.add(claim)
        return self.name_of(cls)

    def check_requirements(self, cls: type[Component]) -> None:
        """See that what a component needs beyond the core is installed, without importing it.

        Raises:
            MissingExtra: something is not; the message holds the ``pip install`` line.
        """
        missing = [module for module in cls.requires if not is_installed(module)]
        if missing:
            claim = self._claim(cls)
            extra = f"'{claim.dist if claim else discovery.OURSELVES}[{cls.extra}]'"
            needs = f"{cls.__name__} needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'}"
            raise MissingExtra(f"{needs} not installed; run: pip install {extra if cls.extra else ' '.join(missing)}")

    def activate(self, name: str, options: Mapping[str, Any] | None = None, base: Path | None = None) -> None:
        """Let a plugin that brings hooks only (an entry of the group ``filial.hooks``) join in, with these options.

        With other options than before, it takes the place of the one before.

        Args:
            base: the folder in which the files that options name are looked for; default: the current one.

        Raises:
            UsageError: its options are wrong; or it is broken (`PluginError`, as `get`).
        """
        cls, claim = self.get(HOOKS, name), self.index.claim(HOOKS, name)
        plugin = locate_files(validated(cls, options or {}, owner=f"hook {name!r}"), base or Path.cwd())
        before = self._pm.get_plugin(_plugin(claim))
        if isinstance(before, HookPlugin) and before.model_dump() != plugin.model_dump():
            self._pm.unregister(before)
        self._load(claim, lambda: plugin.module if isinstance(plugin, ModuleHooks) else plugin)

    def ask_hooks(self) -> list[tuple[str, dict[str, Any]]]:
        """Whoever wraps calls to a teacher, the innermost first: ``dist:name==version``, as `version`, and options.

        A file that an option names is given by a digest of what it holds.
        """
        found = []
        for name in self.hook.implementing("ask"):
            claim, plugin = self._claims[name], self._pm.get_plugin(name)
            options = change_files(plugin, _digest) if isinstance(plugin, HookPlugin) else {}
            found.append((self._hooks_name(claim, _version(claim)), options))
        return found

    def _hooks_name(self, claim: Claim, version: str = "") -> str:
        """One name per module, whichever of its components was loaded first."""
        same = [c for claims in self.index[HOOKS].values() for c in claims if _plugin(c) == _plugin(claim)]
        name = claim.name if claim.kind == HOOKS else same[0].name if same else claim.value
        return f"{claim.dist}:{name}=={version or claim.version}"

    def load_file(self, path: Path) -> list[tuple[str, str]]:
        """Load one file as a plugin, without packaging; its name stands for the distribution.

        Its version is a hash of its text, so that a changed file counts as another plugin.

        Returns:
            (kind, name) of what it registers.

        Raises:
            UsageError: there is no such file.
            PluginError: it is broken, does nothing, or another file of that name is loaded.
        """
        if not path.is_file():
            raise UsageError(f"--plugin {path}: there is no such file")
        version = f"0+{file_sha256(path)[:12]}"
        label = Claim(HOOKS, path.stem, str(path.resolve()), path.name, version, str(path.parent))
        loaded = self._pm.has_plugin(_plugin(label))
        if not loaded and any(dist == path.name for dist, _, _ in self._found):
            raise PluginError(f"--plugin {path}: another file called {path.name} is loaded; rename one of them")
        self._load(label, partial(import_file, path))
        names = [(kind, name) for dist, kind, name in self._found if dist == path.name]
        if not loaded:
            self.files.append(path.absolute())
            for kind, name in names:
                of = f":{self._found[path.name, kind, name].__name__}" if kind == HOOKS else ""
                self.index.add(replace(label, kind=kind, name=name, value=label.value + of))
            for news in self.index.overshadowed(path.name):
                log.warning(news)
        return names

    def _load(self, claim: Claim, importer: Callable[[], Any]) -> None:
        """Import and register the plugin behind a claim, once, all or nothing."""
        plugin = _plugin(claim)
        if self._pm.has_plugin(plugin):
            return
        with self._contained(claim):
            module, staged = importer(), dict[tuple[str, str], type[Component]]()
            if claim.is_file and isinstance(module, ModuleType):
                staged |= {(HOOKS, name): cls for name, cls in classes_of_file(module).items()}
            check_hooks(self._pm, module, promises=claim.kind in KINDS or bool(staged))
            self._claims[plugin], self._staged = claim, staged
            try:
                self._pm.register(module, name=plugin)
            except BaseException:  # pluggy does not undo a registration that fails half way
                if self._pm.has_plugin(plugin):
                    self._pm.unregister(name=plugin)
                raise
            finally:
                self._staged = None
            self._found |= {(claim.dist, kind, name): cls for (kind, name), cls in staged.items()}
            self._owners[getattr(module, "__name__", type(module).__module__).partition(".")[0]] = claim.owner

    @contextmanager
    def _contained(self, claim: Claim) -> Iterator[None]:
        """As `contained`; what has failed is not tried again."""
        if error := self._failed.get(_plugin(claim)):
            raise PluginError(error)
        try:
            with contained(claim):
                _version(claim)  # of the code that is imported now, not of what may be edited later
                yield
        except PluginError as err:
            self._failed[_plugin(claim)] = str(err)
            raise

    def _register(self, kind: str, name: str, cls: type[Component]) -> None:
        """What a plugin's ``register`` does."""
        if self._staged is None:
            raise PluginError(f"register({name!r}, ...) may be called inside the hook register_{kind} only")
        what = f"it registers {name!r} as a {singular(kind)}, but"
        base = KINDS[kind]
        if not isinstance(name, str) or not SLUG.fullmatch(name):
            raise PluginError(f"{what} a name is kebab-case, such as 'deep-sea'")
        if not (isinstance(cls, type) and issubclass(cls, base)):
            raise PluginError(f"{what} {cls!r} is no subclass of filial.{base.__name__}")
        if missing := sorted(getattr(cls, "__abstractmethods__", ())):
            raise PluginError(f"{what} {cls.__name__} has no method {missing[0]}")
        if "use" in cls.model_fields:
            raise PluginError(f"{what} {cls.__name__} has an option called 'use', which names the plugin in a recipe")
        if self._staged.setdefault((kind, name), cls) is not cls:
            raise PluginError(f"{what} it does so twice, with different classes")


def _kind(cls: type[Component]) -> str:
    return next((kind for kind, base in KINDS.items() if issubclass(cls, base)), HOOKS)


def _plugin(claim: Claim) -> str:
    """The name by which pluggy knows a plugin: never the bare entry, so that two cannot shadow each other."""
    return f"{claim.dist}:{claim.value}"


def _class_name(what: Any) -> str:
    cls = what if isinstance(what, type) else type(what)
    return f"{cls.__module__}:{cls.__qualname__}"


def _version(claim: Claim) -> str:
    held = "" if claim.is_file else content(claim.path, claim.value)
    return f"{claim.version}+{held}" if held else claim.version


def _digest(path: str) -> str:
    return file_sha256(Path(path)) if Path(path).is_file() else path
