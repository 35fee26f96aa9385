"""``filial render``: the text, the tokens that are trained, and what training would make of a file."""

import json
import os
import subprocess
import sys

import pytest
from tokenizer_kit import FORMAT_TOKENS, SPECIAL, byte_level, sentencepiece

ANSWERED = {"id": "one", "instruction": "Name a river.", "output": "yes\nno 🙂"}
CHATS = [
    {"id": "talk", "conversations": [
        {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "yes"},
        {"from": "human", "value": "Bye"}, {"from": "gpt", "value": "no <|endoftext|>"},
    ]},
    {"id": "told", "conversations": [
        {"from": "system", "value": "Be kind."}, {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "yes"},
    ]},
]  # fmt: skip
EVERY = [
    "alpaca", "plain", "vicuna", "question", *(f"chat --with-format {name}" for name in
    ("chatml", "llama-2", "llama-3", "mistral", "mistral-v1", "phi-3", "qwen", "zephyr")),
]  # fmt: skip


@pytest.fixture
def rendered(cli):
    """``rendered("alpaca", "--mask", rows=[…])`` on a file of these rows with a tokenizer: what is printed."""
    byte_level(bos=True, special=(*SPECIAL, *FORMAT_TOKENS)).save_pretrained(cli.folder / "tok")

    def run(template, *flags, rows=(ANSWERED,), code=0):
        cli.write("x.jsonl", *rows)
        assert cli("render", *template.split(), "x.jsonl", "--tokenizer", "tok", *flags) == code, cli.err
        return cli.out

    return run


def test_trained_text_stands_between_brackets_without_colours(rendered):
    page = rendered("alpaca")
    assert page.startswith("trained is ⟦so⟧   ⏎ ends a line\n")
    assert "### Response:⟦yes⏎\nno 🙂</s>⟧\n" in page
    assert "<s>Below is an instruction" in page


def test_the_mask_shows_tokens_and_their_number(rendered):
    page = rendered("alpaca", "--mask")
    assert "· parts tokens" in page
    assert "⟦yes·⏎\n·no· ·🙂·</s>⟧" in page
    assert page.count("⟦") == 2  # one in the line that says what it means
    data = json.loads(rendered("alpaca", "--json"))
    (row,) = data["records"]
    assert f"{len(row['ids'])} tokens, {sum(row['trained'])} trained" in page
    assert data["summary"]["trained_tokens"] == sum(row["trained"])


def test_a_terminal_gets_colours_and_no_escape_from_data(rendered, monkeypatch):
    monkeypatch.setattr("filial_plugins.render.command._use_colour", lambda: True)
    shown = []
    monkeypatch.setattr("click.echo", lambda text="", **_: shown.append(text))
    rendered("alpaca", "--mask", rows=[ANSWERED | {"output": "red \x1b[31m"}])
    page = "".join(shown)
    assert "\x1b[32m" in page
    assert "⟦" not in page
    assert "\x1b[31m" not in page
    assert "\\x1b" in page


@pytest.mark.parametrize("template", EVERY)
def test_conversations_render_in_every_template(rendered, template):
    data = json.loads(rendered(template, "--json", rows=CHATS))
    assert data["summary"]["dropped"] == {}
    assert data["summary"]["answers"] == 3
    assert data["summary"]["answers_without_end_token"] == 0
    assert len(data["summary"]["end_tokens"]) == 1
    last = json.loads(rendered(template, "--json", "--turns", "last", rows=CHATS))
    assert last["summary"]["answers"] == 2
    assert last["summary"]["tokens"] == data["summary"]["tokens"]


def test_the_summary_counts_what_training_would_leave_out_and_why(rendered, cli):
    rows = [
        ANSWERED, {"instruction": "Nobody answers."}, ANSWERED | {"id": "long", "instruction": "yes " * 300},
        {"id": "odd", "messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"},
                                   {"role": "assistant", "content": "c"}]},
    ]  # fmt: skip
    page = rendered("alpaca", "--max-length", "200", "--limit", "0", rows=rows)
    assert page.startswith("── 4 records at --max-length 200: 1 can be trained on, 3 cannot\n")
    for reason, detail in [
        ("no-answer", "record 2"), ("too-long", "record 3: "), ("not-renderable", "record 4: turn 2 of the conv"),
    ]:  # fmt: skip
        (line,) = [line for line in page.splitlines() if line.startswith(reason)]
        assert detail in line
    with (cli.folder / "x.jsonl").open("a") as file:
        file.write("no record\n")
    assert cli("render", "alpaca", "x.jsonl", "--limit", "0") == 0
    assert "── 5 records: 2 may be trained on, 3 cannot" in cli.out
    assert "bad-line" in cli.out


