"""What an answer counts as, whatever its teacher says about tokens: never less than it says, and never negative."""

from pathlib import Path

import pytest
from gateway_kit import Moody, ask, request
from hypothesis import given
from hypothesis import strategies as st

from filial import Bound, Price, Reply, TeacherError
from filial.contracts.checks import MOST_TOKENS
from filial.contracts.errors import BudgetStop
from filial.gateway import Budget, BudgetAccount, Gateway, Ledger
from filial.gateway.budget import format_dollars

PRICE = Price(prompt=1.0, completion=10.0, cached=0.1)
BOUND = Bound(500, 300)
COUNTS = st.one_of(st.integers(0, MOST_TOKENS), st.integers(0, 1000))


class Priced(Moody):
    """Costs what `PRICE` says."""

    def price(self):
        return PRICE


class Bounded(Priced):
    """Takes at most `BOUND` tokens."""

    def bound(self, request):
        return BOUND


@pytest.fixture(scope="module")
def priced():
    gateway = Gateway("priced", Bounded.saying(lambda r, n: Reply(text="x")), Ledger(Path(":memory:")))
    yield gateway
    gateway.ledger.close()


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_no_count_lowers_another_or_the_price(priced, prompt, completion, cached, reasoning):
    before = priced.spent.estimated
    cost = priced._cost(BOUND, prompt, completion, cached, reasoning)
    p, c, k, r = prompt, completion, cached, reasoning
    assert cost.prompt >= max(p or BOUND.prompt, k)
    assert cost.completion >= max(c or BOUND.completion, r)
    assert priced.spent.estimated - before == (not p or not c)
    least = (max(p - k, 0) * PRICE.prompt + k * PRICE.cached + max(c, r) * PRICE.completion) / 1e6
    assert cost.pico / 1e12 >= least * (1 - 1e-12) >= 0
    if p and c and k <= p and r <= c:
        assert (cost.prompt, cost.completion) == (p, c)


@given(COUNTS, COUNTS, COUNTS)
def test_a_price_is_never_negative_and_every_token_is_in_it(prompt, completion, cached):
    least = max(0, cached) * PRICE.cached + max(0, completion) * PRICE.completion
    assert PRICE.cost(prompt, completion, cached) >= least / 1e6 * (1 - 1e-12) >= 0


def test_cached_tokens_beside_the_prompt_are_paid_beside_it():
    assert PRICE.cost(50, 0, 9000) == pytest.approx((50 * 1.0 + 9000 * 0.1) / 1e6)
    assert PRICE.cost(9050, 0, 9000) == PRICE.cost(50, 0, 9000)


@pytest.mark.parametrize(
    ("told", "least"),
    [
        ({"prompt_tokens": 50, "completion_tokens": 60, "cached_tokens": 9000}, 50 + 0.1 * 9000 + 10 * 60),
        ({"prompt_tokens": 50, "completion_tokens": 60, "reasoning_tokens": 200}, 50 + 10 * 260),
        ({"prompt_tokens": 50}, 50 + 10 * 300),
        ({"completion_tokens": 13}, 10 * 13),
    ],
)
def test_a_cap_on_money_ends_whatever_is_counted_how(tmp_path, told, least):
    account = BudgetAccount(Budget(usd=0.05))
    teacher = Bounded.saying(lambda r, n: Reply(text="thirteen byte", **told), max_concurrency=2)
    g = Gateway("priced", teacher, Ledger(tmp_path / "l.sqlite"), account)
    results = ask(g, *(f"q{i}" for i in range(400)))
    assert isinstance(results[-1], BudgetStop)
    answered = sum(isinstance(r, Reply) for r in results)
    assert 0 < answered * least / 1e6 <= account.usd <= 0.05
    assert account.spent.tokens >= 13 * answered
    g.ledger.close()


@pytest.mark.parametrize(
    ("billed", "answer", "tokens"),
    [((0, 0), None, 0), ((0, 0), "cut", 0), ((7, 0), "cut", 307), ((7, 0), "", 307), ((7, 3), "cut", 10)],
)
def test_a_failed_answer_without_a_count_counts_as_the_most(tmp_path, billed, answer, tokens):
    said = TeacherError("length", answer=answer, billed=billed)
    g = Gateway("priced", Bounded.saying(lambda r, n: said), Ledger(tmp_path / "l.sqlite"))
    ask(g, "q")
    assert g.spent.tokens == tokens
    assert g.spent.estimated == (tokens > 10)
    g.ledger.close()


def test_a_cut_answer_without_counts_is_not_free(tmp_path):
    teacher = Priced.saying(lambda r, n: Reply(text="The answer is for", finish_reason="length"))
    g = Gateway("priced", teacher, Ledger(tmp_path / "l.sqlite"))
    ask(g, "q")
    bound = teacher.bound(request("q"))
    assert g.account.usd == pytest.approx(PRICE.cost(bound.prompt, bound.completion))
    g.ledger.close()


def test_an_amount_below_nothing_can_be_shown():
    assert (format_dollars(-0.0198), format_dollars(-1234.5)) == ("-$0.0198", "-$1,234.50")
