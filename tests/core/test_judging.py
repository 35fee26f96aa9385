"""Judging: clean exams, figures that add up, nothing that a judge says taken for more than it is."""

import asyncio
import json
import math

import pytest

from filial import FilialError, Judge, Message, Record, Reply, TeacherError, Verdict
from filial.commands import examine
from filial.contracts.records import question_key


class Same(Judge):
    """Right when equal; fails where told."""

    async def judge(self, record, candidates, ctx):
        reply = await candidates[0].ask(record.question())
        for _ in range(len(record.instruction) % 3):
            await asyncio.sleep(0)
        if "fail" in record.instruction:
            raise TeacherError("timeout", "too slow")
        if "crash" in record.instruction:
            raise ZeroDivisionError("a bug")
        if "nothing" in record.instruction:
            return None
        right = reply.text == record.output
        return Verdict(float(right), right, "equal" if right else "")


class Grade(Judge):
    """Scores only."""

    async def judge(self, record, candidates, ctx):
        return Verdict(float(len((await candidates[0].ask(record.question())).text)))


class Open:
    """A gateway without a ledger that answers by a function of the request."""

    window, stopped = 64, None

    def __init__(self, answer):
        self.answer = answer

    async def ask(self, request):
        said = self.answer(request)
        return said if isinstance(said, Reply) else Reply(text=said)


def examined(judge, records, candidates, teacher=None):
    """Figures and lines of an examination; candidates and the judge's teacher are functions of a request."""
    gateways = {name: Open(answer) for name, answer in candidates.items()}
    done = asyncio.run(
        examine(
            records, gateways, judge, "d:j==1", name="exam", stage="judge exam", seed=1,
            teacher=teacher and Open(teacher), max_tokens=9,
        )
    )  # fmt: skip
    return done.figures(), [json.loads(row.line()) for row in done.rows]


def verdicts(judge, records, rival=None, **answers):
    """The same for a model that says ``answers`` to the questions of the records with these ids, else x."""
    by_question = {record.instruction: answers.get(record.id, "x") for record in records}

    def model(request):
        return by_question.get(request.messages[-1].content, "x")

    return examined(judge, records, {"model": model} | ({"rival": rival} if rival else {}))


def talk(*texts):
    roles = ("user", "assistant") * len(texts)
    return Record(messages=tuple(Message(role=r, content=t) for r, t in zip(roles, texts, strict=False)))


def test_the_figures_are_shares_of_what_was_judged_in_the_order_of_the_exam():
    records = [Record(id=f"r{i}", instruction=f"q{i}" + "!" * i, output="right") for i in range(5)]
    figures, lines = verdicts(Same(), records, r0="right", r1="no", r2="right", r3="right", r4="no")
    assert figures == {"records": 5, "judged": 5, "mean": 0.6, "passed": 0.6}
    assert [line["id"] for line in lines] == [f"r{i}" for i in range(5)]
    assert lines[0] == {"id": "r0", "question": "q0", "want": "right", "answer": "right", "score": 1.0, "passed": True,
                        "detail": "equal"}  # fmt: skip


def test_a_verdict_that_needs_a_failed_call_is_not_judged_and_says_why():
    records = [Record(id="a", instruction="fail", output="x"), Record(id="b", instruction="ok", output="x")]
    figures, lines = verdicts(Same(), records)
    assert (figures["records"], figures["judged"], figures["passed"]) == (2, 1, 1.0)
    assert (lines[0]["unjudged"], lines[0]["detail"]) == ("teacher-timeout", "too slow")
    assert "score" not in lines[0]


def test_a_candidate_that_fails_is_not_judged_whatever_the_judge_makes_of_it():
    class Harsh(Judge):
        """0 for whoever does not answer."""

        async def judge(self, record, candidates, ctx):
            try:
                await candidates[0].ask(record.question())
                await candidates[1].ask(record.question())
            except TeacherError:
                return Verdict(0.0, False)
            return Verdict(1.0, True)

    def broken(request):
        raise TeacherError("http-500", "no use")

    record = Record(id="a", instruction="x")
    figures, (line,) = verdicts(Harsh(), [record], broken, a="said")
    assert figures == {"records": 1, "judged": 0, "mean": None, "passed": None}
    assert (line["unjudged"], line["detail"]) == ("teacher-http-500", "no use")
    assert line["answers"] == {"model": ["said"], "rival": []}
    assert verdicts(Harsh(), [record], lambda request: "b", a="said")[0]["passed"] == 1.0


def test_a_judge_without_right_and_wrong_has_a_mean_and_no_share():
    records = [Record(id="a", instruction="a"), Record(id="b", instruction="b")]
    figures, _ = verdicts(Grade(), records, a="xx", b="xxxx")
    assert (figures["mean"], figures["passed"]) == (3.0, None)


def test_an_empty_exam_has_no_figures():
    figures, lines = verdicts(Same(), [])
    assert figures == {"records": 0, "judged": 0, "mean": None, "passed": None}
    assert lines == []


@pytest.mark.parametrize(("word", "cause"), [("crash", "ZeroDivisionError"), ("nothing", "not Verdict")])
def test_a_faulty_judge_is_named(word, cause):
    with pytest.raises(FilialError, match=rf"d:j==1.*judge exam.*{cause}"):
        verdicts(Same(), [Record(instruction=word)])


