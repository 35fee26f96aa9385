"""Which answers are whole, by the word that their teacher ends them with; the same for every teacher."""

import asyncio

import pytest
from gateway_kit import Moody, ask

from filial import Context, Reply, TeacherError
from filial.gateway import Gateway, Ledger, fault_of_end

CUT, WITHHELD = ("length", "max_tokens", "MAX_TOKENS", "Max-Tokens"), ("content_filter", "SAFETY", "refusal")
FAILED, UNKNOWN = ("error", "abort", "tool_calls"), ("schluss", "-")
NOT_WHOLE = {"length": CUT, "content-filter": WITHHELD, "interrupted": FAILED, "unknown-finish": UNKNOWN}


@pytest.fixture
def gateway(tmp_path):
    """``gateway(*replies)``: one to a teacher that gives these in turn; ``notes`` are what it told."""
    made = []

    def make(*replies, **options):
        notes = []
        teacher = Moody.saying(lambda request, n: replies[min(n, len(replies)) - 1], max_retries=0, **options)
        made.append(Gateway("moody", teacher, Ledger(tmp_path / "l.sqlite"), note=notes.append))
        made[-1].notes = notes
        return made[-1]

    yield make
    for g in made:
        g.ledger.close()


def reply(finish, completion=2):
    return Reply(text="The ri", finish_reason=finish, prompt_tokens=3, completion_tokens=completion)


@pytest.mark.parametrize(("reason", "word"), [(reason, word) for reason, words in NOT_WHOLE.items() for word in words])
def test_an_answer_that_is_not_whole_is_no_answer_of_any_teacher(gateway, reason, word):
    g = gateway(reply("stop"), reply(word))
    kept, lost = ask(g, "q1")[0], ask(g, "q2")[0]
    assert kept.text == "The ri"
    assert isinstance(lost, TeacherError)
    assert (lost.reason, lost.answer, lost.billed) == (reason, "The ri", (3, 2))
    assert (len(g.ledger), g.spent.tokens) == (1, 10)


@pytest.mark.parametrize("word", ["stop", "STOP", "end_turn", "eos"])
def test_a_whole_answer_is_kept_with_its_word(gateway, word):
    g = gateway(reply(word))
    assert (ask(g, "q")[0].finish_reason, g.notes) == (word, [])


def test_a_word_nobody_knows_is_told_once(gateway):
    g = gateway(*map(reply, ("schluss", "ende", "schluss")))
    for n in range(3):
        ask(g, f"q{n}")
    assert ["'schluss'" in note for note in g.notes] == [True]


def test_answers_without_a_word_are_kept_whatever_the_order_and_told_once(gateway):
    g = gateway(*map(reply, ("", "stop", "")))
    assert [ask(g, f"q{n}")[0].finish_reason for n in range(3)] == ["", "stop", ""]
    assert ["without a finish_reason" in note for note in g.notes] == [True]


def test_an_answer_without_a_word_that_has_all_its_tokens_was_cut(gateway):
    g = gateway(reply("", 4096))
    assert ask(g, "q")[0].reason == "length"
    assert fault_of_end("", "", None, full=False) is None


def test_a_welcome_part_is_called_cut_in_one_word(gateway):
    g = gateway(reply("MAX_TOKENS"))
    part = asyncio.run(Context(g.ask).ask("go on", partial=True))
    assert (part.text, part.finish_reason) == ("The ri", "length")
