"""The rooms of the house, computed from the code: which room imports which, how large rooms and files are."""

import ast
import io
import tokenize
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE, PLUGINS = ROOT / "core", ROOT / "plugins"
FLOORS = (
    {"contracts"},
    {"storage", "labels"},
    {"plugins", "gateway"},
    {"formats", "recipe", "testing"},
    {"engine"},
    {"cli", "api"},
    {"commands", "stages"},
    {"__main__"},
)
"""From the ground up: a room imports from the floors below it. The face `filial` itself names contracts and api."""
PUBLIC = {
    "filial", "filial.commands", "filial.formats", "filial.gateway", "filial.labels", "filial.storage",
    "filial.stages", "filial.testing",
}  # fmt: skip
MOST_LINES, MOST_CODE, MOST_OF_A_ROOM, MOST_OF_A_FILE = 15_948, 10_263, 2_900, 600
"""What the core is now. The aim is 12,500 lines, 7,500 of them code, and no room above 3,000: these only come down."""


def modules() -> dict[str, Path]:
    """Every module of both packages by its dotted name."""
    out = {}
    for source in (CORE, PLUGINS):
        for path in source.rglob("*.py"):
            name = ".".join(path.relative_to(source).with_suffix("").parts)
            out[name.removesuffix(".__init__")] = path
    return out


MODULES = modules()


def imports(path: Path) -> set[str]:
    """What a file imports of both packages, anywhere in it: at the top, inside functions, for types."""
    out = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                out.add(full if full in MODULES else node.module)
        elif isinstance(node, ast.Import):
            out |= {alias.name for alias in node.names}
    return {name for name in out if name.partition(".")[0] in ("filial", "filial_plugins")}


def room(module: str) -> str:
    """The room of a module: the part behind ``filial.``; the built-ins are one room."""
    package, _, rest = module.partition(".")
    return "built-ins" if package == "filial_plugins" else rest.partition(".")[0] or "filial"


FLOOR = {name: level for level, names in enumerate(FLOORS) for name in names}


def test_every_room_is_one_that_can_be_drawn_from_memory():
    assert {room(name) for name in MODULES} <= {"filial", "built-ins", *FLOOR}


def test_arrows_run_one_way():
    upward = []
    for module, path in sorted(MODULES.items()):
        here = room(module)
        for imported in sorted(imports(path)):
            there = room(imported)
            if here == there or there == "filial" or here == "built-ins":
                continue
            allowed = there in ("contracts", "api") if here == "filial" else FLOOR.get(there, 99) < FLOOR[here]
            if not allowed:
                upward.append(f"{module} imports {imported}")
    assert upward == []


def test_there_is_no_circle_between_files_not_even_for_types():
    graph = {
        module: {name for name in imports(path) if name != module and name not in ("filial", "filial_plugins")}
        for module, path in MODULES.items()
    }
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {' imports '.join(reversed(error.args[1]))}")


def test_built_ins_import_public_modules_only():
    private = {
        f"{module} imports {name}"
        for module, path in MODULES.items()
        if module.startswith("filial_plugins")
        for name in imports(path)
        if name.partition(".")[0] == "filial" and name not in PUBLIC
    }
    assert private == set()


def lines_of_code(text: str) -> int:
    """Lines that hold code: no blank line, no comment, no docstring."""
    code = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            code |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        for statement in getattr(node, "body", []) if isinstance(getattr(node, "body", None), list) else []:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                code -= set(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    return len(code)


def test_the_core_stays_small():
    texts = {name: path.read_text(encoding="utf-8") for name, path in MODULES.items() if path.is_relative_to(CORE)}
    assert sum(len(text.splitlines()) for text in texts.values()) <= MOST_LINES
    assert sum(map(lines_of_code, texts.values())) <= MOST_CODE
    rooms: dict[str, int] = defaultdict(int)
    for name, text in texts.items():
        rooms[room(name)] += len(text.splitlines())
    assert {name: size for name, size in rooms.items() if size > MOST_OF_A_ROOM} == {}


def test_a_file_can_be_read_in_one_sitting():
    sizes = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: size for name, size in sizes.items() if size > MOST_OF_A_FILE} == {}
