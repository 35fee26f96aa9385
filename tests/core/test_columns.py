"""Columns: mapped, kept, ignored, and none that changes what a row means passed over in silence."""

import pytest
from columns_kit import MAPPED, PAIR, ROW, load, put
from hypothesis import given
from hypothesis import strategies as st

import filial
from filial import UsageError
from filial.formats import BadLine, SourceSpec, read_rows
from filial.formats.columns import weigh_column
from filial.plugins import Manager


def test_mapped_columns_are_read_and_one_sentence_says_what_became_of_each(tmp_path):
    (record,), said = load(put(tmp_path / "a.jsonl", ROW), columns=MAPPED, ignore=["row"])
    assert (record.instruction, record.output) == ("My router blinks, why?", "Restart it.")
    assert record.extra == {"ticket": "T-1", "lang": "en"}
    assert said == [
        "read as alpaca (instruction from customer_message, output from agent_reply); kept as extra: ticket, lang; "
        "ignored: row"
    ]


@pytest.mark.parametrize(
    ("how", "extra", "end"),
    [
        ({}, {"row": 7, "ticket": "T-1", "lang": "en"}, "; kept as extra: row, ticket, lang"),
        ({"keep": ["lang"]}, {"lang": "en"}, "; kept as extra: lang; ignored: row, ticket"),
        ({"keep": []}, {}, "; ignored: row, ticket, lang"),
        ({"keep": ["lang"], "ignore": ["row"]}, {"lang": "en"}, "; kept as extra: lang; ignored: row, ticket"),
    ],
)
def test_other_columns_are_kept_unless_the_user_says_otherwise(tmp_path, how, extra, end):
    (record,), (said,) = load(put(tmp_path / "a.jsonl", ROW), columns=MAPPED, **how)
    assert record.extra == extra
    assert said == f"read as alpaca (instruction from customer_message, output from agent_reply){end}"


def test_filials_own_lines_need_no_sentence_and_keep_what_they_are_told_to(tmp_path):
    own = {**PAIR, "scores": {"x": 1.0}}
    assert load(put(tmp_path / "own.jsonl", own))[1] == []
    more = put(tmp_path / "more.jsonl", {**own, "lang": "en", "n": 1})
    (record,), said = load(more)
    assert (record.extra, said) == (
        {"lang": "en", "n": 1},
        ["read as filial (instruction, output, scores); kept as extra: lang, n"],
    )
    (record,), said = load(more, keep=["n"])
    assert (record.extra, record.scores) == ({"n": 1}, {"x": 1.0})
    assert said == ["read as filial (instruction, output, scores); kept as extra: n; ignored: lang"]


NESTED = {"q": {"text": "How many?", "lang": "en"}, "a": {"value": 4, "sure": True}, "all": ["x", {"b": "Two."}]}


@pytest.mark.parametrize(
    ("columns", "output", "extra"),
    [
        ({"output": "a.value"}, "4", {"a": {"sure": True}, "all": NESTED["all"]}),
        ({"output": "a.sure"}, "true", {"a": {"value": 4}, "all": NESTED["all"]}),
        ({"output": "all.1.b"}, "Two.", {"a": NESTED["a"], "all": NESTED["all"]}),
    ],
)
def test_a_dot_leads_into_an_object_and_numbers_become_text(columns, output, extra):
    (record,) = read_rows([NESTED], columns={"instruction": "q.text", **columns})
    assert (record.instruction, record.output) == ("How many?", output)
    assert record.extra == {"q": {"lang": "en"}, **extra}


def test_a_column_whose_name_holds_a_dot_is_that_column_and_what_is_given_stays_untouched():
    row = {"q.text": "Which one?", "q": {"text": "no"}, "a": "This."}
    (record,) = read_rows([row], columns={"instruction": "q.text", "output": "a"})
    assert (record.instruction, record.extra) == ("Which one?", {"q": {"text": "no"}})
    assert row == {"q.text": "Which one?", "q": {"text": "no"}, "a": "This."}
    inner = {"text": "Who?", "b": 1}
    list(read_rows([{"q": inner, "a": "I."}], columns={"instruction": "q.text", "output": "a"}))
    assert inner == {"text": "Who?", "b": 1}


