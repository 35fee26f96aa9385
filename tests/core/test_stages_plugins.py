"""Plugins in keys: by who they are, by what they hold where their version does not say it, and with the hooks between a
stage and its teacher."""

import json
import os
import subprocess
import sys

import pytest
from sample_kit import CORE

from filial.plugins.content import code_digest

SAGE = '''
from filial import Reply, Strategy, Teacher, hookimpl


class Sage(Teacher):
    """Says who it is."""

    async def reply(self, request):
        return Reply(text=f"{WHO} says: {request.messages[-1].content}", prompt_tokens=1, completion_tokens=1)


class Ponder(Strategy):
    """Asks for more."""

    async def evolve(self, record, ctx):
        return record.evolved(instruction=(await ctx.ask(f"more of {record.instruction}")).text)


@hookimpl
def register_teachers(register):
    register("sage", Sage)


@hookimpl
def register_strategies(register):
    register("ponder", Ponder)
'''
HOOK = """
from filial import hookimpl


@hookimpl
async def ask(request, proceed):
    return await proceed(request)
"""
OPTION = '''
from filial import Field, HookPlugin, hookimpl


class Seen(HookPlugin):
    """Looks on."""

    word: str = Field(default="x", description="Says nothing.")

    @hookimpl
    async def ask(self, request, proceed):
        return await proceed(request)
'''
RECIPE = """teacher: {{use: "{teacher}"}}
hooks: {hooks}
data: data.jsonl
stages:
  - evolve: {{strategies: ["a-pack:ponder"], eliminate: []}}
  - filter: [short]
"""
SHORT = '''
from filial import Filter, Keep, hookimpl


class Short(Filter):
    """Keeps all."""

    def check(self, record, ctx):
        return Keep()


@hookimpl
def register_filters(register):
    register("short", Short)
'''
EDITABLE = json.dumps({"url": "file:///src", "dir_info": {"editable": True}})


@pytest.fixture
def project(site, tmp_path):
    """Two packages with a teacher called ``sage``, two with hooks, one with a filter, and a recipe."""
    for name in ("a", "b"):
        groups = {f"filial.{kind}": {word: f"{name}_sage"} for kind, word in KINDS.items()}
        site.dist(f"{name}-pack", groups, {f"{name}_sage": f"WHO = {name!r}\n{SAGE}"})
        site.dist(f"{name}-hooks", {"filial.hooks": {f"see-{name}": f"{name}_hooks"}}, {f"{name}_hooks": HOOK})
    site.dist("d-hooks", {"filial.hooks": {"see-d": "d_hooks:Seen"}}, {"d_hooks": OPTION})
    site.dist("c-pack", {"filial.filters": {"short": "c_short"}}, {"c_short": SHORT})
    (tmp_path / "data.jsonl").write_text('{"instruction": "Name a river."}\n{"instruction": "Name a lake."}\n')
    return tmp_path


KINDS = {"teachers": "sage", "strategies": "ponder"}


def run(project, teacher="a-pack:sage", hooks=(), name="r"):
    """A process runs the recipe; returns requests, answers from the ledger and what was said of its stages."""
    (project / "r.yaml").write_text(RECIPE.format(teacher=teacher, hooks=json.dumps(list(hooks))))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(project / "site"), CORE])}
    done = subprocess.run(
        [sys.executable, "-m", "filial", "run", "r.yaml", "--name", name],
        cwd=project, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    spent = json.loads((project / "runs" / name / "summary.json").read_text())["teacher"]
    said = [line for line in done.stderr.splitlines() if "runs again" in line or "done before" in line]
    return spent["requests"], spent["from_ledger"], said


DONE = ["01-evolve: done before, 4 records", "02-filter: done before, 4 records"]


def again(why, then=None):
    return [f"01-evolve: runs again, because {why}", f"02-filter: runs again, because {then or why}"]


def rows(project, name="r"):
    return (project / "runs" / name / "stages" / "02-filter" / "records.jsonl").read_text()


def test_two_packages_teachers_of_one_name_share_no_answer(project):
    assert run(project) == (4, 0, [])
    assert run(project, "b-pack:sage") == (4, 0, again("the teacher changed"))
    assert "b says" in rows(project)
    assert "a says" not in rows(project)
    assert run(project) == (0, 4, again("the teacher changed")), "and both are kept"


def test_a_teacher_called_by_its_full_name_is_the_same(project, site):
    (site.folder / "b_pack-1.0.dist-info" / "entry_points.txt").unlink()
    assert run(project, "sage") == (4, 0, [])
    for word in ("a-pack:sage", "A_Pack:sage"):
        assert run(project, word) == (0, 0, DONE)


def test_hooks_that_wrap_questions_are_part_of_what_a_stage_depends_on(project, site):
    assert run(project) == (4, 0, [])
    changed = again("the ask hooks changed")
    options = ({"use": "see-d", "word": word} for word in "xy")
    for hooks in (["see-a"], ["see-a", "see-b"], ["see-b", "see-a"], *([option] for option in options), []):
        assert run(project, hooks=hooks) == (0, 4, changed), hooks
        assert run(project, hooks=hooks) == (0, 0, DONE)
    run(project, hooks=["see-a"])
    (site.folder / "a_hooks-1.0.dist-info").rename(site.folder / "a_hooks-1.1.dist-info")
    metadata = site.folder / "a_hooks-1.1.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 1.1"))
    assert run(project, hooks=["see-a"]) == (0, 4, changed)


