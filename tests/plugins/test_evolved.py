"""The filter `evolved`: which evolutions are thrown out, and why."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from filial import Drop, Record
from filial.testing import FilterContract, context, run_async
from filial_plugins.filters.evolved.equality import PROMPT, says_equal
from filial_plugins.filters.evolved.filter import STYLES, Evolved

PARENT = Record(id="p", instruction="Name three rivers.", output="Rhine, Nile, Ob")
GOOD = "The Rhine, the Nile and the Ob are rivers on three continents."


class TestEvolvedContract(FilterContract):
    component = Evolved()


class TestEvolvedAsPublishedContract(FilterContract):
    component = Evolved(style="paper")
    reply = "Not Equal"


def eliminated(
    question: str, answer: str = GOOD, *, said: str = "Not Equal", parent: Record = PARENT, **options: Any
) -> str:
    """The reason of the drop, "" if kept."""
    child = parent.evolved(instruction=question, output=answer)
    result = run_async(Evolved(**options).check(child, context(said).derive("x", parent=parent)))
    return result.reason if isinstance(result, Drop) else ""


ASIA = "Name three rivers of Asia."
CASES = [
    (ASIA, GOOD, ""),
    ("name three  rivers", GOOD, "no-information-gain"),
    (ASIA, "I'm sorry, I do not know.", "apology"),
    (ASIA, "Sorry! " + "word " * 78, "apology"),
    (ASIA, "Sorry! " + "word " * 79, ""),
    (ASIA, "A sorrowful tale.", ""),
    (ASIA, "", "empty-answer"),
    (ASIA, "?! ... --", "empty-answer"),
    (ASIA, "It is, and of the.", "empty-answer"),
    (ASIA, "…", "empty-answer"),
    (ASIA, "« — »", "empty-answer"),
    (ASIA, "It’s the", "empty-answer"),
    (ASIA, "🙂", ""),
    (ASIA, "€", ""),
    (ASIA, "42", ""),
    (ASIA, "黄河、长江、湄公河", ""),
    ("#Rewritten Prompt#: Name three rivers of Asia.", GOOD, "prompt-leak"),
    ("My CREATED  prompt is: name three rivers of Asia.", GOOD, "prompt-leak"),
    ("#The Given Prompt#:\nName three rivers of Asia.", GOOD, "prompt-leak"),
    ("Re-written_Prompt: Name three rivers of Asia.", GOOD, "prompt-leak"),
    ("Name three rivers of Asia.\n\n(The **rewritten** prompt asks for more.)", GOOD, "prompt-leak"),
    ("Say how a prompt was rewritten.", GOOD, ""),
    ("Explain why a rewritten text should prompt a new review.", GOOD, ""),
    (ASIA, "Please provide the list of rivers.", "non-answer"),
    (ASIA, "Sure, I can do that! Could you share the text?", "non-answer"),
    (ASIA, "Certainly. Please paste the passage here.", "non-answer"),
    (ASIA, "I need more information about the region.", "non-answer"),
    (ASIA, "As an AI, I have no rivers.", "non-answer"),
    (ASIA, "I cannot help with this.", "non-answer"),
    (ASIA, "Okay.", "non-answer"),
    (ASIA, "Sure! Here is the list:", "non-answer"),
    (ASIA, "Sure! Here is the list: Yangtze, Mekong, Indus", ""),
    (ASIA, "What kind of river?", "non-answer"),
    ("Ask a stranger about rivers.", "What kind of river is this?", ""),
    ("Write a reply.", "Dear Ann, thank you. Please provide the forms by May. Yours, Bo", ""),
    ("Translate: No puedo nadar.", "I cannot swim.", ""),
    ("Write PHP that prints 1.", "<?php\necho 1;\n?>", ""),
]


@pytest.mark.parametrize(("question", "answer", "wanted"), CASES)
def test_each_rule_has_its_reason(question, answer, wanted):
    assert eliminated(question, answer) == wanted


def test_records_that_were_never_evolved_pass():
    record = Record(instruction="Name the given prompt.", output="Sorry.")
    assert not isinstance(run_async(Evolved().check(record, context())), Drop)


def test_the_rules_hold_for_evolved_records_whose_parent_is_not_at_hand():
    child = PARENT.evolved(instruction="The rewritten prompt is here.", output=GOOD)
    assert run_async(Evolved(equality="ask").check(child, context())).reason == "prompt-leak"


def test_a_changed_input_is_a_gain():
    parent = PARENT.replaced(instruction="Add them.", input="1 + 2")
    child = parent.evolved(instruction="Add them.", input="1 - 2", output="nothing much")
    assert not isinstance(run_async(Evolved().check(child, context().derive("x", parent=parent))), Drop)


# Each row: an option, its value in our style and in the published one, and a case that shows the difference.
DIFFERENCES = [
    ("equality", "off", "ask", {"question": "List 3 rivers.", "said": "Equal"}),
    ("copies", "drop", "keep", {"question": "name three rivers"}),
    ("apologies", "any", "sorry", {"question": ASIA, "answer": "My apologies, no rivers come to mind."}),
    ("function_words", "replies", "drop", {"question": "Is it so?", "answer": "No."}),
    ("leak_labels", True, False, {"question": "New prompt: name three rivers of Asia."}),
    ("parent_words", "pass", "drop", {"question": "Go on: the given prompt, in verse.",
                                      "parent": PARENT.replaced(instruction="Go on: the Given  Prompt.")}),
    ("non_answers", "drop", "keep", {"question": ASIA, "answer": "Please provide the list of rivers."}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "ours", "published", "case"), DIFFERENCES, ids=lambda value: str(value)[:16])
def test_every_difference_from_the_published_rules_is_an_option(name, ours, published, case):
    found = {value: eliminated(**case, **{name: value}) for value in (ours, published)}
    assert found[ours] != found[published]
    assert found[ours] == eliminated(**case)
    alone = {"copies": "drop"} if name == "equality" else {"equality": "off"}  # copies are what the judge would find
    assert found[published] == eliminated(**case, **{"style": "paper", **alone})
    assert eliminated(**case, **{"style": "paper", name: ours, **alone}) == found[ours]


def test_the_table_of_differences_is_whole():
    assert {name: (ours, published) for name, ours, published, _ in DIFFERENCES} == {
        name: (ours, STYLES["paper"][name]) for name, ours in STYLES["filial"].items()
    }


def test_words_of_other_scripts_count_by_the_character_unless_as_published():
    answer = "对不起，" + "我们看看这条河。" * 12 + "sorry"
    assert eliminated(ASIA, answer) == ""
    assert eliminated(ASIA, answer, style="paper") == "apology"


def test_rules_with_false_positives_can_be_turned_off():
    assert eliminated("Write an apology.", "We are sorry for the delay.", apology_words=0) == ""
    assert eliminated("Is it so?", "No.", function_words="drop") == "empty-answer"
    assert eliminated("Is it so?", "It is.", function_words="keep") == ""
    assert eliminated("Is it so?", "...", function_words="keep") == "empty-answer"


@pytest.mark.parametrize("answer", ["No.", "no", "No, it is not.", "Both", "Neither.", "D", "Same"])
def test_function_words_that_are_a_reply_by_themselves_stay(answer):
    assert eliminated(ASIA, answer) == ""
    assert eliminated(ASIA, answer, function_words="drop") == "empty-answer"


def test_words_that_give_a_leak_away_can_be_chosen():
    assert eliminated("The source  text says: name a river.", leak_words=("source text",)) == "prompt-leak"
    assert eliminated("Describe the rewritten prompt.", leak_words=("source text",)) == ""
    with pytest.raises(ValidationError, match="match every text"):
        Evolved(leak_words=(" ",))


# the judge ---------------------------------------------------------------------------------------------------


def test_the_teacher_is_asked_only_when_wanted_and_only_about_survivors():
    child = PARENT.evolved(instruction="List 3 rivers.", output=GOOD)
    for options, answer, asked in [({}, GOOD, 0), ({"equality": "ask"}, GOOD, 1), ({"equality": "ask"}, "", 0)]:
        ctx = context("Not Equal").derive("x", parent=PARENT)
        run_async(Evolved(**options).check(child.replaced(output=answer), ctx))
        assert len(ctx.replies) == asked
        assert Evolved(**options).calls(10) == (10 if options else 0)
    assert eliminated("List 3 rivers.", said="Equal", equality="ask") == "no-information-gain"
    assert eliminated("List 3 rivers.", said="Not Equal", equality="ask") == ""


def shown(options: dict[str, Any], child: str, parent: Record = PARENT) -> str:
    """What the teacher is asked about a child."""
    seen: list[str] = []
    ctx = context(lambda request: seen.append(request.messages[0].content) or "Equal").derive("x", parent=parent)
    run_async(Evolved(equality="ask", **options).check(parent.evolved(instruction=child, output=GOOD), ctx))
    return seen[0]


def test_the_teacher_sees_both_prompts():
    said = shown({}, "List 3 rivers.")
    assert "#First Prompt#:\nName three rivers.\n\n#Second Prompt#:\nList 3 rivers.\n\n" in said
    assert "Equal, Not Equal" in said


def test_braces_in_prompts_are_only_text():
    said = shown({}, "List {first} and {0}.", PARENT.replaced(instruction="Name {second}."))
    assert "Name {second}." in said
    assert "List {first} and {0}." in said
    assert len(said) == len(PROMPT) - len("{first}{second}") + len("Name {second}.List {first} and {0}.")


def test_another_text_may_ask():
    assert shown({"equality_prompt": "A: {first}\nB: {second}\nEqual?"}, "List.") == (
        "A: Name three rivers.\nB: List.\nEqual?"
    )
    with pytest.raises(ValidationError, match="must contain both prompts"):
        Evolved(equality_prompt="Are they equal? {first}")


@pytest.mark.parametrize(
    "text",
    ["Equal", "equal.", "**Equal**", "EQUAL\n", "They are equal", "Equal. There is no difference.", "Judgement: Equal"],
)
def test_equal_is_heard(text):
    assert says_equal(text)


@pytest.mark.parametrize(
    "text",
    [
        *("Not Equal", "not equal", "not equal.", "NOT EQUAL", "NOT-EQUAL", "**Not** equal", "Unequal", "un-equal"),
        *(
            "They aren't equal",
            "They are not equal",
            "They are not quite equal",
            "Equal? No",
            "No, equal is too strong",
        ),
        *(
            "Equal or Not Equal",
            "Equal or close to it",
            "Nearly the same or equal.",
            "Equal. No, wait: not equal.",
            "Neither equal nor alike",
            "equally good",
            "",
            "same",
            "no",
        ),
    ],
)
def test_not_equal_is_never_heard_as_equal(text):
    assert not says_equal(text)


@pytest.mark.parametrize("style", ["filial", "paper"])
@pytest.mark.parametrize(
    ("question", "said", "reason"),
    [
        (ASIA, "Not Equal", ""),
        ("Name three rivers of the given prompt.", "Not Equal", "prompt-leak"),
        ("Name three rivers.", "Equal", "no-information-gain"),
    ],
)
def test_a_question_whose_answer_nobody_asked_for_is_judged_by_itself(style, question, said, reason):
    child = PARENT.evolved(instruction=question)
    rules = Evolved(style=style).question_rules()
    result = run_async(rules.check(child, context(said).derive("x", parent=PARENT)))
    assert (result.reason if isinstance(result, Drop) else "") == reason
    assert rules.chosen == Evolved(style=style).chosen