def test_a_switch_stays_one_and_a_missing_cell_is_a_missing_field():
    rows = [
        {"q": "Who?", "a": "I.", "good": False, "given": None},
        {"q": "You?", "a": "No.", "good": True, "given": "here"},
    ]
    columns = {"instruction": "q", "output": "a", "label": "good", "input": "given"}
    assert [(r.label, r.input) for r in read_rows(rows, columns=columns)] == [(False, ""), (True, "here")]


WORD = st.text("abc", min_size=1, max_size=3)
CELL = st.recursive(
    st.text("xyz ", min_size=1) | st.integers(), lambda inner: st.dictionaries(WORD, inner, max_size=3), max_leaves=6
)


def leaves(value):
    return [leaf for inner in value.values() for leaf in leaves(inner)] if isinstance(value, dict) else [str(value)]


@given(st.dictionaries(WORD, CELL, min_size=2, max_size=6), st.data())
def test_nothing_that_a_row_says_is_lost_by_mapping_it(row, data):
    sources = data.draw(st.lists(st.sampled_from(sorted(row)), min_size=2, max_size=2, unique=True))
    row = {**row, **dict.fromkeys(sources, "some text")}
    (record,) = read_rows([row], columns=dict(zip(("instruction", "output"), sources, strict=True)))
    assert sorted([record.instruction, record.output, *leaves(record.extra)]) == sorted(leaves(row))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (
            {"columns": {"instruction": "customer_mesage"}},
            "no column 'customer_mesage'; did you mean 'customer_message'?",
        ),
        (
            {"columns": {"instruction": "frage"}},
            "no column 'frage'; there are row, ticket, customer_message, agent_reply, lang",
        ),
        ({"columns": MAPPED, "keep": ["langg"]}, "no column 'langg'; did you mean 'lang'?"),
        ({"columns": MAPPED, "keep": ["lang.x"]}, "no column 'lang.x'; did you mean 'lang'?"),
        ({"columns": MAPPED, "ignore": ["rows"]}, "no column 'rows'; did you mean 'row'?"),
        (
            {"columns": {"instrution": "customer_message", "output": "agent_reply"}},
            "no format has a field 'instrution'",
        ),
        (
            {"columns": {**MAPPED, "sytem": "lang"}},
            "alpaca has no field 'sytem' to map a column to; ",
        ),
        (
            {"columns": {**MAPPED, "ticket": "lang"}},
            "'lang' is mapped to 'ticket', but there is also a column 'ticket'",
        ),
        ({"columns": MAPPED, "ignore": ["customer_message"]}, "'customer_message' is mapped and ignored"),
    ],
)
def test_a_column_or_a_field_that_is_not_there_is_told_with_the_ones_that_are(tmp_path, how, words):
    with pytest.raises(UsageError) as error:
        load(put(tmp_path / "a.jsonl", ROW), **how)
    assert words in str(error.value)


MEANING = [
    ("system_prompt", "You are a pirate."), ("systemMessage", "Be brief."), ("sys-prompt", "Be brief."),
    ("SYSTEM", "Pirate."), ("history", [["a", "b"]]), ("chat_history", "A: hello"), ("past_messages", [{}]),
    ("rationale", "Since 2 + 2 is 4."), ("reasoning_content", "Hm."), ("Thinking", "Hm."), ("cot", "First, ..."),
    ("model_reasoning", "First this, then that."), ("chosen", "good"), ("rejected", [{"role": "user"}]),
    ("chosen_response", "a good one"), ("label", False), ("label", "true"), ("kto_tag", True), ("weight", 0),
    ("weight", 0.5), ("label", -1),
    ("label", "no"),
    ("loss_mask", [0, 1]), ("train", False), ("functions", [{"name": "f"}]), ("tool_calls", [{}]),
    ("choices", ["a", "b"]), ("passage", "Long ago."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), MEANING)
