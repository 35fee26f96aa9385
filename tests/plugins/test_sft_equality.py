"""However the rows of a step are laid out, split and shared, loss and gradient are those of one row at a time."""

import re
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from training_kit import ECHO, UNEQUAL, gradient, make, make_runner, reference, session, store_of, tokenizer

from filial import END, Record, Span, UsageError
from filial.labels import Encoder
from filial_plugins.local.pretrained import load_model
from filial_plugins.templates.plain import Plain
from filial_plugins.trainers.devices.process_group import ProcessGroup
from filial_plugins.trainers.rows.preparation import write_rows
from filial_plugins.trainers.session import enable_gradient_checkpointing
from filial_plugins.trainers.sft import CausalRunner
from filial_plugins.trainers.steps import attention
from filial_plugins.trainers.steps.attention import ROW_ATTENTION
from filial_plugins.trainers.steps.attention import use_attention as attending
from filial_plugins.trainers.steps.batches import collate_flat, collate_padded
from filial_plugins.trainers.steps.equivalence import find_difference
from filial_plugins.trainers.steps.loss import choose_loss, make_full_loss, make_selective_loss
from filial_plugins.trainers.steps.order import group_by_length, pack_rows, shuffle_rows

pytestmark = pytest.mark.train

KINDS = ["llama", "gpt2", "qwen", "mistral"]


class Whole(Plain):
    """Everything carries loss, the very first token too."""

    def render(self, record: Record) -> list[Span]:
        return [Span(record.output, train=True), END]


def step_of(rows: int) -> list[list[int]]:
    return [[i] for i in range(rows)]