def test_a_changed_line_in_a_package_installed_to_be_edited_redoes_its_stages(project, site):
    source = site.folder / "a_sage.py"
    for name in ("a", "c"):
        (site.folder / f"{name}_pack-1.0.dist-info" / "direct_url.json").write_text(EDITABLE)
    # A lone module counts with those beside it, and here all packages share a folder.
    (site.folder / "a_sage").mkdir()
    source.rename(site.folder / "a_sage" / "__init__.py")
    (site.folder / "c_short").mkdir()
    (site.folder / "c_short.py").rename(site.folder / "c_short" / "__init__.py")
    assert run(project) == (4, 0, [])
    assert run(project) == (0, 0, DONE)
    (site.folder / "a_sage" / "prompt.txt").write_text("Data of a package count.")
    assert run(project) == (0, 4, again("a-pack changed", "01-evolve changed"))
    (site.folder / "c_short" / "__init__.py").write_text(SHORT.replace("Keeps all", "Keeps really all"))
    assert run(project) == (0, 0, [DONE[0], "02-filter: runs again, because c-pack changed"])
    assert '"plugin":"a-pack:ponder==1.0"' in rows(project), "records name the version alone"


@pytest.fixture
def fresh():
    code_digest.cache_clear()
    yield code_digest
    code_digest.cache_clear()


def test_a_release_is_read_by_nobody_and_an_installation_from_a_folder_by_its_record(site, fresh):
    info = site.dist("a-pack", {}, {"a_sage": SAGE})
    assert fresh(str(info), "a_sage") == ""
    fresh.cache_clear()
    (info / "direct_url.json").write_text(json.dumps({"url": "file:///src", "dir_info": {}}))
    record = info / "RECORD"
    seen = []
    for sha, script in (("x", "p"), ("y", "p"), ("x", "q")):
        record.write_text(
            f"a_sage.py,sha256={sha},10\n../../../bin/sage,sha256={script},9\n{info.name}/METADATA,sha256={script},9\n"
            f"{info.name}/RECORD,,\n__pycache__/a_sage.cpython-311.pyc,,\n"
        )
        fresh.cache_clear()
        seen.append(fresh(str(info), "a_sage"))
    assert seen[0] == seen[2] != seen[1]
    assert seen[0]


def test_what_of_a_folder_counts(site, fresh):
    info = site.dist("a-pack", {})
    (info / "direct_url.json").write_text(EDITABLE)
    package = site.folder / "space" / "pack" / "inner"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("")
    (package / "deep.py").write_text("x = 1\n")

    def seen():
        fresh.cache_clear()
        return fresh(str(info), "space.pack.inner:thing")

    first = seen()
    assert first
    for name in ("__pycache__/deep.pyc", ".hidden", ".git/index", "old.pyc"):
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text("x")
        assert seen() == first, name
    (site.folder / "space" / "other.py").write_text("of another distribution in the same namespace")
    assert seen() == first
    (package / "deep.py").write_text("x = 2\n")
    assert seen() != first