def test_a_column_that_changes_what_a_row_means_is_mapped_kept_or_ignored_by_a_word(tmp_path, name, value):
    plugin = tmp_path / "bare.py"
    plugin.write_text(BARE)
    manager = Manager()
    manager.load_file(plugin)
    path = put(tmp_path / "a.jsonl", {"ask": "Which?", "say": "That.", "lang": "en", name: value})
    with pytest.raises(UsageError) as error:
        load(path, manager=manager)
    text = str(error.value)
    assert f"a.jsonl:1: the column {name!r} changes what a row means, and bare does not read it" in text
    for way in (f"columns={{'FIELD': {name!r}}}", f"keep=['lang', {name!r}]", f"ignore=[{name!r}]"):
        assert way in text
    assert load(path, manager=manager, keep=["lang", name])[0][0].extra == {"lang": "en", name: value}
    assert load(path, manager=manager, ignore=[name])[0][0].extra == {"lang": "en"}


BARE = '''
from filial import Record, hookimpl
from filial.formats import RowFormat


class Bare(RowFormat):
    """Reads two columns."""

    keys = ("ask", "say")

    def from_row(self, row):
        return [Record(instruction=row["ask"], output=row["say"])]


@hookimpl
def register_formats(register):
    register("bare", Bare)
'''


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("chosen_rating", 4.5), ("system_fingerprint", "fp_1"), ("reasoning_tokens", 31), ("image_count", 0),
        ("has_image", False), ("label", "billing"), ("label", 3), ("weight", "heavy"),
        ("loss", 1.83), ("system", ""), ("history", []),
        ("rejected", None), ("prompt_id", "1"), ("ecosystem", "of a pond"), ("training", "yes please"),
    ],
)  # fmt: skip
def test_other_columns_are_no_matter_of_meaning(name, value):
    assert weigh_column(name, value) == ""


@pytest.mark.parametrize(("name", "value"), [("images", ["a.png"]), ("image", {"bytes": "x"}), ("audio_path", "a.wav")])
def test_media_make_a_row_a_bad_line_and_are_never_read_as_text(tmp_path, name, value):
    path, bad = put(tmp_path / "a.jsonl", {**PAIR, "x": 1, name: value}, {**PAIR, "x": 1}), []
    records, (said,) = load(path, bad=bad)
    assert len(records) == 1
    assert [str(line).removeprefix(f"{path}:") for line in bad] == [
        f"1: /{name}: images, audio and video have no place in a record; leave such rows out"
    ]
    assert said == "read as alpaca (instruction, output); kept as extra: x"
    assert len(load(path, ignore=[name])[0]) == 2


def test_a_late_column_of_the_name_of_a_target_makes_a_bad_line(tmp_path):
    bad: list[BadLine] = []
    rows = [{"q": "Who?", "a": "I."}] * 150 + [{"q": "Who?", "a": "I.", "output": "You."}]
    columns = {"instruction": "q", "output": "a"}
    assert len(load(put(tmp_path / "a.jsonl", *rows), columns=columns, bad=bad)[0]) == 150
    assert str(bad[0]).endswith("151: /output: 'a' is mapped to 'output', but there is also such a column")


def test_what_changes_the_meaning_of_a_late_row_makes_it_a_bad_line(tmp_path):
    bad: list[BadLine] = []
    (tmp_path / "bare.py").write_text(BARE)
    manager = Manager()
    manager.load_file(tmp_path / "bare.py")
    row = {"ask": "Which?", "say": "That."}
    rows = [row] * 150 + [{**row, "sys_prompt": "You are a pirate."}]
    assert len(load(put(tmp_path / "a.jsonl", *rows), bad=bad, manager=manager)[0]) == 150
    assert bad[0].line == 151
    assert bad[0].message == "changes what a row means, and bare does not read it"
    own: list[BadLine] = []
    rows = [{**PAIR, "scores": {"x": 1.0}}] * 150 + [{**PAIR, "scores": {"x": 1.0}, "sys_prompt": "You are a pirate."}]
    assert len(load(put(tmp_path / "b.jsonl", *rows), bad=own)[0]) == 150
    assert str(own[0]).endswith(
        "151: /sys_prompt: changes what a row means, and filial does not read it; alpaca reads such rows, in a file of "
        "their own"
    )


TALK = {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}
CHAT = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}


