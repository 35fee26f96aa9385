"""One odd cell decides nothing about a file, and no column is taken for what it only is called after."""

import json
from typing import Any

import pytest

from filial import Record, UsageError, load
from filial.formats import BadLine, read_rows

Q, A, BAD = "Name three rivers of Asia.", "Ob, Indus, Mekong.", "Rhine."
TALK = [{"role": "user", "content": Q}, {"role": "assistant", "content": A}]


def read(tmp_path: Any, *rows: dict[str, Any], name: str = "a.jsonl") -> list[Record]:
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(load(path))


ODD = {
    "candidates, an empty list": (
        {"instruction": Q, "completions": [{"response": A, "overall_score": 9}, {"response": BAD, "overall_score": 1}]},
        {"instruction": Q, "completions": []},
    ),
    "SQuAD, no answer": (
        {"context": "c", "question": Q, "answers": {"text": [A], "answer_start": [0]}},
        {"context": "c", "question": Q, "answers": {"text": [], "answer_start": []}},
    ),
    "comparisons, one answer": (
        {"prompt": Q, "response_0": A, "response_1": BAD, "better_response_id": 0},
        {"prompt": Q, "response_0": A, "response_1": "", "better_response_id": 0},
    ),
    "preferences, no worse answer": (
        {"prompt": Q, "chosen": A, "rejected": BAD},
        {"prompt": Q, "chosen": A, "rejected": None},
    ),
    "preferences, nothing": ({"prompt": Q, "chosen": A, "rejected": BAD}, {"prompt": Q, "chosen": "", "rejected": ""}),
    "a conversation beside a prompt": ({"prompt": Q, "conversation": TALK}, {"prompt": Q, "conversation": []}),
    "messages beside a prompt": ({"prompt": Q, "messages": TALK}, {"prompt": Q, "messages": []}),
}


@pytest.mark.parametrize("many", [1, 2, 99])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("kind", ODD)
def test_a_row_with_an_empty_cell_does_not_change_how_the_others_are_read(
    tmp_path: Any, kind: str, first: bool, many: int
) -> None:
    row, odd = ODD[kind]
    (right,) = read(tmp_path, row, name="right.jsonl")
    rows = [odd, *[row] * many] if first else [*[row] * many, odd]
    bad: list[BadLine] = []
    records = [record for record in read_rows(rows, bad=bad) if record.output or record.messages]
    assert [record.replaced(id="") for record in records] == [right.replaced(id="")] * many


@pytest.mark.parametrize("field", ["tags", "scores", "origin", "extra"])
def test_nor_does_a_row_with_a_field_of_filials_own(tmp_path: Any, field: str) -> None:
    odd = {
        "instruction": Q,
        "output": A,
        field: {"tags": ["t"], "scores": {"x": 1.0}, "origin": {}, "extra": {"a": "b"}}[field],
    }
    row = {"instruction": Q, "output": A, "history": [["x", "y"]]}
    records = read(tmp_path, *[row] * 9, odd)
    assert [len(record.messages) for record in records[:9]] == [4] * 9


MODES = ("on", "off", "enabled", "disabled", "auto", "low", "high", "none", "true", "No")


@pytest.mark.parametrize("mode", [*MODES, True, False])
@pytest.mark.parametrize("column", ["reasoning", "thinking"])
def test_whether_a_model_was_to_think_is_no_thought(tmp_path: Any, column: str, mode: Any) -> None:
    for row in ({"prompt": Q, "completion": A}, {"instruction": Q, "output": A, "x": 1}, {"messages": TALK, "x": 1}):
        (record,) = read(tmp_path, {**row, column: mode})
        assert record.extra[column] == mode
        assert not record.reasoning
        assert not any(turn.reasoning for turn in record.messages)


