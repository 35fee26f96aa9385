"""A recipe comes back typed and whole, and its lock means the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import recipe_kit
from recipe_kit import GOOD

from filial.contracts.errors import RecipeError
from filial.formats import SourceSpec
from filial.plugins import Manager
from filial.recipe import from_dict, load, loads

manager, base = recipe_kit.manager, recipe_kit.base


def test_a_good_recipe_comes_back_typed_and_complete(manager: Manager, base: Path) -> None:
    (base / "good.yaml").write_text(GOOD)
    recipe = load(base / "good.yaml", manager)
    assert (recipe.seed, recipe.heldout, recipe.model, recipe.base) == (7, 5, "some/model", base)
    assert recipe.budget == {"requests": 100}
    assert recipe.teacher is not None
    assert recipe.teacher.options["temperature"] == 0.7
    assert recipe.teacher.where.endswith("good.yaml:2:16")
    assert [stage.name for stage in recipe.stages] == ["01-generate", "02-evolve", "03-filter", "04-mix"]
    evolve = recipe.stages[1]
    assert evolve.settings.plain_values() == {
        "rounds": 2,
        "branch": 1,
        "keep": "all",
        "order": "random",
        "answer": True,
    }
    assert [(c.use, c.settings.weight) for c in evolve.of("strategies")] == [("deepen", 1.0), ("reverse", 2.5)]
    assert [c.use for c in evolve.of("filters")] == ["evolved"]
    mix = recipe.stages[3].settings
    assert (mix.total, mix.repeat, mix.sources) == (50, False, {"a": SourceSpec(file="more.jsonl")})
    first, second = recipe.judges
    assert (first.name, first.data, first.only, first.rivals) == ("exact", "heldout", "evolved", ("base", "nearest"))
    assert (second.name, second.limit, second.rivals) == ("exact-2", 9, ())
    assert len(list(recipe.components())) == 13


def test_the_least_recipe_has_documented_defaults(manager: Manager, base: Path) -> None:
    recipe = from_dict({"data": "seeds.jsonl", "stages": [{"filter": "harm"}]}, manager, base=base)
    assert (recipe.seed, recipe.heldout, recipe.teacher, recipe.judges) == (42, 0, None, ())
    assert recipe.stages[0].components[0].options == {"level": "normal", "low": 0, "high": 10}


def test_the_lock_is_a_recipe_that_means_the_same(manager: Manager, base: Path) -> None:
    recipe = loads(GOOD, "r.yaml", manager, base=base)
    lock = recipe.lock(manager)
    assert "remote: recipe_components.py:remote==" in lock
    again = loads(lock, "lock", manager, base=base)
    assert again.to_dict() == recipe.to_dict()
    assert again.lock(manager) == lock
    assert from_dict(recipe.to_dict(), manager, base=base).to_dict() == recipe.to_dict()


def test_limits_of_the_teacher_are_no_part_of_its_identity(manager: Manager, base: Path) -> None:
    plain = loads(GOOD, "r", manager, base=base)
    slow = loads(GOOD, "r", manager, ["teacher.max_concurrency=1"], base=base)
    other = loads(GOOD, "r", manager, ["teacher.temperature=0"], base=base)
    assert plain.teacher_identity(manager) == slow.teacher_identity(manager)
    assert plain.teacher_identity(manager) != other.teacher_identity(manager)


def test_paths_start_at_the_recipe_not_at_the_caller(
    manager: Manager, base: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (base / "r.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    assert load(base / "r.yaml", manager).base == base


def test_files_that_are_no_recipe(manager: Manager, tmp_path: Path) -> None:
    for content, word in [
        (None, "No such file"),
        (b"", "empty"),
        (b"\xff", "UTF-8"),
        (b"a: [", "expected the node content"),
    ]:
        path = tmp_path / "r.yaml"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(RecipeError) as caught:
            load(path, manager)
        assert len(caught.value.faults) == 1
        assert word in caught.value.faults[0]
        assert caught.value.exit_code == 2
    with pytest.raises(RecipeError, match="directory"):
        load(tmp_path, manager)
    with pytest.raises(RecipeError, match="larger than 1 MiB"):
        load("/dev/zero", manager)


def test_a_plugin_that_only_has_hooks_is_loaded_by_its_name(tmp_path: Path, site: Any) -> None:
    code = "from filial import hookimpl\nseen = []\n@hookimpl\ndef run_started(run): seen.append(run)\n"
    site.dist("filial-watch", {"filial.hooks": {"watch": "filial_watch"}}, {"filial_watch": code})
    (tmp_path / "d.jsonl").write_text('{"instruction": "Name a river."}\n')
    manager = site.manager()
    recipe = loads("hooks: [watch]\ndata: d.jsonl\n", "r.yaml", manager, base=tmp_path)
    assert [(hook.use, hook.options) for hook in recipe.hooks] == [("watch", {})]
    assert manager.hook.implementers("run_started")
    with pytest.raises(RecipeError, match=r"r\.yaml:1:9: .*did you mean 'watch'"):
        loads("hooks: [wach]\ndata: d.jsonl\n", "r.yaml", manager, base=tmp_path)


OPTIONED = """
from filial import Field, HookPlugin, InputFile, hookimpl
class Watch(HookPlugin):
    \"\"\"Watch.\"\"\"
    word: str = Field(default="", max_length=5, description="A word.")
    names: InputFile | None = Field(default=None, description="A file.")
    @hookimpl
    def run_started(self, run):
        run.append((self.word, self.names))
"""


def test_hooks_have_options_as_any_component_has(tmp_path: Path, site: Any) -> None:
    site.dist("filial-watch", {"filial.hooks": {"watch": "filial_watch:Watch"}}, {"filial_watch": OPTIONED})
    (tmp_path / "d.jsonl").write_text('{"instruction": "Name a river."}\n')
    (tmp_path / "n.txt").write_text("Ann")
    manager, seen = site.manager(), list[Any]()

    def read(hooks: str) -> Any:
        return loads(f"hooks: {hooks}\ndata: d.jsonl\n", "r.yaml", manager, base=tmp_path)

    recipe = read("[{use: watch, word: hi, names: n.txt}]")
    manager.hook.run_started(seen)
    assert seen == [("hi", str(tmp_path / "n.txt"))]
    assert recipe.to_dict()["hooks"] == [{"use": "watch", "word": "hi", "names": "n.txt"}]
    assert "# hooks watch: filial-watch:watch==1.0" in recipe.lock(manager)
    assert from_dict(recipe.to_dict(), manager, base=tmp_path).to_dict() == recipe.to_dict()
    for hooks, told in [
        ("[{use: watch, wort: hi}]", "r.yaml:1:22: hook 'watch' has no 'wort'; did you mean 'word'?"),
        ("[{use: watch, word: longer}]", "r.yaml:1:28: 'longer' should have at most 5 characters"),
        ("[{use: watch, names: m.txt}]", "r.yaml:1:29: no file 'm.txt'"),
        ("[watch, {use: 'filial-watch:watch'}]", "r.yaml:1:16: the hook 'filial-watch:watch' is named twice"),
        ("[watch, watch]", "r.yaml:1:16: the hook 'watch' is named twice"),
        ("[3]", "r.yaml:1:9: the name of a hook belongs here, or {use: NAME, …}, not 3"),
        ("watch", "r.yaml:1:8: "),
    ]:
        with pytest.raises(RecipeError) as caught:
            read(hooks)
        (fault,) = caught.value.faults
        assert fault.startswith(told)
