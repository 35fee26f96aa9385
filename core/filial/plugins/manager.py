"""Load a plugin when its name is first used, keep its failure to itself, and know who registered what."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from filial import __version__
from filial.contracts.checks import SLUG
from filial.contracts.errors import MissingExtra, PluginError, UsageError
from filial.contracts.kinds import KINDS, Component, HookPlugin
from filial.plugins import discovery, hookspecs
from filial.plugins.content import content
from filial.plugins.discovery import HOOKS, Claim, Index, singular
from filial.plugins.hooks import Hooks
from filial.plugins.importing import contained, imported
from filial.plugins.loading import check_hooks, from_file, hooks_class, hooks_of_file, installed

log = logging.getLogger("filial.plugins")


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
        self._modules: dict[str, ModuleType] = {}  # plugin -> the module, where it brings hooks only and is no class
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
                _version(claim)
                self._found[key], module = hooks_class(claim)
            if module is not None:
                self._modules[_plugin(claim)] = module
        elif key not in self._found:
            self._load(claim)
        if key not in self._found:
            names = [n for d, k, n in self._found if (d, k) == (claim.dist, kind)]
            registers = "registers " + (", ".join(map(repr, names)) if names else f"no {singular(kind)} at all")
            raise PluginError(
                f"{claim.owner} promises {singular(kind)} {claim.name!r} ({claim.entry}), but {registers}"
            )
        return self._found[key]

    def build(self, kind: str, spec: str | Mapping[str, Any], where: str = "") -> Component:
        """The component that ``spec`` describes: a name, or ``use: name`` with options beside it.

        Args:
            where: put in front of every message, such as ``recipe.yaml:3:7``.

        Raises:
            UsageError: no such plugin (`PluginError`), or its options are wrong; one sentence.
        """
        from filial.plugins.options import validated

        at = f"{where}: " if where else ""
        options = {"use": spec} if isinstance(spec, str) else dict(spec)
        use = options.pop("use", None)
        if not isinstance(use, str):
            raise UsageError(f"{at}a {singular(kind)} needs 'use: NAME'")
        try:
            cls = self.get(kind, use)
        except PluginError as err:
            raise PluginError(f"{at}{err}") from err
        return validated(cls, options, owner=f"{at}{singular(kind)} {use!r}")

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

    def _claim(self, what: str | Component | type[Component], name: str) -> Claim | None:
        if isinstance(what, str):
            return self.index.claim(what, name)
        cls = what if isinstance(what, type) else type(what)
        found = ((kind, f"{dist}:{short}") for (dist, kind, short), known in self._found.items() if known is cls)
        return next((self.index.claim(kind, full) for kind, full in found), None)

    def claimants(self, kind: str, name: str) -> list[str]:
        """All who claim the bare name of ``name`` or ``dist:name``, as `identity`."""
        return [claim.identity for claim in self.index[kind].get(name.rpartition(":")[2], [])]

    def version(self, kind: str, name: str) -> str:
        """A component's version, with a digest of its code where the version does not say it all: what keys hold."""
        return _version(self.index.claim(kind, name))

    def own_version(self) -> str:
        """filial's version, likewise."""
        claims = (claim for names in self.index.values() for claims in names.values() for claim in claims)
        info = next((claim.path for claim in claims if claim.dist == discovery.OURSELVES), "")
        return _joined(__version__, content(info, "filial") if info else "")

    def owner(self, module: str) -> str:
        """The distribution and version of the loaded plugin that a module belongs to; "" where there is none."""
        return self._owners.get(module.partition(".")[0], "")

    def check_requirements(self, cls: type[Component]) -> None:
        """See that what a component needs beyond the core is installed, without importing it.

        Raises:
            MissingExtra: something is not; the message holds the ``pip install`` line.
        """
        missing = [module for module in cls.requires if not installed(module)]
        if not missing:
            return
        owner = next((dist for (dist, _, _), found in self._found.items() if found is cls), discovery.OURSELVES)
        install = f"'{owner}[{cls.extra}]'" if cls.extra else " ".join(missing)
        verb = "is" if len(missing) == 1 else "are"
        needs = f"{cls.__name__} needs {' and '.join(missing)}, which {verb} not installed"
        raise MissingExtra(f"{needs}; run: pip install {install}")

    def activate(self, name: str, options: Mapping[str, Any] | None = None, base: Path | None = None) -> None:
        """Let a plugin that brings hooks only (an entry of the group ``filial.hooks``) join in, with these options.

        With other options than before, it takes the place of the one before.

        Args:
            base: the folder in which the files that options name are looked for; default: the current one.

        Raises:
            UsageError: its options are wrong; or it is broken (`PluginError`, as `get`).
        """
        from filial.plugins.options import locate_files, validated

        cls, claim = self.get(HOOKS, name), self.index.claim(HOOKS, name)
        plugin: Any = locate_files(validated(cls, options or {}, owner=f"hook {name!r}"), base or Path.cwd())
        plugin = self._modules.get(_plugin(claim), plugin)
        before = self._pm.get_plugin(_plugin(claim))
        if isinstance(before, HookPlugin) and before.model_dump() != plugin.model_dump():
            self._pm.unregister(name=_plugin(claim))
        self._load(claim, lambda: plugin)

    def ask_hooks(self) -> list[tuple[str, dict[str, Any]]]:
        """Whoever wraps calls to a teacher, the innermost first: ``dist:name==version``, as `version`, and options.

        A file that an option names is given by a digest of what it holds.
        """
        claims = [(name, self._claims[name]) for name in self.hook.implementing("ask")]
        return [(self._hooks_name(claim, _version(claim)), self._hook_options(name)) for name, claim in claims]

    def _hooks_name(self, claim: Claim, version: str = "") -> str:
        """One name per module, whichever of its components was loaded first."""
        same = [c for claims in self.index[HOOKS].values() for c in claims if _plugin(c) == _plugin(claim)]
        name = claim.name if claim.kind == HOOKS else same[0].name if same else claim.value
        return f"{claim.dist}:{name}=={version or claim.version}"

    def _hook_options(self, name: str) -> dict[str, Any]:
        from filial.plugins.options import named
        from filial.storage import file_sha256

        plugin = self._pm.get_plugin(name)
        options: dict[str, Any] = plugin.model_dump(mode="json") if isinstance(plugin, HookPlugin) else {}
        for (option, *at), path in list(named(type(plugin), options)) if options else ():
            said = file_sha256(Path(path)) if Path(path).is_file() else path
            if at:
                options[str(option)][at[0]] = said
            else:
                options[str(option)] = said
        return options

    def load_file(self, path: Path) -> list[tuple[str, str]]:
        """Load one file as a plugin, without packaging; its name stands for the distribution.

        Its version is a hash of its text, so that a changed file counts as another plugin.

        Returns:
            (kind, name) of what it registers.

        Raises:
            UsageError: there is no such file.
            PluginError: it is broken, does nothing, or another file of that name is loaded.
        """
        from hashlib import sha256

        if not path.is_file():
            raise UsageError(f"--plugin {path}: there is no such file")
        version = f"0+{sha256(path.read_bytes()).hexdigest()[:12]}"
        label = Claim("hooks", path.stem, str(path.resolve()), path.name, version, str(path.parent))
        before = set(self._found)
        if any(dist == path.name for dist, _, _ in before) and not self._pm.has_plugin(_plugin(label)):
            raise PluginError(f"--plugin {path}: another file called {path.name} is loaded; rename one of them")
        self._load(label, partial(from_file, path))
        if path.absolute() not in self.files:
            self.files.append(path.absolute())
        for name, cls in hooks_of_file(self._pm.get_plugin(_plugin(label))).items():
            self._found[path.name, HOOKS, name] = cls
        names = [(kind, name) for dist, kind, name in self._found if dist == path.name]
        new = [(kind, name) for kind, name in names if (path.name, kind, name) not in before]
        for kind, name in new:
            value = f"{label.value}:{self._found[path.name, kind, name].__name__}" if kind == HOOKS else label.value
            self.index.add(Claim(kind, name, value, label.dist, version, label.path))
        for news in self.index.overshadowed(path.name) if new else ():
            log.warning(news)
        return names

    def _load(self, claim: Claim, importer: Any = None) -> None:
        """Import and register the plugin behind a claim, once, all or nothing."""
        if self._pm.has_plugin(_plugin(claim)):
            return
        with self._contained(claim):
            _version(claim)  # of the code that is imported now, not of what may be edited later
            module = importer() if importer else imported(claim.value)
            self._staged = {}
            try:
                is_file = isinstance(module, ModuleType) and os.path.isabs(claim.value)
                check_hooks(self._pm, module, claim.kind in KINDS or (is_file and bool(hooks_of_file(module))))
                self._claims[_plugin(claim)] = claim
                self._pm.register(module, name=_plugin(claim))
                name = getattr(module, "__name__", type(module).__module__)
                self._owners[name.partition(".")[0]] = claim.owner
                for (kind, name), cls in self._staged.items():
                    self._found[claim.dist, kind, name] = cls
            except BaseException:  # pluggy does not undo a registration that fails half way
                if self._pm.has_plugin(_plugin(claim)):
                    self._pm.unregister(name=_plugin(claim))
                raise
            finally:
                self._staged = None

    @contextmanager
    def _contained(self, claim: Claim) -> Iterator[None]:
        """As `contained`; what has failed is not tried again."""
        if error := self._failed.get(_plugin(claim)):
            raise PluginError(error)
        try:
            with contained(claim):
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


def _plugin(claim: Claim) -> str:
    """The name by which pluggy knows a plugin: never the bare entry, so that two cannot shadow each other."""
    return f"{claim.dist}:{claim.value}"


def _class_name(what: Any) -> str:
    cls = what if isinstance(what, type) else type(what)
    return f"{cls.__module__}:{cls.__qualname__}"


def _version(claim: Claim) -> str:
    return _joined(claim.version, "" if os.path.isabs(claim.value) else content(claim.path, claim.value))


def _joined(version: str, content: str) -> str:
    return f"{version}+{content}" if content else version