def test_the_reasons_of_a_judge_are_kept_beside_the_answers_that_it_judges(tmp_path: Any) -> None:
    rows = (
        {"prompt": Q, "chosen": A, "rejected": BAD, "rationale": "The first is right."},
        {"input": Q, "generations": [A, BAD], "rating": [5, 1], "rationale": ["right", "wrong"]},
        {"prompt": Q, "response_a": A, "response_b": BAD, "winner": "a", "rationale": "A is right."},
    )
    for row in rows:
        (record,) = read(tmp_path, row)
        assert (record.output, record.reasoning) == (A, "")
        assert record.extra["rationale"] == row["rationale"]


def test_beside_one_answer_and_a_grade_the_user_says_whose_reasons_they_are(tmp_path: Any) -> None:
    row = {"prompt": Q, "response": A, "score": 4, "rationale": "The response is accurate."}
    with pytest.raises(UsageError, match="the column 'rationale' changes what a row means"):
        read(tmp_path, row)
    (record,) = read(tmp_path, {"prompt": Q, "response": A, "rationale": "Asia has these."})
    assert record.reasoning == "Asia has these."


WORDS = [
    ("rejected", True, False), ("rejected", False, True), ("is_rejected", True, False), ("is_bad", True, False),
    ("chosen", False, False), ("is_chosen", False, False), ("preferred", False, False), ("correct", False, False),
    ("feedback", "thumbs_down", False), ("feedback", "thumbs_up", True), ("status", "rejected", False),
    ("status", "completed", None), ("quality", "bad", False), ("quality", "high", None), ("verdict", "wrong", False),
    ("annotation", "reject", False), ("passed", False, False), ("desirability", "undesirable", False),
    ("correct", 1, None), ("quality", 0, None),
]  # fmt: skip


@pytest.mark.parametrize(("column", "value", "label"), WORDS)
def test_a_word_on_the_answer_is_its_label(tmp_path: Any, column: str, value: Any, label: bool | None) -> None:
    (record,) = read(tmp_path, {"prompt": Q, "response": A, column: value})
    assert record.label is label
    assert (record.output, record.rejected) == (A, ())
    assert (column in record.extra) is (label is None)


def test_the_annotator_of_prodigy_rejects_a_row(tmp_path: Any) -> None:
    (record,) = read(tmp_path, {"prompt": Q, "response": A, "answer": "reject", "_task_hash": 1})
    assert record.label is False


@pytest.mark.parametrize("tools", [[{"name": "now", "parameters": {}}], [{"name": "now", "description": "d"}]])
def test_tools_without_their_wrapping_are_wrapped(tmp_path: Any, tools: Any) -> None:
    (record,) = read(tmp_path, {"messages": TALK, "tools": tools})
    assert record.tools == ({"type": "function", "function": tools[0]},)


@pytest.mark.parametrize("side", [A, "[1] is a citation"])
def test_turns_as_json_texts_are_opened(tmp_path: Any, side: str) -> None:
    row = {"prompt": json.dumps([Q]), "response_a": json.dumps([side]), "response_b": json.dumps([BAD]), "winner": "a"}
    (record,) = read(tmp_path, row)
    assert (record.instruction, record.output) == (Q, side)
    several = {name: json.dumps([*json.loads(text), "more"]) if text[0] == "[" else text for name, text in row.items()}
    with pytest.raises(UsageError, match="holds several turns"):
        read(tmp_path, several)


def test_a_table_of_pandas_by_columns_and_data_is_named(tmp_path: Any) -> None:
    table = {"columns": ["instruction", "output"], "index": [0], "data": [[Q, A]]}
    with pytest.raises(UsageError, match="orient='records' and lines=True"):
        read(tmp_path, table, name="a.json")


