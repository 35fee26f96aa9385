"""Several answers, better and worse ones, labels and wrappers in the rows of public data sets."""

import json
from typing import Any

import pytest
from foreign_rows_kit import (
    A,
    Q,
    U,
    Y,
    read_all,
    single,
)

from filial import UsageError

GRADED: dict[str, dict[str, Any]] = {
    "marks of right answers": {"question": Q, "responses": ["w", A], "correct": [False, True]},
    "marks in words": {"question": Q, "responses": ["w", A], "correct": ["no", "yes"]},
    "marks in numbers": {"problem": Q, "generations": ["w", A], "correctness_math_verify": [0, 1]},
    "places": {"question": Q, "responses": ["x", A, "w"], "rank": [2, 1, 3]},
    "places of another name": {"question": Q, "responses": ["x", A, "w"], "ranks": [2, 1, 3]},
    "a ranking that says the same both ways": {"question": Q, "responses": ["w", A], "ranking": [2, 1]},
    "a ranking in the answers": {"question": Q, "responses": [{"text": "w", "ranking": 2}, {"text": A, "ranking": 1}]},
    "marks in the answers": {"question": Q, "responses": [{"text": "w", "correct": 0}, {"text": A, "correct": 1}]},
    "an answer that is missing": {"question": Q, "responses": ["w", None, A], "ratings": [1, None, 5]},
}  # fmt: skip


@pytest.mark.parametrize("kind", GRADED)
def test_the_best_of_several_answers_is_trained_and_the_worst_is_rejected(kind: str) -> None:
    [record], bad = read_all(GRADED[kind])
    assert (record.instruction, record.output, [turn.content for turn in record.rejected], bad) == (Q, A, ["w"], [])


UNGRADED: dict[str, tuple[dict[str, Any], str]] = {
    "no grades": ({"generations": [A, "b", None]}, "/generations: holds 2 answers, and nothing says which is the best"),
    "figures of no name": ({"responses": [{"text": A, "loss": 1}, {"text": "b", "loss": 2}]}, "/responses: holds 2"),
    "accepted answers": ({"answers": {"text": [A, "b"], "answer_start": [1, 2]}}, "/answers: holds 2 answers"),
    "solutions": ({"solutions": json.dumps([A, "b"])}, "/solutions: holds 2 answers"),
    "a missing grade": ({"generations": [A, "b", "c"], "ratings": [1, None, 3]}, "/ratings: has a grade for some"),
    "fewer grades": ({"generations": [A, "b", "c"], "ratings": [1, 5]}, "/ratings: has 2 entries, and there are 3"),
    "steps": ({"completions": [A, "b"], "labels": [True, False]}, "/labels: labels beside completions are"),
    "places or an order": ({"responses": [A, "b", "c"], "ranking": [2, 3, 1]}, "/ranking: could be the place of each"),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNGRADED)
def test_several_answers_are_never_trained_where_nothing_says_which(kind: str) -> None:
    row, words = UNGRADED[kind]
    records, [why] = read_all({"question": Q, **row})
    assert (records, why[: len(words)]) == ([], words)