@pytest.mark.parametrize(
    ("first", "late", "message"),
    [
        (PAIR, {"instruction": "q", "input": None, "output": "a", "tags": None}, ""),
        (PAIR, {"instruction": "q", "output": "a", "lang": "de"}, ""),
        (PAIR, {"id": 7, "instruction": "q", "output": "a"}, ""),
        (PAIR, {"instruction": "q", "output": 5}, ""),
        (PAIR, TALK, "sharegpt reads such rows, in a file of their own"),
        (PAIR, {"instruction": "q", "output": "a", "images": ["x"]}, "unknown field `images`"),
        ({**PAIR, "n": 1}, TALK, "lacks instruction; sharegpt reads such rows, in a file of their own"),
        ({**PAIR, "n": 1}, {"prompt": "q", "completion": "a"}, "lacks instruction; pairs reads such rows"),
        ({**PAIR, "n": 1}, CHAT, "lacks instruction; openai reads such rows"),
        ({**PAIR, "n": 1}, {"n": 2}, "lacks instruction"),
        ({**TALK, "n": 1}, PAIR, "looks for 'conversations' and does not find it; alpaca reads such rows"),
        ({**CHAT, "n": 1}, TALK, "looks for 'messages' and does not find it; sharegpt reads such rows"),
        ({"prompt": "q", "completion": "a"}, {"prompt": "q", "completion": "a", **CHAT}, "is a conversation beside"),
    ],
)
def test_late_rows_of_another_kind_are_read_rightly_or_told_with_what_reads_them(tmp_path, first, late, message):
    bad: list[BadLine] = []
    records, _ = load(put(tmp_path / "a.jsonl", *[first] * 120, late, first), bad=bad)
    assert len(records) == 122 - bool(message)
    assert [line.line for line in bad] == [121] * bool(message)
    assert all(message in line.message for line in bad)


def test_the_sentence_names_no_columns_of_rows_that_are_not_read(tmp_path):
    bad: list[BadLine] = []
    _, said = load(put(tmp_path / "a.jsonl", *[{**PAIR, "lang": "en"}, TALK] * 5), bad=bad)
    assert said == ["read as sharegpt (conversations)"]
    assert {line.message for line in bad} == {
        "the format looks for 'conversations' and does not find it; alpaca reads such rows, in a file of their own"
    }


@pytest.mark.parametrize(
    ("row", "mapping"),
    [
        (ROW, {"instruction": "customer_message", "output": "agent_reply"}),
        ({"n": 1, "userQuestion": "Who are you?", "botAnswer": "I am me."},
         {"instruction": "userQuestion", "output": "botAnswer"}),
        ({"Frage": "Wer bist du?", "Antwort": "Ich bin ich.", "Nr": "3"},
         {"instruction": "Frage", "output": "Antwort"}),
        ({"id": "1", "task": "x", "Questions asked": "Who are you?", "Final response": "No idea at all."},
         {"instruction": "Questions asked", "output": "Final response"}),
        ({"customer_name": "Ann Lee", "customer_message": "Who are you?", "agent_name": "Bo Li", "reply": "I am me."},
         {"instruction": "customer_message", "output": "reply"}),
        ({"我的问题": "who?", "回答": "I am me.", "问题": "Who are you?"}, {"instruction": "问题", "output": "回答"}),
    ],
)  # fmt: skip
def test_unknown_columns_are_told_with_the_mapping_that_reads_them(tmp_path, row, mapping):
    path = put(tmp_path / "a.jsonl", row)
    with pytest.raises(UsageError, match=r"a\.jsonl:1: no known format has the columns") as error:
        load(path)
    assert f"map them with columns={mapping!r}" in str(error.value)
    assert load(path, columns=mapping)[0][0].instruction == row[mapping["instruction"]]