@pytest.mark.parametrize(
    ("verdict", "what"),
    [
        (Verdict(math.nan), "score .*is nan, not a finite number"),
        (Verdict(-math.inf), "score .*is -inf"),
        (Verdict(True), "score .*is True"),
        (Verdict("0.5"), "score .*is '0.5'"),
        (Verdict(None), "score is nothing"),
        (Verdict(0.5, 1), "passed .*is 1, not True, False or None"),
        (Verdict(0.5, None, None), "detail is nothing .*not a text"),
        (0.5, "gave 0.5, not Verdict"),
    ],
)
def test_nonsense_is_refused_naming_plugin_and_record(verdict, what):
    class Nonsense(Judge):
        """Says it of the third record."""

        async def judge(self, record, candidates, ctx):
            return verdict if record.id == "r2" else Verdict(1)

    records = [Record(id=f"r{i}", instruction="x") for i in range(4)]
    with pytest.raises(FilialError, match=rf"^d:j==1 .*judge exam.*{what}") as caught:
        verdicts(Nonsense(), records)
    assert "record r2" in str(caught.value)


@pytest.mark.parametrize("fails", [False, True])
def test_a_judge_that_changes_the_exam_is_named(fails):
    class Counting(Judge):
        """Counts in the record that later candidates are asked by."""

        async def judge(self, record, candidates, ctx):
            record.extra["n"] += record.id == "r1"
            if fails:
                raise TeacherError("timeout", "too slow")
            return Verdict(1)

    records = [Record(id=f"r{i}", instruction="x", extra={"n": 0}) for i in range(3)]
    with pytest.raises(FilialError, match=r"^d:j==1 .*judge exam, record r1: it changes the extra of the record"):
        verdicts(Counting(), records)
    assert [record.extra["n"] for record in records] == [0, 0, 0]


class Debate(Judge):
    """Which of two keeps to its answer when asked again; asked in either order, and right only when both agree."""

    compares = 2

    async def judge(self, record, candidates, ctx):
        first, second = [await self.second_turn(one, record) for one in candidates]
        forth = await ctx.ask(f"{record.instruction}\nA: {first}\nB: {second}\nA or B?")
        back = await ctx.ask(f"{record.instruction}\nA: {second}\nB: {first}\nA or B?")
        words = (forth.text, back.text)
        score = {("A", "B"): 1.0, ("B", "A"): 0.0}.get(words, 0.5)
        return Verdict(score, None if score == 0.5 else score == 1.0, "" if score != 0.5 else "the order decides")

    async def second_turn(self, one, record):
        question = Message("user", record.question())
        reply = await one.ask([question])
        again = Message("user", "Are you sure?")
        return (await one.ask([question, Message("assistant", reply.text), again])).text


def says(name, heard):
    """Who names itself, the turn and the last but one text; and notes what it was asked."""

    def answer(request):
        heard.append(request)
        turns = [message.content for message in request.messages]
        return f"{name}{len(turns)}({turns[-2] if len(turns) > 1 else ''})"

    return answer


def test_a_judge_of_pairs_swaps_places_over_two_turns():
    def referee(request):
        """Prefers the text that names "model", or always says A where the record is about ties."""
        prompt = request.messages[-1].content
        a = next(line for line in prompt.splitlines() if line.startswith("A: "))
        return "A" if "tie" in prompt or "model" in a else "B"

    asked_of = {"model": [], "base": []}
    records = [Record(id="a", instruction="who?"), Record(id="b", instruction="a tie?")]
    candidates = {name: says(name, heard) for name, heard in asked_of.items()}
    figures, lines = examined(Debate(), records, candidates, referee)
    assert figures == {"records": 2, "judged": 2, "mean": 0.75, "passed": 1.0}
    one, two = lines
    assert one["answers"] == {"model": ["model1()", "model3(model1())"], "base": ["base1()", "base3(base1())"]}
    assert (one["score"], two["score"], two["passed"], two["detail"]) == (1.0, 0.5, None, "the order decides")
    for requests in asked_of.values():
        first, second = (request for request in requests if request.messages[0].content == "who?")
        assert second.messages[:2] == (*first.messages, Message("assistant", second.messages[1].content))
        assert (first.max_tokens, first.partial) == (9, True), "the exam's limit; a cut answer is one"


def test_the_question_of_a_conversation_is_all_before_its_last_answer():
    assert question_key(talk("hi", "yes?", "name a river", "Po")) == ("hi", "yes?", "name a river")
    assert question_key(talk("hi")) == ("hi",)
    assert question_key(Record(instruction="sort", input="2 1", output="1 2")) == ("sort\n\n2 1",)
    assert question_key(Record(instruction="sort", input="2 1")) == question_key(talk("sort\n\n2 1", "1 2"))


def test_a_rivals_answers_are_kept_by_who_gives_them_however_it_is_named(cli):
    cli.write("x.jsonl", *({"instruction": f"Name river {i}.", "output": "x"} for i in range(3)))
    for use in ("toy.py:echo", "echo"):
        rival = f"{{use: '{use}', log: asked}}"
        assert cli("judge", "exact-match", "x.jsonl", "--teacher", "procedural", "--against", rival) in (0, 5), cli.err
    assert len((cli.folder / "asked").read_text().splitlines()) == 3