@pytest.mark.parametrize(
    ("row", "mapping"),
    [
        ({"问题": "请列出三条河", "回答": "鄂毕河湄公河"}, {"instruction": "问题", "output": "回答"}),
        ({"指示": "川を三つ挙げてください", "出力": "オビ川"}, {"instruction": "指示", "output": "出力"}),
        (
            {"고객문의": "배송이 언제 오나요", "상담답변": "내일 도착합니다"},
            {"instruction": "고객문의", "output": "상담답변"},
        ),
        (
            {"id": 1, "data": {"prompt": Q, "response": A}, "annotations": []},
            {"instruction": "data.prompt", "output": "data.response"},
        ),
    ],
)
def test_a_mapping_is_proposed_that_works(tmp_path: Any, row: dict[str, Any], mapping: dict[str, str]) -> None:
    with pytest.raises(UsageError) as refused:
        read(tmp_path, row)
    assert f"columns={mapping!r}" in str(refused.value)
    assert len(list(load(tmp_path / "a.jsonl", columns=mapping))) == 1


@pytest.mark.parametrize("column", ["choice1", "option2", "endings", "documents", "train_mask", "only_last_turn_loss"])
def test_what_changes_the_meaning_of_a_row_is_not_kept_in_silence(tmp_path: Any, column: str) -> None:
    value: Any = {"train_mask": [0, 1], "only_last_turn_loss": True}.get(column, "some text")
    with pytest.raises(UsageError, match=f"the column '{column}' changes what a row means"):
        read(tmp_path, {"question": Q, "answer": A, column: value})


def test_a_weight_between_0_and_1_in_a_table_is_asked_about(tmp_path: Any) -> None:
    (tmp_path / "w.csv").write_text("instruction,output,weight\nq,a,1\nq,b,0.5\n")
    with pytest.raises(UsageError, match="the column 'weight' changes what a row means"):
        list(load(tmp_path / "w.csv"))


