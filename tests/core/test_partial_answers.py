"""An answer cut at the token limit is a failed call, unless whoever asks welcomes a part of one."""

import asyncio

import pytest

from filial import Context, Reply, Teacher, TeacherError
from filial.gateway import Budget, BudgetAccount, Gateway, Ledger


class Cut(Teacher):
    """Answers that end too early, as a reply or as the failure that some teachers make of them."""

    raises: bool = False

    async def reply(self, request):
        if self.raises:
            raise TeacherError("length", "cut", answer="1. one 2. tw", billed=(7, 5))
        return Reply(text="1. one 2. tw", finish_reason="length", prompt_tokens=7, completion_tokens=5)


def asked(path, teacher, **how):
    """The answer to one question, and what the gateway counted."""

    async def work():
        gateway = Gateway("cut", teacher, Ledger(path), BudgetAccount(Budget()))
        try:
            return await Context(gateway.ask).ask("go on: 1.", **how), gateway.spent
        finally:
            await gateway.close()

    return asyncio.run(work())


@pytest.mark.parametrize("raises", [False, True])
def test_a_part_is_a_reply_only_where_it_is_welcome(tmp_path, raises):
    teacher = Cut(raises=raises)
    with pytest.raises(TeacherError, match="length"):
        asked(tmp_path / "l.sqlite", teacher)
    reply, spent = asked(tmp_path / "l.sqlite", teacher, partial=True)
    assert (reply.text, reply.finish_reason) == ("1. one 2. tw", "length")
    assert (reply.prompt_tokens, reply.completion_tokens) == (7, 5)
    assert (spent.requests, spent.prompt_tokens, spent.completion_tokens) == (1, 7, 5)


def test_it_is_remembered_for_those_who_welcome_it_and_for_nobody_else(tmp_path):
    path = tmp_path / "l.sqlite"
    first, _ = asked(path, Cut(), partial=True)
    again, spent = asked(path, Cut(), partial=True)
    assert again == first
    assert (spent.requests, spent.from_ledger) == (0, 1)
    with pytest.raises(TeacherError, match="length"):
        asked(path, Cut())


def test_other_failures_stay_failures(tmp_path):
    class Silent(Teacher):
        async def reply(self, request):
            raise TeacherError("length", "cut", answer=None)

    with pytest.raises(TeacherError, match="length"):
        asked(tmp_path / "l.sqlite", Silent(), partial=True)
