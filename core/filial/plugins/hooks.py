"""Call the hooks of plugins: notifications, whose errors are logged, and the wrappers around a teacher call."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pluggy

from filial.contracts.checks import fault_of_reply
from filial.contracts.context import Asker, DropInfo, RunInfo
from filial.contracts.errors import FilialError, PluginError, hint
from filial.contracts.kinds import HookPlugin, Teacher
from filial.contracts.messages import Reply, Request
from filial.contracts.plugin_errors import failure, is_fault
from filial.contracts.records import Record
from filial.plugins import hookspecs

log = logging.getLogger("filial.plugins")
SPECS = {name: spec for name, spec in vars(hookspecs).items() if hasattr(spec, "filial_spec")}


class ModuleHooks(HookPlugin):
    """The class of a plugin that is a module of hooks; it has no options."""

    module: ClassVar[ModuleType]


def class_of_entry(name: str, found: Any) -> type[HookPlugin]:
    """Return the class of an entry of the group ``filial.hooks``; for a module, a subclass of `ModuleHooks`.

    Raises:
        PluginError: the entry is neither a module nor a subclass of `HookPlugin`.
    """
    if isinstance(found, ModuleType):
        body = {"__doc__": found.__doc__, "__module__": found.__name__, "module": found}
        return type(name, (ModuleHooks,), body)
    if not (isinstance(found, type) and issubclass(found, HookPlugin)):
        raise PluginError(f"it points at {found!r}, which is neither a module nor a subclass of filial.HookPlugin")
    return found


def classes_of_file(module: ModuleType) -> dict[str, type[HookPlugin]]:
    """Return the hook plugins that a file defines, by their class names in kebab-case."""
    classes = (cls for cls in vars(module).values() if isinstance(cls, type) and issubclass(cls, HookPlugin))
    own = (cls for cls in classes if cls.__module__ == module.__name__)
    return {re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower(): cls for cls in own}


def check_hooks(pm: pluggy.PluginManager, plugin: Any, promises: bool) -> None:
    """Check before registering that every hook a plugin implements exists. pluggy checks the arguments.

    ``promises``: the plugin's entry point claims a component's name, so it need not implement a hook.

    Raises:
        PluginError: a hook does not exist, or is written in a way that filial does not call.
    """
    if isinstance(plugin, type):
        raise PluginError("it points at a class; point it at the module whose register hook registers that class")
    count = 0
    for attribute in dir(plugin):
        options = pm.parse_hookimpl_opts(plugin, attribute)
        if options is None:
            continue
        count += 1
        hook = options.get("specname") or attribute
        if hook not in SPECS:
            raise PluginError(f"there is no hook {hook!r}{hint(hook, SPECS)}")
        if options.get("wrapper") or options.get("hookwrapper"):
            raise PluginError(f"its hook {hook} is marked as a wrapper; filial's hooks are written without it")
        if hook == "ask" and not inspect.iscoroutinefunction(getattr(plugin, attribute)):
            raise PluginError("its hook ask must be written 'async def'")
    if not count and not promises:
        raise PluginError("it implements no hook; mark one with filial.hookimpl")


class Hooks:
    """Calls hooks, one method for each; `filial.plugins.hookspecs` says when they are called.

    pluggy stores the implementations and their order. The calls are made here, so that an error in one plugin does not
    keep the others from being called. ``name_plugin`` turns pluggy's name of a plugin into ``dist:name==version``.
    """

    def __init__(self, pm: pluggy.PluginManager, name_plugin: Callable[[str], str]) -> None:
        self._pm, self._name_plugin = pm, name_plugin

    def implementers(self, hook: str) -> list[str]:
        """Return the loaded plugins that implement a hook, in pluggy's order (wrappers: innermost first)."""
        return [impl.plugin_name for impl in _impls(self._pm, hook)]

    def run_started(self, run: RunInfo) -> None:
        """Notify that a run begins."""
        self._broadcast("run_started", run=run)

    def stage_finished(self, run: RunInfo, stage: str, kept: int, dropped: dict[str, int]) -> None:
        """Notify that a stage is committed. Each plugin gets its own copy of ``dropped``."""
        self._broadcast("stage_finished", run=run, stage=stage, kept=kept, dropped=dropped)

    def record_dropped(self, run: RunInfo, stage: str, record: Record | None, drop: DropInfo) -> None:
        """Notify that a record is dropped."""
        self._broadcast("record_dropped", run=run, stage=stage, record=record, drop=drop)

    @contextmanager
    def training(self, run: RunInfo, model: str, data: Path, out: Path) -> Iterator[dict[str, Any]]:
        """Notify before and after a training. The caller puts the trainer's figures into the dictionary it gets."""
        figures: dict[str, Any] = {}
        error: BaseException | None = None
        self._broadcast("training_started", run=run, model=model, data=data)
        try:
            yield figures
        except BaseException as err:
            error = err
            raise
        finally:
            self._broadcast("training_finished", run=run, model=out, figures=figures, error=error)

    def run_finished(self, run: RunInfo, error: BaseException | None) -> None:
        """Notify that a run ends."""
        self._broadcast("run_finished", run=run, error=error)

    def ask(self, teacher: Teacher, core: Asker) -> Asker:
        """Wrap ``core`` in the `ask` hooks of all loaded plugins; without hooks, return it unchanged.

        Called once per teacher, not per request.
        """
        asker = core
        for impl in _impls(self._pm, "ask"):  # pluggy's order: the last of the list comes first, so it is outermost
            asker = self._wrap(impl, teacher, asker)
        return asker

    def checkup(self) -> Iterator[tuple[str, str, str]]:
        """Yield (plugin, level, sentence) from every loaded plugin. An exception in a plugin counts as "fail"."""
        for impl in reversed(_impls(self._pm, "checkup")):
            try:
                called: Any = impl.function()
                found = [(str(level), str(sentence)) for level, sentence in called]
            except (Exception, SystemExit) as err:
                found = [("fail", f"its checkup raises {type(err).__name__}: {err}")]
            yield from ((self._name_plugin(impl.plugin_name), *finding) for finding in found)

    def _wrap(self, impl: pluggy.HookImpl, teacher: Teacher, proceed: Asker) -> Asker:
        """Wrap ``proceed`` in one plugin's `ask` hook."""
        who, fixed = self._name_plugin(impl.plugin_name), {"teacher": teacher, "proceed": proceed}

        async def asker(request: Request) -> Reply:
            given = [request if name == "request" else fixed[name] for name in impl.argnames]
            try:
                answering: Any = impl.function(*given)
                reply: Reply = await answering
            except BaseException as err:
                if not is_fault(err):
                    raise
                raise failure(f"{who} fails in its hook ask", err) from err
            if fault := fault_of_reply(reply):
                raise FilialError(f"{who} breaks its contract in its hook ask: {fault}")
            return reply

        return asker

    def _broadcast(self, hook: str, **arguments: Any) -> None:
        for impl in reversed(_impls(self._pm, hook)):
            # Dictionaries are copied; the other arguments of hooks are immutable.
            given = [deepcopy(v) if isinstance(v := arguments[name], dict) else v for name in impl.argnames]
            try:
                impl.function(*given)
            except (Exception, SystemExit) as err:
                cause = f"{type(err).__name__}: {err}"
                who = self._name_plugin(impl.plugin_name)
                log.error("plugin %s: its hook %s raises %s; the run goes on", who, hook, cause)
                log.debug("traceback of %s in %s", hook, who, exc_info=err)


def _impls(pm: pluggy.PluginManager, hook: str) -> list[pluggy.HookImpl]:
    caller: pluggy.HookCaller = getattr(pm.hook, hook)
    return caller.get_hookimpls()