@pytest.mark.parametrize("packing", ["auto", "off", "pack"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_the_same_however_it_is_split(tmp_path: Path, kind: str, packing: str) -> None:
    """Pitfalls 10, 11 and 12: packed, padded, accumulated and partial windows against one row at a time."""
    base = make(tmp_path / "base", kind)
    store = store_of(base, UNEQUAL, tmp_path / "rows")
    loss, expected = reference(base, store)
    step = [[0, 3], [5, 1], [2], [6, 7, 4]] if packing == "pack" else step_of(len(store))
    for batch_size in (8, 4, 3, 1):  # 8 x 1, 2 x 4, windows whose last part is smaller, 1 x 8
        work = make_runner(session(base, store, tmp_path, packing=packing, batch_size=batch_size))
        assert work.arrangement.startswith({"auto": "end to end", "off": "padded", "pack": "packed"}[packing])
        got = float(work.add_gradients(step))
        assert abs(got - loss) < 1e-6 * max(1, loss)
        assert (gradient(work.network) - expected).norm() / expected.norm() < 1e-5


def test_gradient_checkpointing_changes_nothing(tmp_path: Path) -> None:
    base = make(tmp_path / "base")
    store = store_of(base, UNEQUAL, tmp_path / "rows")
    loss, expected = reference(base, store)
    made = session(base, store, tmp_path)
    enable_gradient_checkpointing(made.model)
    made.model.train()
    work = make_runner(made)
    assert float(work.add_gradients(step_of(8))) == pytest.approx(loss, rel=1e-6)
    assert (gradient(work.network) - expected).norm() / expected.norm() < 1e-5


def test_mean_of_means_would_have_been_noticed(tmp_path: Path) -> None:
    """The rows here are unequal enough that the common mistake is far off."""
    base = make(tmp_path / "base")
    store = store_of(base, UNEQUAL, tmp_path / "rows")
    _, expected = reference(base, store)
    model = load_model(base).train()
    for row in store:
        loss = make_full_loss(model, torch)(collate_padded([row], torch, "cpu"))
        (loss / len(row.trained_positions) / len(store)).backward()
    assert (gradient(model) - expected).norm() / expected.norm() > 0.1


def test_no_row_is_asked_for_another_rows_first_token(tmp_path: Path) -> None:
    """Pitfall 11."""
    words = tokenizer()
    records = [Record(instruction="?", output=text) for text in ("abc", "defgh")]
    every = write_rows(records, Whole(), Encoder(words), 64, "drop", tmp_path / "rows")
    batch = collate_flat(every[:], torch, "cpu")
    assert len(batch.targets) == sum(len(row.ids) - 1 for row in every)
    assert len(every[0].ids) - 1 not in batch.sources.tolist()
    assert batch.positions[0].tolist() == [*range(len(every[0].ids)), *range(len(every[1].ids))]


def test_rows_that_see_each_other_are_noticed_by_their_gradient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pitfall 10: their loss hardly differs."""
    base = make(tmp_path / "base")
    rows = store_of(base, ECHO, tmp_path / "rows")[:4]
    model = load_model(base)
    assert find_difference(model, torch, rows) == ""
    assert all(p.grad is None for p in model.parameters())

    def leaking(module, query, key, value, mask, *, filial_rows=None, scaling=None, **rest):  # type: ignore[no-untyped-def]
        out = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)
        return out.transpose(1, 2), None

    monkeypatch.setattr(attention, "attend_within_rows", leaking)
    why = find_difference(model, torch, rows)
    assert float(re.search(r"gradient (\S+) off", why)[1]) > 0.1  # type: ignore[index]
    made = session(base, store_of(base, ECHO, tmp_path / "more"), tmp_path, packing="pack")
    with pytest.raises(UsageError, match=r"rows cannot be packed: the loss is .* choose packing: auto"):
        make_runner(made)


def test_a_model_whose_attention_is_its_own_is_padded_and_says_so(tmp_path: Path) -> None:
    base = make(tmp_path / "base", "gemma")
    store = store_of(base, UNEQUAL, tmp_path / "rows")
    heard: list[str] = []
    made = session(base, store, tmp_path)
    made.ctx.note = heard.append
    work = make_runner(made)
    assert work.arrangement.startswith("padded: its attention cannot be replaced")
    assert heard == [f"rows are padded instead of end to end: {work.arrangement.removeprefix('padded: ')}"]
    loss, expected = reference(base, store)
    assert float(work.add_gradients(step_of(8))) == pytest.approx(loss, rel=1e-6)
    assert (gradient(work.network) - expected).norm() / expected.norm() < 1e-5
    with pytest.raises(UsageError, match="rows cannot be packed"):
        make_runner(session(base, store, tmp_path, packing="pack"))


def test_the_models_own_attention_comes_back(tmp_path: Path) -> None:
    base = make(tmp_path / "base")
    made = session(base, store_of(base, ECHO, tmp_path / "rows"), tmp_path)
    before = made.model.config._attn_implementation
    with ExitStack() as stack:
        CausalRunner(made, stack)
        assert made.model.config._attn_implementation == ROW_ATTENTION
    assert made.model.config._attn_implementation == before


def test_dropout_does_not_fool_the_comparison(tmp_path: Path) -> None:
    base = make(tmp_path / "base", "gpt2-dropout")
    model = load_model(base).train()
    assert find_difference(model, torch, store_of(base, ECHO, tmp_path / "rows")[:4]) == ""
    assert model.training


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_on_trained_rows_gives_the_loss_of_the_head_on_all(tmp_path: Path, kind: str) -> None:
    base = make(tmp_path / "base", kind)
    model = load_model(base)
    rows = store_of(base, ECHO, tmp_path / "rows")[:5]
    for batch in (collate_padded(rows, torch, "cpu"), collate_flat(rows, torch, "cpu")):
        with torch.no_grad(), attending(model, ROW_ATTENTION if batch.rows else "sdpa"):
            assert float(make_selective_loss(model, torch)(batch)) == pytest.approx(
                float(make_full_loss(model, torch)(batch)), rel=1e-6
            )
            assert choose_loss(model, torch, batch).__qualname__.startswith("make_selective_loss")


def test_a_model_that_does_more_to_its_logits_keeps_its_own_head(tmp_path: Path) -> None:
    base = make(tmp_path / "base", "gemma")
    model = load_model(base)
    batch = collate_padded(store_of(base, ECHO, tmp_path / "rows")[:5], torch, "cpu")
    with torch.no_grad():
        assert abs(float(make_selective_loss(model, torch)(batch)) - float(make_full_loss(model, torch)(batch))) > 1e-2
    assert choose_loss(model, torch, batch).__qualname__.startswith("make_full_loss")


@pytest.mark.parametrize("packing", ["auto", "off", "pack"])
def test_heldout_loss_does_not_depend_on_the_batches(tmp_path: Path, packing: str) -> None:
    """Pitfall 21."""
    base = make(tmp_path / "base")
    records = [Record(instruction="q" * i, output="a" * (3 * i)) for i in range(1, 12)]
    store = store_of(base, records, tmp_path / "rows")
    expected = reference(base, store)[0]
    for size in (1, 4, 11):
        work = make_runner(session(base, store, tmp_path, batch_size=size, packing=packing))
        assert abs(work.score(store) - expected) < 1e-5


def test_bfloat16_computes_almost_the_same_and_keeps_float32_weights(tmp_path: Path) -> None:
    base = make(tmp_path / "base")
    store = store_of(base, ECHO[:16], tmp_path / "rows")
    exact, rough = (make_runner(session(base, store, tmp_path, dtype=dtype)) for dtype in ("float32", "bfloat16"))
    assert float(rough.add_gradients(step_of(16))) == pytest.approx(float(exact.add_gradients(step_of(16))), rel=1e-2)
    a, b = gradient(exact.network), gradient(rough.network)
    assert torch.nn.functional.cosine_similarity(a, b, dim=0) > 0.99
    assert {p.dtype for p in rough.network.parameters()} == {torch.float32}


LENGTHS = [(i * 37) % 101 + 1 for i in range(1003)]


@pytest.mark.parametrize(
    "steps",
    [
        lambda seed, epoch: group_by_length(LENGTHS, 16, seed, epoch),
        lambda seed, epoch: shuffle_rows(len(LENGTHS), 16, seed, epoch),
        lambda seed, epoch: pack_rows(LENGTHS, 128, 16, seed, epoch),
    ],
)
def test_an_epoch_holds_every_row_once_and_is_a_function_of_seed_and_epoch(steps) -> None:  # type: ignore[no-untyped-def]
    one = steps(5, 0)
    assert sorted(i for step in one for rows in step for i in rows) == list(range(1003))
    assert steps(5, 0) == one
    assert steps(5, 1) != one != steps(6, 0)
    assert max(map(len, one)) == 16


def test_padded_rows_of_like_length_share_a_step_and_packed_ones_fill_it() -> None:
    steps = group_by_length(LENGTHS, 16, 5, 0)
    assert sum(len(s) * max(LENGTHS[i] for (i,) in s) for s in steps) < 1.25 * sum(LENGTHS)
    bins = [rows for step in pack_rows(LENGTHS, 128, 16, 5, 0) for rows in step]
    assert max(sum(LENGTHS[i] for i in rows) for rows in bins) <= 128
    assert len(bins) <= 1 + -(-sum(LENGTHS) // 128)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_step_is_dealt_whole_and_evenly(size: int) -> None:
    sizes = LENGTHS[:64]
    shares = [ProcessGroup(torch, rank, size, "cpu").take_share(range(64), sizes) for rank in range(size)]
    assert sorted(i for share in shares for i in share) == list(range(64))
    loads = [sum(sizes[i] for i in share) for share in shares]
    assert max(loads) - min(loads) <= max(sizes)