@pytest.mark.parametrize(
    ("count", "first", "bad"), [("3", "the first 4", 1), ("5", "6", 1), ("6", "6", 1), ("0", "6", 1)]
)
def test_the_summary_says_of_how_many_records_it_speaks(cli, count, first, bad):
    cli.write("x.jsonl", ANSWERED, "no record", *({**ANSWERED, "id": f"r{n}"} for n in range(4)))
    assert cli("render", "alpaca", "x.jsonl", "--limit", "0", "--count", count) == 0
    assert f"── {first} records: {int(first[-1]) - bad} may be trained on, {bad} cannot" in cli.out
    assert ("not looked at the records behind these; --count 0" in cli.out) == first.startswith("the")
    assert cli("render", "alpaca", "x.jsonl", "--limit", "0", "--count", count, "--json") == 0
    summary = json.loads(cli.out)["summary"]
    assert summary["more"] == first.startswith("the")
    assert summary["records"] + sum(summary["dropped"].values()) == int(first[-1])


def test_bad_lines_behind_what_was_looked_at_do_not_count(cli):
    cli.write("x.jsonl", ANSWERED, {**ANSWERED, "id": "two"}, "no record", {**ANSWERED, "id": "three"})
    assert cli("render", "alpaca", "x.jsonl", "--limit", "0", "--count", "2") == 0
    assert "── the first 2 records: 2 may be trained on, 0 cannot" in cli.out


def test_the_page_fits_80_columns_and_counts_lookalikes_it_does_not_name(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    tokens = "".join(f"<|im_{name}|>" for name in ("start", "end", "sep"))
    tokens += "<s></s>\n<|endoftext|><|eot_id|><unk>[INST]"
    cli.write("x.jsonl", {**ANSWERED, "output": tokens}, ANSWERED)
    assert cli("render", "plain", "x.jsonl", "--limit", "2", "--json") == 0
    found = json.loads(cli.out)["summary"]["lookalikes"]
    assert len(found) > 6
    assert cli("render", "plain", "x.jsonl", "--limit", "2") == 0
    assert max(map(len, cli.out.splitlines())) <= 80
    assert f"{len(found) - 5} others ×{len(found) - 5};" in cli.out


def test_the_summary_says_what_it_does_not_know(rendered, cli):
    """A record that training leaves out for its tokens is never said to be one that can be trained on."""
    rows = [ANSWERED, ANSWERED | {"id": "long", "instruction": "yes " * 300}]

    def summary(*flags):
        assert cli("render", "alpaca", "x.jsonl", *flags, "--json") == 0
        return json.loads(cli.out)["summary"]

    page = rendered("alpaca", "--max-length", "200", rows=rows)
    assert "── 2 records at --max-length 200: 1 can be trained on, 1 cannot" in page
    assert "not counted" not in page
    assert summary("--tokenizer", "tok", "--max-length", "200")["unchecked"] == []
    page = rendered("alpaca", rows=rows)
    assert "── 2 records: 2 may be trained on, 0 cannot" in page
    assert "not counted   too-long; name --max-length N" in page
    assert summary("--tokenizer", "tok")["unchecked"] == ["too-long"]
    assert cli("render", "alpaca", "x.jsonl") == 0
    assert "── 2 records: 2 may be trained on, 0 cannot" in cli.out
    told = " ".join(cli.out.split())
    assert "not counted not-unicode, unprovable-mask, too-long, no-trained-token; name --tokenizer DIR" in told
    assert summary()["unchecked"] == ["not-unicode", "unprovable-mask", "too-long", "no-trained-token"]


def test_the_summary_names_bos_end_token_lengths_and_lookalikes(rendered):
    page = rendered("vicuna", "--limit", "1", rows=[*CHATS, CHATS[0]])
    for line in [
        "BOS           <s>, once in a row",
        "end           </s>, trained, after each of 5 trained answers",
        "look-alike    <|endoftext|> ×2, first in record 1: looks like a control token and stays text",
    ]:
        assert " ".join(line.split()) in " ".join(page.split())
    assert "record 2" not in page.split("── 3 records")[0], "one record is shown, all are counted"
    assert "the longest of all" in page


def test_a_tokenizer_that_cannot_spell_the_data_is_noticed(cli):
    from tokenizer_kit import word_level

    word_level().save_pretrained(cli.folder / "tok")
    cli.write("x.jsonl", ANSWERED)
    assert cli("render", "plain", "x.jsonl", "--tokenizer", "tok") == 0
    assert "tokens are unknown: this tokenizer cannot spell the data" in cli.out


def test_a_format_whose_tokens_are_missing_is_one_sentence(cli):
    sentencepiece(legacy=True).save_pretrained(cli.folder / "tok")
    cli.write("x.jsonl", ANSWERED)
    assert cli("render", "chat", "--with-format", "gemma", "x.jsonl", "--tokenizer", "tok") == 2
    assert "format gemma needs the special tokens <start_of_turn> and <end_of_turn>" in cli.err


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_whoever_reads_the_output_may_have_enough_of_it(cli, flags):
    cli.write("x.jsonl", *({**ANSWERED, "id": f"r{n}"} for n in range(300)))
    command = [sys.executable, "-m", "filial", "render", "alpaca", "x.jsonl", "--limit", "300", *flags]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(command, cwd=cli.folder, stdout=writing, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
