"""The formats of chain of thought, and its rendering: reasoning and answer apart, nothing lost on the way."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizer_kit import FORMAT_TOKENS, SPECIAL, byte_level

from filial import Drop, Format, Keep, Message, Record, Template, formats
from filial.formats import Fault, Unfit, check_fits
from filial.testing import FilterContract, FormatContract, context
from filial_plugins.filters.split_reasoning import SplitReasoning
from filial_plugins.formats.cot import Cot, CotTable
from filial_plugins.templates.alpaca import Alpaca
from filial_plugins.templates.chat import Chat
from filial_plugins.templates.plain import Plain
from filial_plugins.templates.question import Question
from filial_plugins.templates.vicuna import Vicuna
from filial_plugins.trainers.rows.trainable import find_omissions

STEPS = Record(
    id="s", instruction="If John has 5 apples and gives 2 away, how many has he?", reasoning="5 - 2 = 3", output="3"
)
ROWS = [
    Record(id="a", instruction="Is ice\ncold?", reasoning="Ice is frozen.\nWhat is frozen is cold.", output="yes"),
    Record(id="b", instruction="1+1?", reasoning="One and one make two.", output="2"),
]


class TestCot(FormatContract):
    component: Format = Cot()
    records = ROWS


class TestCotTable(FormatContract):
    component: Format = CotTable()
    records = ROWS


def read_table(data: str) -> list[Record | Fault]:
    return list(CotTable().read(io.BytesIO(data.encode())))


def test_a_row_becomes_reasoning_and_answer_with_the_tag_that_mixing_counts(tmp_path: Path) -> None:
    file = tmp_path / "cot.jsonl"
    file.write_text('{"question": "2+3?", "rationale": "2+3 is 5.", "answer": "5", "task": "sums"}\n')
    (record,) = formats.read(file)
    assert (record.instruction, record.reasoning, record.output) == ("2+3?", "2+3 is 5.", "5")
    assert (record.task, record.tags) == ("sums", ("cot",))


def test_without_a_rationale_a_row_is_no_chain_of_thought(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"question": "2+3?", "answer": "5"}\n')
    (record,) = formats.read(file)
    assert (record.output, record.tags) == ("5", ())


def test_lines_of_flan_are_read_in_their_order_with_their_line_breaks() -> None:
    (record,) = read_table("Which?\\n(A) one\\n(B) two\tB\tFirst.\\nSecond.\n")
    assert isinstance(record, Record)
    assert record.instruction == "Which?\n(A) one\n(B) two"
    assert (record.output, record.reasoning, record.tags) == ("B", "First.\nSecond.", ("cot",))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("question\tanswer", "has 2 columns, not 3: question, answer, rationale"),
        ("question\tanswer\twhy\tmore", "has 4 columns"),
        ("question\t\twhy", "/answer: is empty"),
        ("question\tanswer\t ", "/rationale: is empty"),
    ],
)
def test_a_bad_line_is_a_fault_and_stops_no_other(line: str, said: str) -> None:
    fault, record = read_table(f"{line}\nq\ta\tr\n")
    assert said in str(fault)
    assert isinstance(record, Record)


def test_a_line_that_is_no_text_is_a_fault() -> None:
    fault, record = CotTable().read(io.BytesIO(b"\xff\ta\tr\nq\ta\tr\n"))
    assert "is not UTF-8" in str(fault)
    assert isinstance(record, Record)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\r\\"), min_size=1).filter(str.strip)


@given(TEXTS, TEXTS, TEXTS)
def test_what_is_written_is_read_again(question: str, rationale: str, answer: str) -> None:
    record = Record(instruction=question, reasoning=rationale, output=answer, tags=("cot",))
    out = io.BytesIO()
    CotTable().write([record], out)
    assert read_table(out.getvalue().decode()) == [record]
    (row,) = Cot().to_rows([record])
    assert Cot().records_in(row) == [record]


@pytest.mark.parametrize("form", [Cot(), CotTable()], ids=["cot", "cot-tsv"])
@pytest.mark.parametrize(
    ("record", "said"),
    [
        (STEPS.replaced(reasoning=""), "it has no reasoning"),
        (STEPS.replaced(output=""), "it has no answer"),
        (STEPS.replaced(system="Be brief."), "no place for its system"),
        (STEPS.replaced(tools=({"name": "sum"},)), "no place for its tools"),
        (
            Record(id="s", messages=tuple(Message(role, "x") for role in ("user", "assistant", "user"))),
            "no place for its messages",
        ),
    ],
)
def test_what_is_no_chain_of_thought_is_refused_by_name(form: Format, record: Record, said: str) -> None:
    def write() -> None:
        check_fits(form, record)
        form.write([record], io.BytesIO())

    with pytest.raises(Unfit, match=f"record s: .*{said}"):
        write()


@pytest.mark.parametrize(("text", "said"), [("a\tb", "a tab"), ("a\\nb", "the characters"), ("a\rb", "a carriage")])
def test_what_a_table_cannot_hold_is_refused(text: str, said: str) -> None:
    with pytest.raises(Unfit, match=said):
        CotTable().write([STEPS.replaced(instruction=text)], io.BytesIO())


def test_a_conversation_with_reasoning_is_written_as_its_question_and_answer() -> None:
    turns = (Message("user", "2+3?"), Message("assistant", "5", reasoning="2+3 is 5."))
    (row,) = Cot().to_rows([Record(messages=turns)])
    assert row == {"question": "2+3?", "rationale": "2+3 is 5.", "answer": "5"}


STEP_BY_STEP = "{reasoning}\nThe answer is {answer}."
BYTES = byte_level(special=(*SPECIAL, *FORMAT_TOKENS))
TEMPLATES = [Alpaca, Plain, Question, Vicuna, Chat]


def bind(kind: type[Any], reasoning: str) -> Template:
    return kind(reasoning=reasoning, **({"format": "chatml"} if kind is Chat else {})).bind(BYTES)


@pytest.mark.parametrize("kind", TEMPLATES)
@pytest.mark.parametrize("as_turns", [False, True], ids=["single", "turns"])
def test_a_template_writes_reasoning_then_answer_and_trains_both(kind: type[Any], as_turns: bool) -> None:
    record = Record(messages=STEPS.turns()) if as_turns else STEPS
    spans = bind(kind, STEP_BY_STEP).render(record)
    (trained,) = [span.text.strip() for span in spans if span.train and not span.special]
    assert trained == "5 - 2 = 3\nThe answer is 3."
    assert list(find_omissions(record, spans)) == []


@pytest.mark.parametrize("kind", TEMPLATES)
def test_unless_told_so_a_template_writes_the_answer_alone_and_that_is_counted(kind: type[Any]) -> None:
    spans = bind(kind, "").render(STEPS)
    assert [span.text.strip() for span in spans if span.train and not span.special] == ["3"]
    assert list(find_omissions(STEPS, spans)) == ["reasoning-left-out"]


@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_record_without_reasoning_or_answer_is_written_as_ever(kind: type[Any]) -> None:
    for record in (STEPS.replaced(reasoning=""), STEPS.replaced(output="")):
        assert bind(kind, STEP_BY_STEP).render(record) == bind(kind, "").render(record)


def test_texts_that_look_like_the_places_stay_texts() -> None:
    record = STEPS.replaced(reasoning="so {answer} it is", output="{reasoning}")
    text = "".join(span.text for span in bind(Question, STEP_BY_STEP).render(record))
    assert "so {answer} it is\nThe answer is {reasoning}." in text


@pytest.mark.parametrize("pattern", ["{answer}", "{reasoning}", "{answer}{answer}{reasoning}", "why"])
def test_a_pattern_without_both_places_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"must hold \{reasoning\} and \{answer\} once each"):
        Question(reasoning=pattern)


# Reasoning and answer in one text


class TestSplitReasoning(FilterContract):
    component = SplitReasoning(marker="Therefore,")


APPLES = Record(
    id="apples",
    instruction="Solve the problem step by step.",
    input="Mia has 5 pears and gives 2 to Tom. How many are left?",
    output="Step by step:\n1. At first there are 5.\n2. 5 - 2 = 3.\n\nTherefore, Mia has 3 pears.",
    label=True,
)


@pytest.mark.parametrize("as_turns", [False, True], ids=["single", "turns"])
def test_the_answer_begins_at_the_marker_and_what_comes_before_is_reasoning(as_turns: bool) -> None:
    record = Record(id="apples", messages=APPLES.turns(), label=True) if as_turns else APPLES
    kept = SplitReasoning(marker="Therefore,").check(record, context())
    assert isinstance(kept, Keep)
    assert kept.record is not None
    answer = kept.record.turns()[-1]
    assert answer.reasoning == "Step by step:\n1. At first there are 5.\n2. 5 - 2 = 3."
    assert (answer.content, kept.tags, kept.record.label) == ("Therefore, Mia has 3 pears.", ("cot",), True)
    assert kept.record.prompt() == record.prompt()


def test_the_marker_may_be_cut_and_is_the_last_one() -> None:
    record = STEPS.replaced(reasoning="", output="#### is a mark.\n5 - 2 = 3\n#### 3")
    kept = SplitReasoning(marker="####", cut=True).check(record, context())
    assert isinstance(kept, Keep)
    assert kept.record == record.replaced(reasoning="#### is a mark.\n5 - 2 = 3", output="3")


@pytest.mark.parametrize("output", ["3", "", "Therefore, 3", "5 - 2 is 3. Therefore,"])
def test_an_answer_without_both_parts_is_a_drop(output: str) -> None:
    dropped = SplitReasoning(marker="Therefore,").check(STEPS.replaced(reasoning="", output=output), context())
    assert isinstance(dropped, Drop)
    assert dropped.reason == "no-reasoning"


def test_what_is_separate_already_stays_as_it_is() -> None:
    assert SplitReasoning(marker="Therefore,").check(STEPS, context()) == Keep(tags=("cot",))


def test_a_byte_order_mark_is_no_part_of_the_first_question(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text("\ufeffHow many?\t2\tOne and one.\n", encoding="utf-8")
    (record,) = formats.read(path, format="cot-tsv")
    assert record.instruction == "How many?"
