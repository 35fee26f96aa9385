"""One file is a plugin without packaging, and fails like one."""

from __future__ import annotations

import pickle
import sys

import pytest

from filial import UsageError
from filial.contracts.errors import PluginError
from filial.plugins import Manager


def test_one_file_is_a_plugin_without_packaging(site, tmp_path, source):
    file = tmp_path / "shout.py"
    file.write_text(source("shout", "Shout", "loud: int = 3"))
    manager = site.manager()
    assert manager.load_file(file) == [("strategies", "shout")]
    shout = manager.build("strategies", {"use": "shout", "loud": 5})
    version = manager.provenance(shout).removeprefix("shout.py:shout==0+")
    assert len(version) == 12
    assert manager.load_file(file) == [("strategies", "shout")]
    assert manager.get("strategies", "shout") is type(shout)
    assert pickle.loads(pickle.dumps(shout)) == shout
    file.write_text(file.read_text() + "# changed\n")
    other = Manager(site.index())
    other.load_file(file)
    assert version not in other.provenance("strategies", "shout"), "a changed file is another version"


def test_one_file_collides_like_a_package(site, tmp_path, source):
    site.sample("pirate")
    file = tmp_path / "mine.py"
    file.write_text(source("pirate"))
    manager = site.manager()
    manager.load_file(file)
    with pytest.raises(PluginError, match=r"claimed by filial-pirate 0\.1\.0 and mine\.py 0\+\w+; write"):
        manager.get("strategies", "pirate")
    assert manager.get("strategies", "mine.py:pirate").__name__ == "X"


def test_a_file_that_claims_a_name_of_filials_says_how_its_own_is_reached(site, tmp_path, source, caplog):
    site.dist("filial", {"filial.strategies": {"deepen": "our_deepen"}}, {"our_deepen": source("deepen", "Ours")})
    (tmp_path / "mine.py").write_text(source("deepen", "Mine"))
    manager = site.manager()
    for _ in range(2):
        manager.load_file(tmp_path / "mine.py")
    assert manager.get("strategies", "deepen").__name__ == "Ours"
    assert manager.get("strategies", "mine.py:deepen").__name__ == "Mine"
    (told,) = caplog.messages
    assert told.startswith("strategy 'deepen' means filial's own; write mine.py:deepen for that of mine.py 0+")


DIARY = '''
from filial import Field, HookPlugin, hookimpl
class LongDiary(HookPlugin):
    """Keep a diary."""
    file: str = Field("diary.txt", description="Where.")
    @hookimpl
    def run_finished(self, run, error):
        open(self.file, "a").write("done")
'''


def test_a_hook_plugin_of_a_file_joins_in_when_it_is_named_with_its_options(site, tmp_path):
    (tmp_path / "mine.py").write_text(DIARY)
    manager = site.manager()
    assert manager.load_file(tmp_path / "mine.py") == [("hooks", "long-diary")]
    assert manager.hook.implementers("run_finished") == []
    manager.activate("long-diary", {"file": str(tmp_path / "own.txt")})
    manager.hook.run_finished(run=None, error=None)
    assert (tmp_path / "own.txt").read_text() == "done"
    assert manager.provenance("hooks", "long-diary").startswith("mine.py:long-diary==0+")
    with pytest.raises(UsageError, match="fil"):
        manager.activate("long-diary", {"fil": 1})


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "import does_not_exist",
            r"bad\.py 0\+\w+: file .*/bad\.py does not load: ModuleNotFoundError: .*, in bad\.py, line 1$",
        ),
        (
            "from filial import Field, Filter\nclass Bare(Filter):\n    words = Field(3, description='How many.')",
            r"PydanticUserError: Field 'words' requires a type annotation, in bad\.py, line 2$",
        ),
        ("x = 1", "it implements no hook; mark one with filial.hookimpl"),
    ],
)
def test_a_broken_file(site, tmp_path, code, message):
    file = tmp_path / "bad.py"
    file.write_text(code)
    with pytest.raises(PluginError, match=message):
        site.manager().load_file(file)
    assert "filial_file_bad" not in sys.modules or code == "x = 1"


def test_a_file_that_is_not_there(site, tmp_path):
    with pytest.raises(UsageError, match=r"plugin .*nope\.py: there is no such file"):
        site.manager().load_file(tmp_path / "nope.py")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(PluginError, match=r"its name must end in \.py"):
        site.manager().load_file(tmp_path / "notes.txt")


def test_two_files_of_one_name(site, tmp_path, source):
    for folder, name in (("a", "one"), ("b", "two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(source(name))
    manager = site.manager()
    manager.load_file(tmp_path / "a" / "mine.py")
    with pytest.raises(PluginError, match=r"another file called mine\.py is loaded; rename one"):
        manager.load_file(tmp_path / "b" / "mine.py")
