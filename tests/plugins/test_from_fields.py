"""The generator `from-fields`: every row is a record or a drop, worded in turn, and exemplars leak nothing held out."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import filial
from filial import Drop, Record, UsageError, formats
from filial.engine.dataset import write_dataset
from filial.formats import SourceSpec
from filial.testing import FormatContract, GeneratorContract, context, run_async
from filial_plugins.formats.columns import Columns
from filial_plugins.generators.from_fields.catalogue import built_in_types
from filial_plugins.generators.from_fields.generator import FromFields
from filial_plugins.generators.from_fields.patterns import TaskTemplate, format_options

SUMS = [{"question": f"{i} + {i}?", "answer": 2 * i} for i in range(40)]
MOODS = [{"text": f"Day {i} was {mood}.", "answer": mood} for i in range(10) for mood in ("good", "bad")]
STEPS = [{"question": f"{i} - 1?", "rationale": f"One less than {i}.", "answer": str(i - 1)} for i in range(1, 31)]


class TestFromFields(GeneratorContract):
    component = FromFields(type="question-answering", map=["question=instruction", "answer=output"])


class TestColumns(FormatContract):
    component = Columns()
    rows = ({"premise": "It rains.", "label": 1}, {"premise": "Dry.", "label": 0, "tags": ["a"]})

    def test_it_finds_its_own_rows_and_no_others(self) -> None:
        """Any row would do, so it finds none: it is named."""
        assert self.component.detect(self.own_rows()) == 0


def seeds(rows: list[dict[str, Any]]) -> list[Record]:
    return [
        Record(id=f"r{place}", instruction="-", extra=row, tags=("columns",), task="") for place, row in enumerate(rows)
    ]


def run(rows: list[dict[str, Any]] | list[Record], **options: Any) -> list[Record | Drop]:
    given = [row for row in rows if isinstance(row, Record)] or seeds(rows)  # type: ignore[arg-type]

    async def work() -> list[Record | Drop]:
        return [item async for item in FromFields(**options).generate(given, context())]

    return run_async(work())


def records(rows: list[dict[str, Any]], **options: Any) -> list[Record]:
    made = run(rows, **options)
    assert all(isinstance(item, Record) for item in made), made
    return made  # type: ignore[return-value]


def reasons(rows: list[dict[str, Any]], **options: Any) -> list[str]:
    return [item.reason for item in run(rows, **options) if isinstance(item, Drop)]


# What a row becomes


def test_templates_take_turns_over_the_rows() -> None:
    names = [t for t in built_in_types()["question-answering"].templates if not t.inverted]
    made = records(SUMS, type="question-answering")
    for place, record in enumerate(made):
        assert record.instruction == names[place % len(names)].without_options().write_input(SUMS[place])
        assert record.output == str(SUMS[place]["answer"])
        assert record.origin.parents == (f"r{place}",)


def test_templates_drawn_by_seed_are_all_used_and_drawn_alike_again() -> None:
    made = records(SUMS, type="question-answering", order="random")
    assert made == records(SUMS, type="question-answering", order="random")
    assert len({record.instruction.split(str(SUMS[i]["question"]))[0] for i, record in enumerate(made)}) == 4


def test_a_row_drawn_by_seed_is_worded_alike_whatever_other_rows_there_are() -> None:
    options = {"type": "question-answering", "order": "random", "inverted": 0.5}
    made = run(seeds(SUMS), **options)  # type: ignore[arg-type]
    assert run(seeds(SUMS)[10:], **options) == made[10:]  # type: ignore[arg-type]


def test_columns_of_other_names_are_mapped_also_inside_objects_and_lists() -> None:
    rows = [{"q": {"text": "1+1?"}, "answers": {"text": ["2", "two"]}, "lang": "en"}]
    (made,) = records(rows, type="question-answering", map=["question=q.text", "answer=answers.text.0"])
    assert (made.instruction, made.output, made.extra) == ("1+1?", "2", {"lang": "en"})


def test_fields_of_records_count_as_columns_and_what_is_not_used_is_kept() -> None:
    row = Record(
        id="x", instruction="Who?", input="about cats", output="Me.", task="who", tags=("old",), extra={"n": 1}
    )
    (made,) = run([row], type="question-answering", map=["question=instruction", "answer=output"])
    assert isinstance(made, Record)
    assert (made.task, made.tags, made.extra) == ("who", ("old",), {"input": "about cats", "n": 1})


def test_the_task_is_the_option_or_the_rows_own_or_the_type() -> None:
    rows = [{**SUMS[0], "task": "sums"}, SUMS[1]]
    assert [r.task for r in records(rows, type="question-answering")] == ["sums", "question-answering"]
    assert [r.task for r in records(rows, type="question-answering", task="all")] == ["all", "all"]


def test_a_row_without_a_field_is_a_drop_that_names_its_column() -> None:
    made = run([{"q": "1+1?", "answer": "2"}, {"q": " ", "answer": "2"}, {"q": {"a": 1}, "answer": "2"}],
               type="question-answering", map=["question=q"])  # fmt: skip
    assert [type(item) for item in made] == [Record, Drop, Drop]
    assert [(item.reason, item.detail) for item in made if isinstance(item, Drop)] == [
        ("field-missing", "q"), ("field-not-text", "question: \"{'a': 1}\""),
    ]  # fmt: skip


def test_input_inversion_asks_for_the_question() -> None:
    made = records(SUMS, type="question-answering", inverted=1)
    assert all(record.output == SUMS[i]["question"] for i, record in enumerate(made))
    assert all(record.tags == ("inverted",) and str(SUMS[i]["answer"]) in record.instruction
               for i, record in enumerate(made))  # fmt: skip


def test_a_share_of_rows_is_inverted_and_each_row_is_used_once() -> None:
    made = records(SUMS * 10, type="question-answering", inverted=0.3 / 1.3)
    share = sum("inverted" in record.tags for record in made) / len(made)
    assert len(made) == 400
    assert share == pytest.approx(0.3 / 1.3, abs=0.08)  # 3.8 standard deviations


# Answer options


def test_options_are_listed_by_dashes_or_letters() -> None:
    made = records(MOODS, type="sentiment", choices=["good", "bad"])
    assert all(record.instruction.endswith("OPTIONS:\n- good\n- bad") for record in made)
    assert {record.tags for record in made} == {("options",)}
    lettered = records(MOODS, type="sentiment", choices=["good", "bad"], marks="letters")
    assert all("OPTIONS:\n(A) good\n(B) bad" in record.instruction for record in lettered)


def test_without_options_the_same_templates_leave_no_trace_of_them() -> None:
    made = records(MOODS, type="sentiment", choices=["good", "bad"], list_options=0)
    assert not any("OPTIONS" in r.instruction or r.instruction != r.instruction.strip() or r.tags for r in made)
    assert [r.instruction for r in made] == [r.instruction for r in records(MOODS, type="sentiment")]


def test_an_answer_that_is_a_number_is_a_place_among_the_choices() -> None:
    rows = [{"text": "A", "answer": 1}, {"text": "B", "answer": -1}, {"text": "C", "answer": 0.0}]
    made = run(rows, type="sentiment", choices=["bad", "good"])
    assert [item.output if isinstance(item, Record) else item.reason for item in made] == [
        "good", "answer-not-an-option", "bad",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "options", [["red", "blue"], '["red", "blue"]', "red|blue", "red\nblue", {"text": ["red", "blue"], "label": "AB"}]
)
def test_options_of_a_row_are_read_however_they_are_stored(options: Any) -> None:
    rows = [{"question": "A colour?", "answer": "red", "options": options}]
    (made,) = records(rows, type="question-answering")
    assert made.instruction == "A colour?\nOPTIONS:\n- red\n- blue"


def test_options_that_are_missing_unreadable_or_without_the_answer_are_drops() -> None:
    row = {"question": "A colour?", "answer": "red", "options": ["red", "blue"]}
    rows = [row, {**row, "options": None}, {**row, "options": 7}, {**row, "answer": "six"}]
    assert reasons(rows, type="question-answering", list_options=1) == [
        "options-missing", "options-unreadable", "answer-not-an-option",
    ]  # fmt: skip


# Chain of thought


def test_reasoning_is_shown_or_left_out_by_share_and_tagged() -> None:
    for record, row in zip(records(STEPS, type="reasoning"), STEPS, strict=True):
        assert row["rationale"] in record.output
        assert record.output.rstrip(".").endswith(row["answer"])
        assert record.tags == ("cot",)
    alone = records(
        [{k: v for k, v in row.items() if k != "rationale"} for row in STEPS], type="reasoning", reasoning=0
    )
    assert [(record.output, record.tags) for record in alone] == [(row["answer"], ()) for row in STEPS]
    assert 5 < sum("cot" in record.tags for record in records(STEPS, type="reasoning", reasoning=0.5)) < 25


# Exemplars


def test_exemplars_are_whole_other_rows_in_the_words_of_the_query() -> None:
    made = records(SUMS, type="question-answering", few_shot=1, shots=3)
    for place, record in enumerate(made):
        *shown, asked = record.instruction.split("\n\n")
        assert len(shown) == 3
        assert SUMS[place]["question"] in asked
        assert asked.endswith("Answer:")
        for text, parent in zip(shown, record.origin.parents[1:], strict=True):
            row = SUMS[int(parent[1:])]
            assert text == f"{asked.replace(str(SUMS[place]['question']), str(row['question']))} {row['answer']}"
        assert len({f"r{place}", *record.origin.parents[1:]}) == 4


@settings(deadline=None, max_examples=30)
@given(st.integers(3, 30), st.integers(1, 3), st.floats(0.2, 1), st.floats(0, 1), st.integers(1, 4))
def test_nothing_shown_to_others_is_held_out(
    tmp_path_factory: pytest.TempPathFactory, rows: int, shots: int, part: float, few: float, heldout: int
) -> None:
    """Equal questions count as one, so a twin of a held-out row is not shown either."""
    data = [SUMS[place // 2] for place in range(2 * rows)]
    try:
        made = [r for r in run(data, type="question-answering", few_shot=few, shots=shots, exemplars=part)
                if isinstance(r, Record)]  # fmt: skip
        folder = tmp_path_factory.mktemp("data")
        write_dataset(folder, [r.replaced(id=f"m{i}") for i, r in enumerate(made)], heldout, 7, "key")
    except UsageError:
        return
    held = [json.loads(line) for line in (folder / "heldout.jsonl").read_text().splitlines()]
    trained = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    assert len(held) == heldout
    shown = {
        SUMS[int(parent[1:]) // 2]["question"] for row in [*trained, *held] for parent in row["origin"]["parents"][1:]
    }
    asked = {SUMS[int(row["origin"]["parents"][0][1:]) // 2]["question"] for row in held}
    assert not shown & asked


def test_a_task_with_too_few_rows_for_its_exemplars_is_refused() -> None:
    with pytest.raises(UsageError, match=r"task 'question-answering': 3 exemplars are wanted, but it has 1 different"):
        run(SUMS[:1], type="question-answering", few_shot=1)
    with pytest.raises(UsageError, match="1 exemplars are wanted, but it has 1 different question"):
        run([SUMS[0]] * 5, type="question-answering", few_shot=1, shots=1)


def test_an_exemplar_that_finds_no_others_is_a_drop() -> None:
    made = run(SUMS[:4], type="question-answering", few_shot=1, shots=2)  # two may be exemplars, and have one other
    assert Counter(item.reason for item in made if isinstance(item, Drop)) == {"too-few-exemplars": 2}
    assert sum(isinstance(item, Record) for item in made) == 2


# What does not go together


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"type": "quiz"}, "there is no task type 'quiz' in filial; there are sentiment, inference"),
        ({"type": "topic", "map": ["text"]}, "'text' names no column; write FIELD=COLUMN"),
        ({"type": "topic", "map": ["text=a", "text=b"]}, "'text' is mapped twice"),
        ({"type": "topic", "map": ["title=a"]}, "the type topic has no field 'title'; it has answer, options, text"),
        ({"type": "dialogue", "list_options": 1}, "no template of the type dialogue lists options"),
        ({"type": "topic", "choices": ["one"]}, "give at least two different answers"),
    ],
)
def test_options_that_fit_no_template_are_refused_before_anything_runs(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FromFields(**options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"type": "reading"},
            "no row has a column 'context' for the field 'context'; the columns are question",
        ),
        ({"type": "question-answering", "map": ["question=prompt"]}, "no row has a column 'prompt' for the field"),
        (
            {"type": "question-answering", "list_options": 1},
            "options are to be listed, but no row has a column 'options'",
        ),
    ],
)
def test_columns_that_no_row_has_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        run(SUMS, **options)


# Templates of one's own


def write_types(tmp_path: Path, text: str) -> str:
    file = tmp_path / "types.yaml"
    file.write_text(text)
    return str(file)


def test_a_file_brings_types_of_ones_own(tmp_path: Path) -> None:
    file = write_types(
        tmp_path, "rhyme:\n  templates:\n    - {name: a, input: 'A rhyme on {{{word}}}?', target: '{rhyme}'}\n"
    )
    (made,) = records([{"word": "{cat}", "rhyme": "hat"}], type="rhyme", templates=file)
    assert (made.instruction, made.output) == ("A rhyme on {{cat}}?", "hat")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "it is no YAML"),
        ("{}", "it holds no task type"),
        ("rhyme: {templates: []}", "rhyme.templates: "),
        ("rhyme: {templates: [{name: a, input: '{word', target: '{b}'}]}", "rhyme.templates.0.input: "),
        ("rhyme: {templates: [{name: a, input: '{word.x}', target: '{b}'}]}", "{word.x} in '{word.x}' is no field"),
        ("rhyme: {templates: [{name: a, input: 'word', target: '{b}'}]}", "'word' names no field"),
        ("rhyme: {templates: [{name: a, input: '{word}', targets: '{b}'}]}", "rhyme.templates.0.target"),
        ("other: {templates: [{name: a, input: '{word}', target: '{b}'}]}", "there is no task type 'rhyme'"),
    ],
)
def test_a_bad_file_of_templates_is_one_sentence_with_a_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        run(SUMS, type="rhyme", templates=write_types(tmp_path, text))
    assert said in str(error.value)
    assert str(tmp_path) in str(error.value)


# The catalogue


def test_the_catalogue_has_ten_types_each_with_several_wordings_and_an_inversion() -> None:
    types = built_in_types()
    assert len(types) == 10
    for name, kind in types.items():
        plain = [template for template in kind.templates if not template.inverted]
        assert len(plain) >= 3, name
        assert any(template.inverted for template in kind.templates), name
        texts = [template.input for template in kind.templates]
        assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("name", built_in_types())
def test_every_template_of_the_catalogue_says_all_that_it_needs(name: str) -> None:
    """A field of the question or the answer, nothing twice, no braces left over, and an answer that begins apart."""
    for template in built_in_types()[name].templates:
        row = {field: f"<{field}>" for field in (*template.fields, "options")}
        for form in (template, template.without_options()):
            asked, said = form.write_input(row), form.write_target(row)
            assert not set("{}") & set(asked + said)
            assert asked == asked.strip()
            assert not any(text in asked for text in row.values() if text in said), template.name


def test_letters_go_on_after_z() -> None:
    lines = format_options([str(i) for i in range(28)], "letters").split("\n")
    assert [lines[1], lines[26], lines[27], lines[28]] == ["(A) 0", "(Z) 25", "(AA) 26", "(AB) 27"]


def test_values_with_braces_are_no_fields() -> None:
    template = TaskTemplate(name="a", input="{question}", target="{answer}")
    assert template.write_input({"question": "{answer}", "answer": "42"}) == "{answer}"


# From files


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "tsv", "parquet"])
def test_any_users_file_is_read_by_its_columns(tmp_path: Path, suffix: str) -> None:
    rows = [{"prompt": row["question"], "completion": row["answer"]} for row in SUMS]
    file = tmp_path / f"sums.{suffix}"
    if suffix == "parquet":
        pyarrow, parquet = (
            pytest.importorskip("pyarrow", reason="needs the extra data"),
            pytest.importorskip("pyarrow.parquet", reason="needs the extra data"),
        )
        parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    else:
        mark = {"csv": ",", "tsv": "\t"}.get(suffix, "")
        cells = "".join(f"{mark.join(map(str, row))}\n" for row in [rows[0].keys(), *(row.values() for row in rows)])
        lines = "\n".join(map(json.dumps, rows))
        file.write_text(cells if mark else json.dumps(rows) if suffix == "json" else lines)
    maker = FromFields(type="question-answering", map=["question=prompt", "answer=completion"])
    made = filial.generate(file, maker, progress=False)
    assert [record.output for record in made] == [str(row["answer"]) for row in SUMS]
    assert made.summary["stages"][0]["made"] == len(SUMS)


def test_rows_in_memory_and_columns_mapped_by_the_source_do_as_well(tmp_path: Path) -> None:
    kind = {"use": "from-fields", "type": "question-answering"}
    assert [record.output for record in filial.generate(SUMS[:3], kind, progress=False)] == ["0", "2", "4"]
    file = tmp_path / "sums.jsonl"
    file.write_text(json.dumps({"prompt": "1+1?", "completion": "2"}))
    source = SourceSpec(file=str(file), columns={"question": "prompt", "answer": "completion"})
    assert [record.instruction for record in filial.generate(source, kind, progress=False)] == ["1+1?"]


def test_a_format_that_the_user_names_is_the_one_that_is_read(tmp_path: Path) -> None:
    file = tmp_path / "flan.tsv"
    file.write_text("2+3?\t5\t2+3 is 5.\n")
    kind = {"use": "from-fields", "type": "question-answering", "map": ["question=instruction", "answer=output"]}
    (made,) = filial.generate(SourceSpec(file=str(file), format="cot-tsv"), kind, progress=False)
    assert (made.instruction, made.output, made.tags, made.extra) == ("2+3?", "5", ("cot",), {"reasoning": "2+3 is 5."})


def test_the_command_takes_a_map_of_several_columns(cli: Any) -> None:
    (cli.folder / "qa.csv").write_text("prompt,reply,lang\nWho?,Me,en\nWhy?,,en\n")
    maps = ["--map", "question=prompt", "--map", "answer=reply"]
    asked = ["generate", "from-fields", "--type", "question-answering", *maps, "qa.csv", "-o", "out.jsonl"]
    assert cli(*asked, toy=False) == 0, cli.err
    (row,) = cli.rows("out.jsonl")
    assert (row["instruction"], row["output"], row["extra"]) == ("Who?", "Me", {"lang": "en"})
    (drop,) = cli.rows("out.drops.jsonl")
    assert (drop["reason"], drop["detail"]) == ("field-missing", "reply")


def test_a_recipe_reads_seeds_by_their_columns_and_a_wrong_type_has_its_place(cli: Any) -> None:
    (cli.folder / "qa.csv").write_text("question,answer\nWho?,Me\n")
    recipe = "stages:\n  - generate: {use: from-fields, type: question-answering, seeds: qa.csv}\n  - filter: novelty\n"
    (cli.folder / "r.yaml").write_text(recipe)
    assert cli("run", "r.yaml", toy=False) == 0, cli.err
    (row,) = cli.rows("runs/r/stages/02-filter/records.jsonl")
    assert (row["instruction"], row["output"]) == ("Who?", "Me")
    assert cli("plan", "r.yaml", toy=False) == 0, cli.err
    (cli.folder / "r.yaml").write_text(recipe.replace("type: question-answering", "type: quiz"))
    assert cli("check", "r.yaml", toy=False) == 2
    assert "r.yaml:2:15" in cli.out + cli.err
    assert "there is no task type 'quiz'" in cli.out + cli.err


def test_what_filial_wrote_comes_back_as_the_record_that_it_was(tmp_path: Path) -> None:
    first = filial.generate(SUMS[:2], {"use": "from-fields", "type": "question-answering"}, progress=False)
    formats.write(tmp_path / "made.jsonl", first)
    kind = {"use": "from-fields", "type": "question-answering", "map": ["question=instruction", "answer=output"]}
    again = filial.generate(tmp_path / "made.jsonl", kind, progress=False)
    assert [record.origin.parents for record in again] == [(record.id,) for record in first]
    assert [record.extra for record in again] == [{}, {}]


def test_questions_with_other_options_are_other_questions() -> None:
    rows = [{"question": "A tool?", "answer": f"saw {i}", "options": [f"saw {i}", "tea"]} for i in range(6)]
    made = records(rows, type="question-answering", few_shot=1, shots=2)
    assert all(len(record.origin.parents) == 3 for record in made)
