"""Words of an evolving prompt in its result: phrases, headings between number signs, labels at the beginning."""

import pytest

from filial_plugins.filters.evolved.leaks import find_leak

HEADINGS = ["#New Prompt#", "#The Given Prompt#", "# Rewritten Instruction #", "#Prompts#", "prompt##"]
LABELS = [
    "Here is the new prompt:",
    "Rewritten question:",
    "My revised prompt (harder):",
    "A more complex version of the prompt:",
]


@pytest.mark.parametrize("heading", HEADINGS)
def test_a_heading_counts_wherever_it_stands(heading):
    text = f"Name three rivers of Peru. {heading} Say which is the longest."
    assert find_leak(text, ()) == heading
    assert find_leak(text, (), labels=False) == ""


@pytest.mark.parametrize("label", LABELS)
def test_a_label_counts_at_the_beginning_alone(label):
    assert find_leak(f"{label} Name three rivers.", ()) == label
    assert find_leak(f"{label} Name three rivers.", (), labels=False) == ""
    assert find_leak(f"Name three rivers. {'Say why. ' * 60}{label}", ()) == ""


@pytest.mark.parametrize(
    "text",
    ["Explain issue #12 and #13.", "# Rivers\nName three.", "Be prompt: answer at once.", "Use prompt#1 of the list."],
)
def test_number_signs_and_the_word_alone_do_not_count(text):
    assert find_leak(text, ()) == ""


@pytest.mark.parametrize(
    "written", ["given prompt", "GIVEN  Prompts", "given_prompt", "**given** “prompt”", "given-prompt"]
)
def test_a_phrase_counts_however_it_is_written(written):
    assert find_leak(f"Answer the {written} in one line.", ("given prompt",)).casefold().startswith("given")
    assert find_leak(f"Answer the {written} in one line.", ("of the given prompt", "other words")) == ""


def test_every_word_of_a_phrase_is_looked_for():
    assert find_leak("The old prompt is given.", ("given old prompt",)) == ""
    assert find_leak("A given old prompt.", ("given old prompt",)) == "given old prompt"
