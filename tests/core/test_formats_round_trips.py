"""What one format holds, it gives back; what it cannot hold, it refuses by name."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filial import Constraint, Message, Origin, Record, UsageError
from filial.formats import BadLine, Unfit, read, write

texts = st.text(max_size=12)
filled = st.text(min_size=1, max_size=12)
finite = st.floats(allow_nan=False, allow_infinity=False)
origins = st.builds(
    Origin, stage=texts, plugin=texts, parents=st.lists(texts, max_size=2).map(tuple),
    round=st.integers(0, 2**40), answers=st.lists(texts, max_size=2).map(tuple),
)  # fmt: skip
values = st.one_of(texts, st.integers(-9, 9), st.booleans(), st.none(), st.lists(texts, max_size=2))
constraints = st.builds(Constraint, type=texts, args=st.dictionaries(texts, values, max_size=2), text=texts)
lineage = {
    "id": filled, "task": texts, "scores": st.dictionaries(texts, finite, max_size=2),
    "tags": st.lists(texts, max_size=2).map(tuple), "origin": origins,
    "constraints": st.lists(constraints, max_size=2).map(tuple),
}  # fmt: skip
singles = st.builds(Record, instruction=filled, input=texts, output=texts, **lineage)
every_role = st.sampled_from(["system", "user", "assistant", "tool_call", "tool"])
chat_role = st.sampled_from(["system", "user", "assistant"])


def conversations(role: st.SearchStrategy[str]) -> st.SearchStrategy[Record]:
    turns = st.lists(st.builds(Message, role=role, content=texts), min_size=1, max_size=4).map(tuple)
    return st.builds(Record, messages=turns, **lineage)


def there_and_back(folder: Path, name: str, records: list[Record], format: str = "auto") -> list[Record]:
    assert write(folder / name, records, format=format) == len(records)
    return list(read(folder / name, format=format))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("round")


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"])
@settings(max_examples=25, deadline=None)
@given(records=st.lists(st.one_of(singles, conversations(every_role)), max_size=4))
def test_own_formats_keep_everything(folder: Path, name: str, records: list[Record]) -> None:
    assert there_and_back(folder, name, records) == records


@settings(max_examples=25, deadline=None)
@given(records=st.lists(st.one_of(singles, conversations(every_role)), max_size=4))
def test_own_records_as_a_json_array(folder: Path, records: list[Record]) -> None:
    assert there_and_back(folder, "own.json", records, "filial") == records
    assert [row.get("id") for row in json.loads((folder / "own.json").read_text("utf-8"))] == [r.id for r in records]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@settings(max_examples=25, deadline=None)
@given(records=st.lists(singles, max_size=4))
def test_alpaca_keeps_the_three_fields(folder: Path, name: str, records: list[Record]) -> None:
    found = there_and_back(folder, name, records, "alpaca")
    assert [record.content() for record in found] == [record.content() for record in records]


@pytest.mark.parametrize("name", ["s.json", "s.jsonl"])
@settings(max_examples=25, deadline=None)
@given(records=st.lists(conversations(every_role), max_size=4))
def test_sharegpt_keeps_ids_and_turns(folder: Path, name: str, records: list[Record]) -> None:
    found = there_and_back(folder, name, records, "sharegpt")
    assert [(record.id, record.messages) for record in found] == [(record.id, record.messages) for record in records]


@settings(max_examples=25, deadline=None)
@given(records=st.lists(conversations(chat_role), max_size=4))
def test_openai_chat_keeps_turns(folder: Path, records: list[Record]) -> None:
    found = there_and_back(folder, "o.jsonl", records, "openai")
    assert [record.messages for record in found] == [record.messages for record in records]


@settings(max_examples=25, deadline=None)
@given(records=st.lists(singles, max_size=4))
def test_chat_formats_hold_single_turns_as_conversations(folder: Path, records: list[Record]) -> None:
    for format in ("sharegpt", "openai"):
        found = there_and_back(folder, "single.jsonl", records, format)
        assert [record.turns() for record in found] == [record.turns() for record in records]


@settings(max_examples=60, deadline=None)
@given(
    records=st.lists(
        st.builds(
            Record, instruction=st.sampled_from("ab"), input=texts, output=texts, task=st.sampled_from(["", "t"]),
            tags=st.sampled_from([(), ("classification",)]), id=st.uuids().map(str),
        ),
        max_size=6,
    )
)  # fmt: skip
def test_seed_tasks_keep_task_flag_and_instances(folder: Path, records: list[Record]) -> None:
    found = there_and_back(folder, "seeds.jsonl", records, "seeds")
    kept = [(record.content(), record.task, record.tags) for record in records]
    assert [(record.content(), record.task, record.tags) for record in found] == kept
    assert there_and_back(folder, "again.jsonl", found, "seeds") == found


def test_seed_tasks_with_several_instances_are_one_task_again(tmp_path: Path) -> None:
    rows = [
        {"id": "seed_task_0", "name": "colours", "instruction": "Name the colour.", "is_classification": True,
         "instances": [{"input": "grass", "output": "green"}, {"input": "blood", "output": "red"}]},
        {"id": "seed_task_1", "name": "rivers", "instruction": "Name a river.", "is_classification": False,
         "instances": [{"input": "", "output": "The Elbe."}]},
    ]  # fmt: skip
    source, copy = tmp_path / "seeds.jsonl", tmp_path / "copy.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    records = list(read(source))
    assert [(r.id, r.task, r.input, r.tags) for r in records] == [
        ("seed_task_0#1", "colours", "grass", ("classification",)),
        ("seed_task_0#2", "colours", "blood", ("classification",)),
        ("seed_task_1", "rivers", "", ()),
    ]
    assert write(copy, records, format="seeds") == 3
    assert [json.loads(line) for line in copy.read_text().splitlines()] == rows


LONG = Record(id="r7", messages=(Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "Bye")))
TOOL = Record(id="r8", messages=(Message("user", "Hi"), Message("tool_call", "{}"), Message("tool", "4")))
UNANSWERED = Record(id="r9", messages=(Message("user", "Hi"),))


@pytest.mark.parametrize(
    ("format", "record", "words"),
    [
        ("alpaca", LONG, "record r7: Alpaca holds one question and its answer, not the turns user, assistant, user"),
        ("alpaca", UNANSWERED, "record r9"),
        ("openai", TOOL, "record r8: its turn 2 calls a tool, but is no JSON with a name and arguments"),
        ("seeds", LONG, "record r7"),
        ("seeds", Record(id="r5", instruction="a", system="S"), "record r5: the format has no place for its system"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_and_the_old_file_stays(
    tmp_path: Path, format: str, record: Record, words: str
) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("old")
    with pytest.raises(Unfit) as error:
        write(path, [Record(id="r1", instruction="a"), record], format=format)
    assert words in str(error.value)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_alpaca_holds_a_conversation_of_one_question_and_its_answer(tmp_path: Path) -> None:
    record = Record(messages=(Message("user", "Hi"), Message("assistant", "Hello")))
    [found] = there_and_back(tmp_path, "a.json", [record], "alpaca")
    assert found.content() == ("Hi", "", "Hello")


def test_alpaca_keeps_a_system_text(tmp_path: Path) -> None:
    record = Record(instruction="a", output="b", system="S")
    [found] = there_and_back(tmp_path, "a.json", [record], "alpaca")
    assert found.content() == record.content()


# Reading foreign rows: (format that `auto` finds, row, what the record says or the place and words of the fault)
HI = (Message("user", "Hi"), Message("assistant", "Hello"))
ROWS = [
    ("alpaca", {"instruction": "a", "input": None, "output": "b", "source": 1}, ("a", "", "b")),
    ("alpaca", {"instruction": "a", "output": "b", "license": "x"}, ("a", "", "b")),
    ("alpaca", {"instruction": "a", "output": "b", "system": "S", "x": 1}, ("a", "", "b", "system", "S")),
    ("alpaca", {"instruction": "a", "output": "b", "label": "good"}, ("a", "", "b")),
    ("alpaca", {"instruction": "a", "output": None, "x": 1}, "/output: must be a string, not null"),
    ("alpaca", {"instruction": "", "output": "b", "x": 1}, "/instruction: is empty"),
    ("alpaca", {"instruction": "a", "input": ["b"], "output": "c", "x": 1}, "/input: must be a string, not an array"),
    ("sharegpt", {"id": 4, "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}, HI),
    ("sharegpt", {"conversations": [{"from": "user", "value": "Hi"}], "system": "S"},
     (Message("system", "S"), Message("user", "Hi"))),
    ("sharegpt", {"conversations": [{"from": "function_call", "value": "f"}, {"from": "observation", "value": "o"}]},
     (Message("tool_call", "f"), Message("tool", "o"))),
    ("sharegpt", {"conversations": []}, "/conversations: is empty"),
    ("sharegpt", {"conversations": {}}, "/conversations: must be an array"),
    ("sharegpt", {"conversations": [7]}, "/conversations/0: must be an object"),
    ("sharegpt", {"conversations": [{"from": "page", "value": ""}]}, "/conversations/0/from: unknown role 'page'"),
    ("sharegpt", {"conversations": [{"from": "human"}]}, "/conversations/0: lacks value"),
    ("openai", {"messages": [{"role": "developer", "content": "S"}]}, (Message("system", "S"),)),
    ("openai", {"messages": [{"role": "user", "content": [{"type": "text", "text": "H"}, {"text": "i"}]},
                             {"role": "assistant", "content": "Hello"}], "tools": []}, HI),
    ("openai", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
     "/messages/0/content/0/type: only text parts are supported, not 'image_url'"),
    ("openai", {"messages": [{"role": "assistant", "content": None, "tool_calls": [{}]}]},
     "/messages/0/tool_calls/0: must be a call of a tool"),
    ("openai", {"messages": [{"role": "page", "content": "x"}]}, "/messages/0/role: unknown role 'page'"),
    ("openai", {"messages": [{"content": "x"}]}, "/messages/0: lacks role"),
    ("openai", {"messages": "x"}, "/messages: must be an array, not a string"),
    ("seeds", {"instruction": "a", "instances": []}, "/instances: is empty"),
    ("seeds", {"instruction": "a", "instances": [{"input": "b"}]}, "/instances/0: lacks output"),
    ("seeds", {"instruction": "a", "instances": [{"output": "b"}], "is_classification": 1}, "/is_classification: must"),
    ("pairs", {"prompt": "a", "completion": "b"}, ("a", "", "b")),
    ("pairs", {"question": "a", "answer": "b", "licence": "c"}, ("a", "", "b")),
    ("pairs", {"instruction": "a", "context": "b", "response": "c", "category": "d"}, ("a", "b", "c")),
    ("pairs", {"prompt": [{"role": "user", "content": "Hi"}],
               "completion": [{"role": "assistant", "content": "Hello"}]}, HI),
    ("pairs", {"prompt": "", "completion": "b"}, "/prompt: is empty"),
    ("pairs", {"prompt": "a", "completion": [1]}, "/completion: must be a string, not an array"),
]  # fmt: skip


@pytest.mark.parametrize(("format", "row", "expected"), ROWS)
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_foreign_rows_are_recognised_and_read_or_explained(
    tmp_path: Path, name: str, format: str, row: dict[str, object], expected: object
) -> None:
    path = tmp_path / name
    line = json.dumps(row)
    path.write_text(f"[{line}]" if name.endswith(".json") else line)
    results = []
    for chosen in ("auto", format):
        bad: list[BadLine] = []
        results.append((list(read(path, format=chosen, bad=bad)), [str(fault) for fault in bad]))
    records, faults = results[0]
    assert results[0] == results[1]
    if isinstance(expected, str):
        assert not records
        assert faults[0].startswith(f"{path}:1: {expected}")
    else:
        assert (records[0].messages or records[0].content()) == expected


def test_ids_and_tasks_of_foreign_rows_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": 5, "instruction": "a", "output": "b", "task": "t", "source": "s"}\n')
    [record] = read(path)
    assert (record.id, record.task) == ("5", "t")


def test_the_first_object_that_tells_decides_the_format(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('hello\n{"x": 1}\n{"prompt": "a", "completion": "b"}\n')
    bad: list[BadLine] = []
    assert [record.output for record in read(path, bad=bad)] == ["b"]
    assert [fault.line for fault in bad] == [1, 2]


@pytest.mark.parametrize(
    ("name", "format"), [("a.jsonl", "pairs"), ("a.jsonl", "hf"), ("a.json", "auto"), ("a", "auto")]
)
def test_formats_that_cannot_be_written_or_guessed(tmp_path: Path, name: str, format: str) -> None:
    with pytest.raises(UsageError, match=r"only read|name the format"):
        write(tmp_path / name, [], format=format)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["filial", "alpaca", "sharegpt", "openai", "seeds"])
@pytest.mark.parametrize("name", ["none.jsonl", "none.json"])
def test_no_records_make_a_valid_empty_file(tmp_path: Path, name: str, format: str) -> None:
    assert there_and_back(tmp_path, name, [], format) == []