BETTER: dict[str, dict[str, Any]] = {
    "PKU-SafeRLHF": {"prompt": Q, "response_0": "w", "response_1": A, "better_response_id": 1, "safer_response_id": 1},
    "HelpSteer2": {"prompt": Q, "response_1": A, "response_2": "w", "preference_strength": -2},
    "HelpSteer3": {"context": [U], "response1": "w", "response2": A, "overall_preference": 3},
    "Arena's marks": {"prompt": Q, "response_a": A, "response_b": "w", "winner_model_a": 1, "winner_model_b": 0},
    "Arena's word": {"prompt": Q, "response_a": "w", "response_b": A, "winner": "model_b"},
    "MT-Bench": {"conversation_a": [U, Y], "conversation_b": [U, {**Y, "content": "w"}], "winner": "model_a"},
    "AlpacaEval": {"instruction": Q, "output_1": "w", "output_2": A, "preference": 2.0},
    "winner and loser": {"prompt": Q, "winner": A, "loser": "w"},
    "accepted": {"prompt": Q, "accepted": A, "rejected": "w"},
    "OpenAI": {
        "input": {"messages": [U], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [Y],
        "non_preferred_output": [{**Y, "content": "w"}],
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", BETTER)
def test_the_better_of_two_answers_is_trained_and_the_other_is_rejected(kind: str) -> None:
    [record], bad = read_all(BETTER[kind])
    assert [(turn.role, turn.content) for turn in record.turns()] == [("user", Q), ("assistant", A)]
    assert ([turn.content for turn in record.rejected], bad) == (["w"], [])


UNCLEAR: dict[str, tuple[dict[str, Any], str]] = {
    "no word": ({"prompt": Q, "response_a": A, "response_b": "w"}, "nothing says which of response_a and response_b"),
    "a tie": ({"prompt": Q, "response_a": A, "response_b": "w", "winner": "tie"}, "response_a and response_b are"),
    "two words": (
        {"prompt": Q, "response_0": A, "response_1": "w", "better_response_id": 0, "safer_response_id": 1},
        "it is not said clearly which",
    ),
    "two questions of preferences": (
        {"chosen": [U, Y], "rejected": [{**U, "content": "Else?"}, Y]},
        "/rejected: has another question than chosen",
    ),
    "a worse answer alone": ({"prompt": Q, "rejected": "w"}, "has a worse answer, and no better one"),
    "two questions": ({"instruction": "Be brief.", "prompt": Q, "response": A}, "/instruction: is a second question"),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNCLEAR)
def test_what_is_not_clear_is_a_bad_row(kind: str) -> None:
    row, words = UNCLEAR[kind]
    records, [why] = read_all(row)
    assert (records, why[: len(words)]) == ([], words)


def test_names_of_parts_that_are_plain_are_read() -> None:
    read = [
        ({"Question": Q, "Complex_CoT": "Hm.", "Response": A}, single(reasoning="Hm.")),
        ({"prompt": Q, "response": A, "system_instruction": "S"}, single(system="S")),
        ({"definition": Q, "inputs": "in Asia", "targets": A}, single(input="in Asia")),
        ({"article": "in Asia", "question": Q, "answer": A}, single(input="in Asia")),
        ({"prompt": Q, "completion": A, "thumbs_up": False}, single(label=False)),
    ]
    for row, expected in read:
        assert read_all(row) == ([expected], [])


@pytest.mark.parametrize(
    "name", ["opa", "cop", "A", "option_a", "choices", "deepseek_thinking_trajectory", "solutions"]
)
def test_choices_and_reasoning_of_others_are_not_passed_over(name: str) -> None:
    with pytest.raises(UsageError, match=f"the column '{name}' changes what a row means"):
        read_all({"question": Q, "answer": A, name: "x"})


def test_an_answer_that_is_given_twice_or_marked_as_wrong_is_one_record() -> None:
    row = {"question": Q, "answers": {"text": [A, A], "answer_start": [1, 9]}}
    assert read_all(row) == ([single(extra={"answers": row["answers"]})], [])
    [record], _ = read_all({"question": Q, "responses": ["w", "v"], "correct": [False, False]})
    assert record.label is False
    row = {"question": Q, "answers": ["a", A]}
    assert read_all(row, columns={"output": "answers.1"}) == ([single(extra={"answers": ["a", A]})], [])


LABELS = [
    (word, label)
    for words, label in (
        ((True, "true", "True", "yes", "good", "accepted", "desirable", "thumbs_up"), True),
        ((False, "false", "NO", "bad", "rejected", "undesirable", "dislike", "wrong"), False),
    )
    for word in words
]


@pytest.mark.parametrize(("said", "label"), LABELS)
def test_every_spelling_of_a_label(said: Any, label: bool) -> None:
    assert read_all({"prompt": Q, "completion": A, "label": said}) == ([single(label=label)], [])


@pytest.mark.parametrize(
    ("said", "label"), [(1, True), (0, False), ("1", True), ("0", False), (-1, False), ("yes", True), (1.0, True)]
)
def test_numbers_are_labels_under_names_of_labels_alone_or_by_a_mapping(said: Any, label: bool) -> None:
    row = {"prompt": Q, "completion": A}
    assert read_all({**row, "kto_tag": said}) == ([single(label=label)], [])
    assert read_all({**row, "label": said}, columns={"label": "label"}) == ([single(label=label)], [])
    assert read_all({**row, "vote": said}, columns={"label": "vote"}) == ([single(label=label)], [])


@pytest.mark.parametrize(("name", "said"), [("label", 0), ("label", -1), ("label", "positive"), ("weight", 0.3)])
def test_a_mark_that_is_not_understood_is_never_trained_in_silence(name: str, said: Any) -> None:
    row = {"prompt": Q, "completion": A, name: said}
    with pytest.raises(UsageError, match=f"the column '{name}' changes what a row means"):
        read_all(row)
    late = [{"prompt": Q, "completion": A}] * 100
    assert read_all(*late, row)[1] == [f"/{name}: changes what a row means, and pairs does not read it"]


def test_what_is_mapped_to_a_label_and_is_none_is_a_bad_row() -> None:
    rows = [{"prompt": Q, "completion": A, "vote": vote} for vote in (True, "sports", 3)]
    records, bad = read_all(*rows, columns={"label": "vote"})
    assert records == [single(label=True)]
    assert bad == [
        "/label: pairs cannot read what is mapped to it",
        "/label: must be true or false, yes or no, 1 or 0, not 3",
    ]


@pytest.mark.parametrize("beside", [{}, {"version": "1.1"}])
@pytest.mark.parametrize("name", ["data", "items", "examples"])
@pytest.mark.parametrize(
    "rows", [[{"instruction": Q, "output": A}] * 3, [{"question": Q, "answer": A}], [{"prompt": Q, "completion": A}]]
)
def test_an_object_around_all_rows_is_no_conversation(name: str, rows: list[Any], beside: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=f"save that array alone, as with jq .{name}"):
        read_all({**beside, name: rows})


def test_a_list_of_texts_is_a_conversation_where_rows_have_ids_or_there_are_several() -> None:
    texts = [Q, A, "And more?", "Lena"]
    with pytest.raises(UsageError, match="save that array alone"):
        read_all({"data": texts})
    for rows in ([{"id": "0", "data": texts}], [{"data": texts}, {"data": texts}]):
        records, bad = read_all(*rows)
        assert ([len(record.messages) for record in records], bad) == ([4] * len(rows), [])
    records, [why] = read_all({"data": [U, Y]}, {"data": [{"question": Q, "answer": A}]})
    assert (len(records), why) == (1, "/data: holds rows, not turns; save that array alone, as a file of its own")
