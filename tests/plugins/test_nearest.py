"""The copying baseline is exactly the nearest neighbour by common words."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filial import FREE, Message, Record, Request, UsageError
from filial.formats import write
from filial.gateway import Budget, BudgetAccount, Gateway, Ledger
from filial.testing import TeacherContract, run_async
from filial_plugins.teachers.nearest import Nearest, QuestionIndex

WORDS = st.lists(st.sampled_from(["a", "B", "c", "dd", "e"]), min_size=1, max_size=5).map(" ".join)
RECORDS = st.lists(
    st.builds(lambda i, x, o: Record(instruction=i, input=x, output=o), WORDS, WORDS, WORDS), min_size=1, max_size=8
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nearest")


class TestContract(TeacherContract):
    offline = True

    @pytest.fixture(autouse=True)
    def _component(self, folder: Path) -> None:
        write(folder / "some.jsonl", [Record(instruction="Name three colours", output="Red")])
        type(self).component = Nearest(data=str(folder / "some.jsonl"))


def test_copying_takes_nothing_of_a_cap_on_tokens(tmp_path: Path) -> None:
    write(tmp_path / "some.jsonl", [Record(instruction="Name three colours", output="Red")])
    account = BudgetAccount(Budget(tokens=1))

    async def asked() -> list[str]:
        teacher = Nearest(data=str(tmp_path / "some.jsonl"))
        gateway = Gateway("nearest", teacher, Ledger(tmp_path / "l.sqlite"), account)
        try:
            questions = [Request(messages=(Message("user", f"three colours {i}"),)) for i in range(3)]
            return [(await gateway.ask(question)).text for question in questions]
        finally:
            await gateway.close()

    assert asyncio.run(asked()) == ["Red"] * 3
    assert account.spent.tokens == 0


def jaccard(one: Record, other: Record) -> float:
    a, b = (set(r.question().lower().split()) for r in (one, other))
    return len(a & b) / len(a | b)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RECORDS, RECORDS)
def test_it_says_the_answer_of_the_first_of_the_nearest_records(
    folder: Path, trained: list[Record], questions: list[Record]
) -> None:
    write(folder / "train.jsonl", trained)
    known = QuestionIndex(folder / "train.jsonl")
    for record in questions:
        best = max(trained, key=lambda r: jaccard(record, r))
        wanted = best.output if jaccard(record, best) else ""
        assert known.answer([Message("user", record.question())]) == wanted


def test_it_copies_the_last_answer_of_a_conversation_and_compares_all_that_was_said(tmp_path: Path) -> None:
    texts = ("name a river", "Po", "and a lake", "Garda")
    roles = ("user", "assistant", "user", "assistant")
    talk = Record(messages=tuple(map(Message, roles, texts)))
    write(tmp_path / "train.jsonl", [Record(instruction="sort words", output="done"), talk])
    teacher = Nearest().for_dataset(tmp_path)
    asked = Request(messages=tuple(map(Message, ("user", "assistant", "user"), ("a river", "Rhine", "and a lake"))))
    assert run_async(teacher.reply(asked)).text == "Garda"
    assert run_async(teacher.reply(Request(messages=(Message("user", "prove it"),)))).text == "", "no word in common"
    assert (teacher.price(), teacher.destination()) == (FREE, None)


def test_it_knows_what_it_was_told_to_rather_than_the_data_set(tmp_path: Path) -> None:
    own = Nearest(data=str(tmp_path / "own.jsonl"))
    assert own.for_dataset(tmp_path) is own
    with pytest.raises(UsageError, match="copies from records, but has none"):
        Nearest().identity()
    for name in ("own", "train"):
        write(tmp_path / f"{name}.jsonl", [Record(instruction=name)])
    assert own.identity() != Nearest().for_dataset(tmp_path).identity()
