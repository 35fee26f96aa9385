"""The evolve stage: lineage, second chances, drawing, elimination, and a survival table that adds up."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage_kit import Rows, evolution

from filial import (
    Drop,
    FilialError,
    Filter,
    Keep,
    Message,
    PromptStrategy,
    Record,
    Reply,
    Strategy,
    TeacherError,
    ToolCall,
)
from filial.engine.stage import StageContext
from filial_plugins.stages.conversations import find_obstacle
from filial_plugins.stages.evolve import Choice, evolve_records
from filial_plugins.stages.filter import FilterStep


class Grow(Strategy):
    """Adds a word, by asking; fails at a given rate, by its own random generator."""

    word: str = "more"
    failing: float = 0.0

    async def evolve(self, record, ctx):
        reply = await ctx.ask(f"{self.word}: {record.instruction}")
        if ctx.rng.random() < self.failing:
            return Drop("unlucky")
        return record.evolved(instruction=f"{record.instruction} {self.word}").citing(reply)


class Short(Filter):
    words: int = 4

    def check(self, record, ctx):
        assert ctx.parent is not None
        return Drop("long", "too many") if len(record.instruction.split()) > self.words else Keep(tags=("short",))


class Once(Filter):
    """Remembers: keeps the first child of each length."""

    remembers = True

    def check(self, record, ctx):
        seen = ctx.memory.setdefault("seen", set())
        size = len(record.instruction.split())
        fresh = size not in seen
        seen.add(size)
        return Keep() if fresh else Drop("again")


async def teacher(request):
    await asyncio.sleep(0.0005 * (len(request.messages[-1].content) % 4))
    return Reply(text=f"answer {request.draw}", key=f"{request.draw}:{request.messages[-1].content}")


def evolved(records, strategies=None, rules=(), *, seed=1, ask=teacher, notes=None, **plan):
    rows = Rows()
    env = StageContext(stage="evolve", seed=seed, writer=rows, ask=ask)
    env.note = env.note if notes is None else notes.append
    named = strategies or {"grow": Grow()}
    weights = plan.pop("weights", {})
    choices = [Choice(n, f"d:{n}==1", s, weights.get(n, 1.0)) for n, s in named.items()]
    sieves = [FilterStep(f"d:rule{i}==1", rule) for i, rule in enumerate(rules)]
    report = asyncio.run(evolve_records(records, evolution(choices, sieves, **plan), env))
    assert env.counters.find_imbalance() == ""
    return rows, report["survival"]


def records(n=1):
    return [Record(id=f"r{i}", instruction=f"task {i}", output="old") for i in range(n)]


def test_every_generation_descends_from_the_one_before_and_has_an_answer_of_its_own():
    rows, _ = evolved(records(2), rounds=3)
    assert [r.origin.round for r in rows.kept] == [0, 1, 2, 3] * 2
    for parent, child in zip(rows.kept, rows.kept[1:], strict=False):
        if child.origin.round:
            assert child.origin.parents == (parent.id,)
            assert child.instruction == f"{parent.instruction} more"
            assert child.output == "answer 0"
            assert child.origin.answers == (f"0:more: {parent.instruction}", f"0:{child.instruction}")
            assert (child.origin.plugin, child.origin.stage) == ("d:grow==1", "evolve")
    assert len({r.id for r in rows.kept}) == len(rows.kept)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 8), st.integers(1, 4), st.floats(0, 1), st.integers(0, 9), st.sampled_from(["all", "last"]))
def test_the_survival_table_adds_up_and_every_attempt_is_accounted_for(n, rounds, failing, seed, keep):
    strategies = {"grow": Grow(failing=failing), "swell": Grow(word="much")}
    rows, table = evolved(records(n), strategies, [Short()], rounds=rounds, seed=seed, keep=keep)
    cells = [row for turns in table.values() for row in turns.values()]
    assert all(c["tried"] == c["kept"] + sum(c["dropped"].values()) for c in cells)
    assert sum(c["tried"] for c in cells) == n * rounds
    reasons = Counter(d.reason for d in rows.dropped)
    old = reasons.pop("superseded", 0)
    assert reasons == sum((Counter(c["dropped"]) for c in cells), Counter())
    assert len(rows.kept) + old == n + sum(c["kept"] for c in cells)
    assert old == 0 or keep == "last"


def test_a_failed_record_is_tried_again_with_a_new_draw():
    asked = []

    async def ask(request):
        asked.append((request.draw, request.messages[-1].content))
        return Reply(text="x", key="k")

    rows, _ = evolved(records(1), {"grow": Grow(failing=1.0)}, ask=ask, rounds=3)
    assert [d.reason for d in rows.dropped] == ["unlucky"] * 3
    assert [text for _, text in asked] == ["more: task 0"] * 3
    assert len({draw for draw, _ in asked}) == 3, "the same question again would bring the same answer from the ledger"


def test_after_a_success_the_draws_start_again_so_that_later_rounds_do_not_depend_on_earlier_failures():
    draws = {}

    async def ask(request):
        draws.setdefault(request.messages[-1].content, []).append(request.draw)
        return Reply(text="x", key="k")

    class Second(Strategy):
        async def evolve(self, record, ctx):
            reply = await ctx.ask(record.instruction)
            first = record.instruction == "task 0" and len(draws["task 0"]) == 1
            return Drop("first") if first else record.evolved(instruction=record.instruction + "!").citing(reply)

    evolved(records(1), {"s": Second()}, ask=ask, rounds=3, answer=False)
    assert draws == {"task 0": [0, 1000], "task 0!": [0]}


def test_keep_last_leaves_the_newest_of_each_line():
    rows, _ = evolved(records(2), rounds=2, keep="last")
    assert [r.instruction for r in rows.kept] == ["task 0 more more", "task 1 more more"]
    assert [d.reason for d in rows.dropped] == ["superseded"] * 4
    assert {d.record.id for d in rows.dropped} >= {"r0", "r1"}


def test_a_fixed_order_takes_strategies_in_turn_and_rotates_with_the_rounds():
    rows, _ = evolved(
        records(3), {"a": Grow(word="a"), "b": Grow(word="b")}, rounds=2, order="fixed", keep="last", answer=False
    )
    assert [r.instruction for r in rows.kept] == ["task 0 a b", "task 1 b a", "task 2 a b"]


def test_a_rotation_begins_with_the_first_strategy_for_every_record():
    strategies = {"a": Grow(word="a"), "b": Grow(word="b")}
    rows, _ = evolved(records(3), strategies, rounds=3, order="rotation", keep="last", answer=False)
    assert [r.instruction for r in rows.kept] == [f"task {i} a b a" for i in range(3)]


def test_weights_say_how_often_a_strategy_is_drawn():
    strategies = {"a": Grow(word="a"), "b": Grow(word="b")}
    _, table = evolved(records(400), strategies, weights={"a": 3.0, "b": 1.0}, answer=False)
    # 400 draws at 3/4: 300 expected, a standard deviation of 8.7.
    assert abs(table["a"]["1"]["tried"] - 300) < 4 * 8.7


def test_the_draw_depends_on_seed_record_and_round_not_on_the_company():
    strategies = {"a": Grow(word="a"), "b": Grow(word="b")}
    many, _ = evolved(records(30), strategies, keep="last")
    few, _ = evolved(records(30)[10:], strategies, keep="last")
    assert many.kept[10:] == few.kept
    assert evolved(records(30), strategies, keep="last", seed=2)[0].kept != many.kept


def test_rules_are_asked_in_order_and_see_the_parent_and_the_answer():
    rows, table = evolved(records(1), rules=[Short(words=2)], rounds=1)
    (drop,) = rows.dropped
    assert (drop.plugin, drop.reason, drop.detail, drop.parent) == ("d:rule0==1", "long", "too many", "r0")
    assert (drop.record.instruction, drop.record.output) == ("task 0 more", "answer 0")
    assert drop.record.origin.plugin == "d:grow==1", "which strategy failed is told too"
    assert drop.answer == "answer 0"
    assert len(drop.answers) == 2
    assert table["grow"]["1"]["dropped"] == {"long": 1}


@pytest.mark.parametrize(("name", "told"), [("farther", "farther"), ("grow", "")])
def test_a_drop_tells_the_name_that_the_recipe_gives_its_strategy(name, told):
    rows = Rows()
    env = StageContext(stage="evolve", seed=1, writer=rows, ask=teacher)
    plan = evolution([Choice(name, "d:grow==1", Grow(failing=1.0))], [], rounds=1)
    asyncio.run(evolve_records(records(1), plan, env))
    assert rows.dropped[0].detail == told


def test_what_a_rule_marks_stays_on_the_child():
    rows, _ = evolved(records(1), rules=[Short(words=9)])
    assert rows.kept[1].tags == ("short",)


def test_a_rule_that_remembers_sees_children_in_canonical_order_over_all_rounds():
    rows, _ = evolved(records(3), rules=[Once()], rounds=2)
    kept = [r.instruction for r in rows.kept]
    assert kept == ["task 0", "task 0 more", "task 0 more more", "task 1", "task 2"]
    assert [d.record.id for d in rows.dropped] != [""] * 4, "a child that a rule throws out has its id already"


def turns(*contents):
    roles = ("user", "assistant") * len(contents)
    return tuple(Message(role=role, content=text) for role, text in zip(roles, contents, strict=False))


SYSTEM = Message(role="system", content="Be kind.")


@pytest.mark.parametrize("rules", [[], [Once()]])
@pytest.mark.parametrize("history", [(SYSTEM,), turns("Hi", "Yes?"), (SYSTEM, *turns("Hi", "Yes?", "And?", "So."))])
def test_the_last_question_of_a_conversation_is_evolved_and_answered_in_it(history, rules):
    asked = []

    async def teach(request):
        asked.append(request.messages)
        return Reply(text="new answer")

    talk = Record(id="c", task="t", messages=(*history, *turns("task 0", "old")))
    rows = Rows()
    env = StageContext(stage="01-evolve", seed=1, writer=rows, ask=teach)
    plan = evolution([Choice("grow", "d:grow==1", Grow())], [FilterStep("d:rule==1", rule) for rule in rules], rounds=2)
    report = asyncio.run(evolve_records([talk], plan, env))
    first, second = [messages for messages in asked if len(messages) > 1]
    assert first == (*history, Message(role="user", content="task 0 more"))
    assert second == (*history, Message(role="user", content="task 0 more more"))
    parent, child, grandchild = rows.kept
    assert parent is talk
    assert child.messages == (*history, *turns("task 0 more", "new answer"))
    assert grandchild.messages == (*history, *turns("task 0 more more", "new answer"))
    assert (child.task, child.origin.parents, grandchild.origin.parents) == ("t", ("c",), (child.id,))
    row = report["survival"]["grow"]["1"]
    assert (row["words_before"], row["words_after"]) == (2, 3), "of the question, not of the conversation"
    assert "not_evolved" not in report


def test_rules_and_drops_see_the_question_and_the_conversation():
    talk = Record(id="c", messages=(SYSTEM, *turns("task 0", "old")))
    seen = []

    class Look(Filter):
        async def check(self, record, ctx):
            seen.append((record.instruction, record.output, ctx.parent.instruction, ctx.parent.output))
            return Drop("looked")

    rows, _ = evolved([talk], rules=[Look()], rounds=1)
    assert seen == [("task 0 more", "answer 0", "task 0", "old")]
    assert rows.dropped[0].record.messages == (SYSTEM, *turns("task 0 more", "answer 0"))


def test_the_prompt_of_a_strategy_shows_the_conversation_before_its_question():
    asked = []

    async def teach(request):
        asked.append(request.messages[-1].content)
        return Reply(text="Why is that so?")

    class Ask(PromptStrategy):
        wording = "Make it harder: {prompt}"

    plan = evolution([Choice("ask", "d:ask==1", Ask())], [], rounds=1, answer=False)
    for talk in (Record(id="a", messages=(SYSTEM, *turns("Is it?"))), Record(id="b", instruction="Is it?")):
        env = StageContext(stage="01-evolve", seed=1, writer=Rows(), ask=teach)
        asyncio.run(evolve_records([talk], plan, env))
    inside, alone = asked
    assert alone == "Make it harder: Is it?"
    assert inside.endswith(f"system: Be kind.\n\n---\n\n{alone}")


CALL = Message(role="assistant", content="", tool_calls=(ToolCall(name="f", arguments="{}"),))


@pytest.mark.parametrize("rules", [[], [Once()]])
@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ((*turns("Hi"), CALL, Message(role="tool", content="1"), *turns("So?")), "with tools"),
        (turns("Hi", "Yes?", "\n"), "with an empty question"),
        ((*turns("Hi", "Yes?"), Message(role="assistant", content="Well?")), "without a question at the end"),
        ((SYSTEM, Message(role="assistant", content="Hello")), "without a question at the end"),
    ],
)
def test_what_cannot_be_evolved_passes_through_untouched_and_that_is_said_once(messages, why, rules):
    talk = Record(id="c", messages=messages)
    rows, notes = Rows(), []
    env = StageContext(stage="01-evolve", seed=1, writer=rows, ask=teacher, note=notes.append)
    plan = evolution([Choice("grow", "d:grow==1", Grow())], [FilterStep("d:rule==1", rule) for rule in rules], rounds=1)
    report = asyncio.run(evolve_records([talk, *records(1)], plan, env))
    assert rows.kept[0] is talk
    assert report["survival"]["grow"]["1"]["tried"] == 1
    assert report["not_evolved"] == 1
    (note,) = notes
    assert note.startswith("01-evolve: conversations passed on unchanged")
    assert note.endswith(f": 1 {why}")


@pytest.mark.parametrize("rules", [[], [Short(words=9)], [Once()]])
@pytest.mark.parametrize(
    "messages",
    [
        (Message(role="assistant", content="Hello"),),
        (SYSTEM, Message(role="assistant", content="Hello")),
        (*turns("Hi"), CALL, Message(role="tool", content="1"), Message(role="assistant", content="One.")),
        (*turns("Hi", "Yes?"), Message(role="assistant", content="Well?")),
    ],
)
def test_a_conversation_that_a_strategy_made_stays_as_it_is(messages, rules):
    class Talk(Strategy):
        async def evolve(self, record, ctx):
            return Record(messages=messages, origin=record.evolved().origin)

    rows, table = evolved(records(1), {"talk": Talk()}, rules, rounds=1)
    assert rows.kept[1].messages == messages
    assert table["talk"]["1"]["kept"] == 1


def test_tools_of_a_record_are_an_obstacle():
    talk = Record(id="c", messages=(SYSTEM, *turns("Hi", "Yes?")), tools=({"type": "function"},))
    assert find_obstacle(talk) == "with tools"


@pytest.mark.parametrize("messages", [turns("task 0"), turns("task 0", "old")])
def test_one_question_with_its_answer_is_evolved_whichever_form_it_has(messages):
    asked = Record(id="r0", messages=messages)
    rows, _ = evolved([asked], rounds=1)
    plain, _ = evolved(records(1), rounds=1)
    assert rows.kept[0] is asked
    assert rows.kept[1:] == plain.kept[1:]


def test_a_failed_call_for_the_answer_costs_the_child_and_shows_it():
    async def ask(request):
        if request.messages[-1].content == "task 0 more":
            raise TeacherError("length", "cut", answer="The begin")
        return Reply(text="x", key="k")

    rows, _ = evolved(records(1), ask=ask)
    (drop,) = rows.dropped
    assert (drop.reason, drop.answer, drop.parent) == ("teacher-length", "The begin", "r0")
    assert drop.record.instruction == "task 0 more"


def test_a_drop_without_an_answer_of_its_own_shows_what_the_teacher_said_last():
    rows, _ = evolved(records(1), {"grow": Grow(failing=1.0)})
    assert rows.dropped[0].answer == "answer 0"


@pytest.mark.parametrize("answer", [True, False])
def test_an_answer_given_by_the_strategy_is_not_asked_for(answer):
    class Whole(Strategy):
        async def evolve(self, record, ctx):
            return record.evolved(instruction="new", output="own")

    async def ask(request):
        raise AssertionError("nobody needs to ask")

    rows, _ = evolved(records(1), {"w": Whole()}, ask=ask, answer=answer)
    assert rows.kept[1].output == "own"


class Polite(Filter):
    """Judges question and answer."""

    answers: bool = True

    def check(self, record, ctx):
        if "more more" in record.instruction:
            return Drop("dull")
        return Drop("rude") if self.answers and "please" not in record.output else Keep()

    def question_rules(self):
        return self.model_copy(update={"answers": False})


class Right(Filter):
    """Judges the answer alone, and remembers."""

    remembers = True

    def check(self, record, ctx):
        return Keep() if record.output else Drop("no-answer")

    def question_rules(self):
        return None


@pytest.mark.parametrize("rules", [[Polite()], [Polite(), Right()]])
def test_answers_that_are_not_asked_for_are_not_judged_and_that_is_said(rules):
    notes = []
    rows, _ = evolved(records(2), rules=rules, rounds=2, answer=False, notes=notes)
    assert [r.instruction for r in rows.kept if r.origin.round] == ["task 0 more", "task 1 more"]
    assert [d.reason for d in rows.dropped] == ["dull"] * 2, "rules on questions hold all the same"
    (note,) = notes
    assert "rule0 by the instruction only" in note
    assert ("rule1 not at all" in note) == (len(rules) > 1)


def test_where_answers_are_asked_for_all_rules_hold_and_nothing_is_said():
    notes = []
    rows, _ = evolved(records(1), rules=[Polite(), Right()], notes=notes)
    assert [d.reason for d in rows.dropped] == ["rude"]
    assert notes == []


def test_an_answer_that_nobody_asked_for_is_judged_where_a_strategy_gives_it():
    class Whole(Strategy):
        async def evolve(self, record, ctx):
            return record.evolved(instruction="new", output="own")

    rows, _ = evolved(records(1), {"w": Whole()}, [Polite()], answer=False)
    assert [d.reason for d in rows.dropped] == ["rude"]


def test_rules_on_questions_that_are_no_filter_are_the_plugins_fault():
    class Wrong(Filter):
        def check(self, record, ctx):
            return Keep()

        def question_rules(self):
            return "none"

    with pytest.raises(FilialError, match=r"d:rule0==1 breaks its contract .* question_rules"):
        evolved(records(1), rules=[Wrong()], answer=False)


def test_equal_children_of_one_parent_have_ids_of_their_own():
    class Same(Strategy):
        async def evolve(self, record, ctx):
            return Record(instruction="always the same", output="x", origin=record.evolved().origin)

    twice = [Record(id="r", instruction="one"), Record(id="r", instruction="one")]
    rows, _ = evolved(twice, {"s": Same()}, keep="last")
    assert len({r.id for r in rows.kept}) == 2


def test_a_child_is_asked_for_an_answer_with_its_system_text_and_keeps_what_was_thought():
    asked = []

    async def thinking(request):
        asked.append([m.content for m in request.messages])
        return Reply(text="b", reasoning="because", key=str(len(asked)))

    seed = Record(id="r", instruction="task", output="old", reasoning="old", system="Be brief.")
    rows, _ = evolved([seed], ask=thinking)
    child = rows.kept[-1]
    assert asked[-1] == ["Be brief.", "task more"]
    assert (child.output, child.reasoning, child.system) == ("b", "", "Be brief.")