@pytest.mark.parametrize("encoding", ["gb18030", "shift_jis"])
def test_a_table_in_another_encoding_is_named_as_such(tmp_path: Any, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes("問題,回答\n一つ,二つ\n".encode(encoding))
    with pytest.raises(UsageError, match=r"not text in UTF-8; name the encoding of the file, such as gb18030"):
        list(load(tmp_path / "t.csv"))


VERDICTS = [
    ({"response_a": A, "response_b": BAD, "winner": "model_a"}, A),
    ({"response_a": BAD, "response_b": A, "winner": "B"}, A),
    ({"response_1": A, "response_2": BAD, "model_1": "llama-2", "model_2": "gpt-4", "winner": "llama-2"}, A),
    ({"response_a": A, "response_b": BAD, "model_a": "plan_b", "model_b": "x", "winner": "plan_b"}, A),
    ({"response_1": A, "response_2": BAD, "winner": "llama-2"}, None),
    ({"response_1": A, "response_2": BAD, "preference": 1}, None),
    ({"response_1": A, "response_2": BAD, "preference": -1}, None),
    ({"response_1": A, "response_2": BAD, "preference": 0}, None),
    ({"response_1": A, "response_2": BAD, "preference": "response_1"}, A),
    ({"response_1": BAD, "response_2": A, "preference": 2}, A),
    ({"response_0": A, "response_1": BAD, "better_response_id": 0}, A),
    ({"response_1": A, "response_2": BAD, "better_response_id": 1}, A),
]


@pytest.mark.parametrize(("row", "best"), VERDICTS)
def test_the_better_of_two_answers_is_the_one_that_is_named(row: dict[str, Any], best: str | None) -> None:
    bad: list[BadLine] = []
    records = list(read_rows([{"prompt": Q, **row}], bad=bad, format="comparisons"))
    assert [record.output for record in records] == ([best] if best else [])
    assert ["not said clearly" in str(line) for line in bad] == ([] if best else [True])


LATE = [
    {"messages": [*TALK[:1], {"role": "assistant", "content": "", "tool_calls": [{"name": "now", "arguments": {}}]}]},
    {"messages": [{"role": "developer", "content": "S"}, *TALK]},
    {"messages": [TALK[0], {**TALK[1], "reasoning_content": "Hm."}]},
    {"messages": [TALK[0], {**TALK[1], "weight": 0}]},
    {"messages": [TALK[0], {**TALK[1], "name": None}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": Q}]}, TALK[1]]},
    {"id": 7, "messages": TALK},
]


@pytest.mark.parametrize("late", LATE)
def test_what_comes_after_the_first_rows_is_read_as_well(tmp_path: Any, late: dict[str, Any]) -> None:
    records = read(tmp_path, *[{"messages": TALK}] * 150, late)
    (alone,) = read(tmp_path, late, name="alone.jsonl")
    assert len(records) == 151
    assert records[-1].messages == alone.messages


@pytest.mark.parametrize("late", [{"history": [["x", "y"]]}, {"id": 7}])
def test_so_are_late_columns_beside_an_answer(tmp_path: Any, late: dict[str, Any]) -> None:
    row = {"instruction": Q, "output": A}
    records = read(tmp_path, *[row] * 150, {**row, **late})
    (alone,) = read(tmp_path, {**row, **late}, name="alone.jsonl")
    assert [records[-1].messages, records[-1].system] == [alone.messages, alone.system]


def test_a_misspelled_field_is_a_bad_line_still(tmp_path: Any) -> None:
    row = {"instruction": Q, "output": A}
    bad: list[BadLine] = []
    assert len(list(read_rows([*[row] * 150, {**row, "inptu": "x"}], bad=bad))) == 150
    assert "input" in str(bad[0])


def test_an_answer_beside_turns_that_end_with_a_question_is_not_left_out(tmp_path: Any) -> None:
    for column in ("messages", "conversations"):
        with pytest.raises(UsageError, match="/answer: is an answer beside"):
            read(tmp_path, {column: TALK[:1], "answer": A})


def test_reasoning_in_a_turn_of_its_own_is_no_answer(tmp_path: Any) -> None:
    talk = [TALK[0], {"role": "assistant", "channel": "analysis", "content": "Hm."}, {**TALK[1], "channel": "final"}]
    with pytest.raises(UsageError, match="/messages/1/channel"):
        read(tmp_path, {"messages": talk})


def test_pairs_of_a_whole_file_are_not_one_conversation(tmp_path: Any) -> None:
    with pytest.raises(UsageError, match="save that array alone"):
        read(tmp_path, {"data": [["q1", "a1"], ["q2", "a2"]]}, name="a.json")


def test_an_instruction_that_stands_in_the_input_is_asked(tmp_path: Any) -> None:
    (record,) = read(tmp_path, {"instruction": "", "input": Q, "output": A, "x": 1})
    assert (record.instruction, record.input, record.output) == (Q, "", A)


def test_what_is_proposed_to_keep_are_all_columns(tmp_path: Any) -> None:
    rows = [
        {"question": Q, "answer": A, "choices": ["a", "b"]},
        {"question": Q, "answer": A, "choices": ["c"], "note": "n"},
    ]
    with pytest.raises(UsageError, match=r"keep=\['choices', 'note'\]"):
        read(tmp_path, *rows)


def test_a_late_column_that_is_not_kept_is_named(tmp_path: Any) -> None:
    rows = [{"question": Q, "answer": A, "choices": ["a"]}] * 150
    said: list[str] = []
    late = {"question": Q, "answer": A, "choices": ["a"], "note": "n", "empty": ""}
    records = list(read_rows([*rows, late], keep=["choices"], note=said.append))
    assert records[-1].extra == {"choices": ["a"]}
    assert said[1:] == ["records: ignored as well, in later rows: note"]


def test_two_parquet_columns_of_one_name_are_not_read_as_one(tmp_path: Any) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.Table.from_arrays(
        [pyarrow.array([Q]), pyarrow.array([A]), pyarrow.array([BAD])], ["prompt", "response", "response"]
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(UsageError, match="two columns are called 'response'; rename one of them"):
        list(load(tmp_path / "t.parquet"))
