"""The plugin manager: loads a plugin when its name is first used and contains its errors."""

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
from filial.plugins.content import code_digest
from filial.plugins.discovery import HOOKS, Claim, Index, singular
from filial.plugins.hooks import Hooks, ModuleHooks, check_hooks, class_of_entry, classes_of_file
from filial.plugins.loading import contain_errors, import_entry, import_file, is_installed
from filial.plugins.options import change_files, locate_files, validate
from filial.storage import file_sha256

log = logging.getLogger("filial.plugins")
C = TypeVar("C")


class Manager:
    """All plugins of one process.

    Attributes:
        index: the claims to names, from metadata; `load_file` adds its file.
        hook: the hooks of the plugins loaded so far.
        files: the files loaded with `load_file`.
    """

    def __init__(self, index: Index | None = None, *, no_plugins: bool = False) -> None:
        self.index = discovery.index(no_plugins=no_plugins) if index is None else index
        self.files: list[Path] = []
        self._pm = pluggy.PluginManager("filial")
        self._pm.add_hookspecs(hookspecs)
        self.hook = Hooks(self._pm, lambda name: self._hooks_name(self._claims[name]))
        self._found: dict[tuple[str, str, str], type[Component]] = {}  # (distribution, kind, name)
        self._claims: dict[str, Claim] = {}  # plugin -> the claim that loaded it
        self._failed: dict[str, str] = {}  # plugin -> error message
        self._owners: dict[str, str] = {}  # top-level module -> distribution and version
        self._staged: dict[tuple[str, str], type[Component]] | None = None  # what a plugin registers while it loads
        for kind in KINDS:  # historic: plugins that load later receive this call too
            caller: pluggy.HookCaller = getattr(self._pm.hook, f"register_{kind}")
            caller.call_historic(kwargs={"register": partial(self._register, kind)})

    def get(self, kind: str, name: str) -> type[Component]:
        """Return the class of ``name`` or ``dist:name``; imports its plugin at the first call.

        For the kind "hooks" this is a `HookPlugin`, whose hooks are called only after `activate`.

        Raises:
            PluginError: the name is unknown, blocked or claimed twice, or its plugin is broken.
        """
        claim = self.index.claim(kind, name)
        key = (claim.dist, kind, claim.name)
        if key not in self._found and kind == HOOKS:
            with self._contain_errors(claim):
                self._found[key] = class_of_entry(claim.name, import_entry(claim.value))
        elif key not in self._found:
            self._load(claim, lambda: import_entry(claim.value))
        if key not in self._found:
            names = ", ".join(repr(n) for d, k, n in self._found if (d, k) == (claim.dist, kind))
            what = f"{claim.owner} promises {singular(kind)} {claim.name!r} ({claim.entry})"
            raise PluginError(f"{what}, but registers {names or f'no {singular(kind)} at all'}")
        return self._found[key]

    def entry_class(self, group: str, name: str, base: type[C]) -> type[C]:
        """Import and return the class that an entry of a group names, without registering anything.

        Raises:
            PluginError: the name is unknown, blocked or claimed twice, its plugin is broken, or the entry is not a
                subclass of ``base`` with all its methods.
        """
        claim = self.index.claim(group, name)
        with self._contain_errors(claim):
            if not SLUG.fullmatch(claim.name):
                raise PluginError("a name is kebab-case, such as 'deep-sea'")
            found = import_entry(claim.value)
            if not (isinstance(found, type) and issubclass(found, base)):
                raise PluginError(f"{found!r} is not a {singular(group)} class")
            if missing := sorted(getattr(found, "__abstractmethods__", ())):
                raise PluginError(f"{found.__name__} has no method {missing[0]}")
        self._owners[found.__module__.partition(".")[0]] = claim.owner
        return found

    def build(self, kind: str, spec: str | Mapping[str, Any], where: str = "") -> Component:
        """Build the component that ``spec`` describes: a name, or a mapping of ``use: name`` and options.

        Args:
            where: prefix of every message, such as ``--teacher``.

        Raises:
            UsageError: there is no such plugin (`PluginError`), or an option is invalid.
        """
        options = {"use": spec} if isinstance(spec, str) else dict(spec)
        use, one = options.pop("use", None), f"{where}: {singular(kind)}" if where else singular(kind)
        if not isinstance(use, str):
            raise UsageError(f"{one} needs 'use: NAME'")
        try:
            cls = self.get(kind, use)
        except PluginError as err:
            raise PluginError(f"{where}: {err}" if where else str(err)) from err
        return validate(cls, options, owner=f"{one} {use!r}")

    def provenance(self, what: str | Component | type[Component], name: str = "") -> str:
        """Return ``dist:name==version`` of a loaded component, or of ``(kind, name)`` without importing it.

        A component that no plugin registered is named by its module and class.
        """
        claim = self._claim(what, name)
        return f"{claim.dist}:{claim.name}=={claim.version}" if claim else _class_name(what)

    def identity(self, what: str | Component | type[Component], name: str = "") -> str:
        """Return `provenance` without the version, and with the distribution's name normalized."""
        claim = self._claim(what, name)
        return claim.identity if claim else _class_name(what)

    def _claim(self, what: str | Component | type[Component], name: str = "") -> Claim | None:
        if isinstance(what, str):
            return self.index.claim(what, name)
        cls = what if isinstance(what, type) else type(what)
        found = next((key for key, known in self._found.items() if known is cls), None)
        return self.index.claim(found[1], f"{found[0]}:{found[2]}") if found else None

    def claimants(self, kind: str, name: str) -> list[str]:
        """Return the `identity` of every plugin that claims the name in ``name`` or ``dist:name``."""
        return [claim.identity for claim in self.index[kind].get(name.rpartition(":")[2], [])]

    def version(self, kind: str, name: str) -> str:
        """Return a component's version for stage keys, with a digest of code that can change under the version."""
        return _version(self.index.claim(kind, name))

    def own_version(self) -> str:
        """Return filial's own version for stage keys, with a digest if filial is installed in editable form."""
        claims = (claim for names in self.index.values() for claims in names.values() for claim in claims)
        ours = next((claim for claim in claims if claim.dist == discovery.OURSELVES), None)
        return _version(replace(ours, value="filial", version=__version__)) if ours else __version__

    def owner(self, module: str) -> str:
        """Return the distribution and version of the loaded plugin that a module belongs to; "" if there is none."""
        return self._owners.get(module.partition(".")[0], "")

    def name_of(self, cls: type[Component]) -> str:
        """Return a class's name in recipes: ``name``, or ``dist:name`` if the bare name means another class; "" if no
        plugin registers it. Plugins whose module can contain the class are loaded."""
        kind, module = _kind(cls), f"{cls.__module__}."
        for name, claims in self.index[kind].items():
            for claim in claims:
                if module.startswith(f"{claim.value.partition(':')[0]}."):
                    with suppress(PluginError):  # a plugin that cannot be loaded has not registered this class
                        self.get(kind, f"{claim.dist}:{name}")
        if (found := self._claim(cls)) is None:
            return ""
        return found.name if self.index.find_claims(kind, found.name) == [found] else f"{found.dist}:{found.name}"

    def adopt(self, cls: type[Component]) -> str:
        """Name a class that no package registers, for the lifetime of this manager. Returns the name.

        Raises:
            PluginError: the class cannot be registered, or another class of its module has this name.
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
        """Check that the packages a component needs beyond the core are installed, without importing them.

        Raises:
            MissingExtra: a package is missing; the message has the ``pip install`` command.
        """
        missing = [module for module in cls.requires if not is_installed(module)]
        if missing:
            claim = self._claim(cls)
            extra = f"'{claim.dist if claim else discovery.OURSELVES}[{cls.extra}]'"
            needs = f"{cls.__name__} needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'}"
            raise MissingExtra(f"{needs} not installed; run: pip install {extra if cls.extra else ' '.join(missing)}")

    def activate(self, name: str, options: Mapping[str, Any] | None = None, base: Path | None = None) -> None:
        """Register the hooks of a plugin of the group ``filial.hooks``, with these options.

        A second call with other options replaces the plugin.

        Args:
            base: the folder of relative file names in options; default: the current folder.

        Raises:
            UsageError: an option is invalid, or the plugin is unknown or broken (`PluginError`).
        """
        cls, claim = self.get(HOOKS, name), self.index.claim(HOOKS, name)
        plugin = locate_files(validate(cls, options or {}, owner=f"hook {name!r}"), base or Path.cwd())
        before = self._pm.get_plugin(_plugin(claim))
        if isinstance(before, HookPlugin) and before.model_dump() != plugin.model_dump():
            self._pm.unregister(before)
        self._load(claim, lambda: plugin.module if isinstance(plugin, ModuleHooks) else plugin)

    def ask_hooks(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the plugins that wrap teacher calls, innermost first: ``dist:name==version`` and options, for keys.

        A file in an option is replaced by the digest of its content.
        """
        found = []
        for name in self.hook.implementers("ask"):
            claim, plugin = self._claims[name], self._pm.get_plugin(name)
            options = change_files(plugin, _digest) if isinstance(plugin, HookPlugin) else {}
            found.append((self._hooks_name(claim, _version(claim)), options))
        return found

    def _hooks_name(self, claim: Claim, version: str = "") -> str:
        """Return one name per module, whichever of its components was loaded first."""
        same = [c for claims in self.index[HOOKS].values() for c in claims if _plugin(c) == _plugin(claim)]
        name = claim.name if claim.kind == HOOKS else same[0].name if same else claim.value
        return f"{claim.dist}:{name}=={version or claim.version}"

    def load_file(self, path: Path) -> list[tuple[str, str]]:
        """Load one Python file as a plugin, without packaging; its name serves as the distribution's.

        Its version is a hash of its text, so that a changed file counts as another plugin.

        Returns:
            (kind, name) of each component that it registers.

        Raises:
            UsageError: there is no such file.
            PluginError: it is broken, registers nothing, or another file of that name is loaded.
        """
        if not path.is_file():
            raise UsageError(f"plugin {path}: there is no such file")
        version = f"0+{file_sha256(path)[:12]}"
        label = Claim(HOOKS, path.stem, str(path.resolve()), path.name, version, str(path.parent))
        loaded = self._pm.has_plugin(_plugin(label))
        if not loaded and any(dist == path.name for dist, _, _ in self._found):
            raise PluginError(f"plugin {path}: another file called {path.name} is loaded; rename one of them")
        self._load(label, partial(import_file, path))
        names = [(kind, name) for dist, kind, name in self._found if dist == path.name]
        if not loaded:
            self.files.append(path.absolute())
            for kind, name in names:
                of = f":{self._found[path.name, kind, name].__name__}" if kind == HOOKS else ""
                self.index.add(replace(label, kind=kind, name=name, value=label.value + of))
            for news in self.index.find_shadowed(path.name):
                log.warning(news)
        return names

    def _load(self, claim: Claim, importer: Callable[[], Any]) -> None:
        """Import and register the plugin of a claim, once; if anything fails, nothing is registered."""
        plugin = _plugin(claim)
        if self._pm.has_plugin(plugin):
            return
        with self._contain_errors(claim):
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
    def _contain_errors(self, claim: Claim) -> Iterator[None]:
        """Contain errors like `filial.plugins.loading.contain_errors`, and raise a plugin's first error again."""
        if error := self._failed.get(_plugin(claim)):
            raise PluginError(error)
        try:
            with contain_errors(claim):
                _version(claim)  # digest the code now: it may be edited after the import
                yield
        except PluginError as err:
            self._failed[_plugin(claim)] = str(err)
            raise

    def _register(self, kind: str, name: str, cls: type[Component]) -> None:
        """Register a class: the ``register`` argument of the registration hooks."""
        if self._staged is None:
            raise PluginError(f"call register({name!r}, ...) only inside the hook register_{kind}")
        what = f"it registers {name!r} as a {singular(kind)}, but"
        base = KINDS[kind]
        if not isinstance(name, str) or not SLUG.fullmatch(name):
            raise PluginError(f"{what} a name is kebab-case, such as 'deep-sea'")
        if not (isinstance(cls, type) and issubclass(cls, base)):
            raise PluginError(f"{what} {cls!r} is not a subclass of filial.{base.__name__}")
        if missing := sorted(getattr(cls, "__abstractmethods__", ())):
            raise PluginError(f"{what} {cls.__name__} has no method {missing[0]}")
        if "use" in cls.model_fields:
            raise PluginError(f"{what} {cls.__name__} has an option called 'use', which names the plugin in a recipe")
        if self._staged.setdefault((kind, name), cls) is not cls:
            raise PluginError(f"{what} it does so twice, with different classes")


def _kind(cls: type[Component]) -> str:
    return next((kind for kind, base in KINDS.items() if issubclass(cls, base)), HOOKS)


def _plugin(claim: Claim) -> str:
    """Return pluggy's name for a plugin; with the distribution, so that two plugins cannot replace each other."""
    return f"{claim.dist}:{claim.value}"


def _class_name(what: Any) -> str:
    cls = what if isinstance(what, type) else type(what)
    return f"{cls.__module__}:{cls.__qualname__}"


def _version(claim: Claim) -> str:
    held = "" if claim.is_file else code_digest(claim.path, claim.value)
    return f"{claim.version}+{held}" if held else claim.version


def _digest(path: str) -> str:
    return file_sha256(Path(path)) if Path(path).is_file() else path