@pytest.mark.parametrize(
    ("names", "known"),
    [
        (("Unsere Antwort", "Kunde schrieb"), {"output": "Unsere Antwort"}),
        (("Kunde schrieb", "Unsere Antwort"), {"output": "Unsere Antwort"}),
        (("klient", "support"), {}), (("support", "klient"), {}),
        (("left", "right"), {}), (("Aufgabe", "Lösung"), {}), (("solucion", "tarea"), {}),
        (("reply_to_customer", "incoming"), {}), (("agent", "customer_response"), {"output": "agent"}),
        (("question_en", "question_de", "answer"), {"output": "answer"}),
        (("customer name", "agent name"), {}), (("回复内容", "客户来信"), {"output": "回复内容"}),
        (("Ответ", "Письмо"), {"output": "Ответ"}),
        (("response_id", "user_id"), {}), (("userland", "answerable"), {}),
        (("meta_instruction", "talk"), {}), (("prompt template",), {}),
    ],
)  # fmt: skip
def test_what_is_not_sure_is_left_to_the_user(tmp_path, names, known):
    path = put(tmp_path / "a.jsonl", {name: f"some words of {name}" for name in names})
    with pytest.raises(UsageError) as error:
        load(path)
    proposed = {"instruction": "COLUMN_OF_QUESTION", "output": "COLUMN_OF_ANSWER"} | known
    if len(names) == 1:
        proposed = {"instruction": names[0]}
    assert f"map them with columns={proposed!r}" in str(error.value)


def test_every_door_is_told_in_its_own_form_and_what_is_proposed_works(cli):
    cli.write("a.jsonl", ROW)
    assert cli("filter", "length", "a.jsonl", "-o", "o.jsonl") == 2
    proposed = "--columns instruction=customer_message,output=agent_reply"
    assert f"map them with {proposed};" in cli.err
    assert cli("filter", "length", "a.jsonl", "-o", "o.jsonl", *proposed.split(), "--ignore-columns", "row") == 0
    assert "a.jsonl: read as alpaca (instruction from customer_message, output from agent_reply)" in cli.err
    assert cli.rows("o.jsonl")[0]["extra"] == {"ticket": "T-1", "lang": "en"}
    (cli.folder / "r.yaml").write_text("data: a.jsonl\nstages:\n- filter: [length]\n")
    for command in ("run", "plan"):
        assert cli(command, "r.yaml") == 2
        assert "map them with columns: {instruction: customer_message, output: agent_reply};" in cli.err
    columns = "{instruction: customer_message, output: agent_reply}"
    (cli.folder / "r.yaml").write_text(
        f"data: {{file: a.jsonl, columns: {columns}, keep: [lang]}}\nstages:\n- filter: [length]\n"
    )
    assert cli("run", "r.yaml") == 0, cli.err
    assert cli.rows("runs/r/stages/01-filter/records.jsonl")[0]["extra"] == {"lang": "en"}
    with pytest.raises(UsageError) as error:
        filial.filter(cli.folder / "a.jsonl", "length", progress=False)
    assert f"map them with SourceSpec(file=…, columns={MAPPED!r})" in str(error.value)
    assert len(filial.filter(SourceSpec(file="a.jsonl", columns=MAPPED), "length", progress=False)) == 1
    records = filial.load(cli.folder / "a.jsonl", columns=MAPPED, ignore=["row"], keep=["ticket"])
    assert records[0].extra == {"ticket": "T-1"}


def test_names_that_need_quotes_are_quoted_as_the_door_reads_them(cli):
    row = {"Kunde, Frage": "Wer bist du?", "Antwort = ": "Ich bin ich.", "it's": 1}
    cli.write("a.jsonl", row)
    assert cli("filter", "length", "a.jsonl", "-o", "o.jsonl") == 2
    flag = """--columns '{"instruction": "Kunde, Frage", "output": "Antwort = "}'"""
    assert flag in cli.err
    assert cli("filter", "length", "a.jsonl", "-o", "o.jsonl", "--columns", flag.split("'")[1]) == 0
    cli.write("b.jsonl", {"Meine Frage": "Wer bist du?", "Die Antwort": "Ich bin ich."})
    assert cli("filter", "length", "b.jsonl", "-o", "o.jsonl") == 2
    assert "map them with --columns 'instruction=Meine Frage,output=Die Antwort';" in cli.err
    assert (
        cli("filter", "length", "b.jsonl", "-o", "o.jsonl", "--columns", "instruction=Meine Frage,output=Die Antwort")
        == 0
    )
    (cli.folder / "r.yaml").write_text("data: a.jsonl\nstages:\n- filter: [length]\n")
    assert cli("run", "r.yaml") == 2
    assert 'columns: {"instruction": "Kunde, Frage", "output": "Antwort = "}' in cli.err
