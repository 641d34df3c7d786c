"""The fused cross-entropy is the plain one: value, gradients, half precision, and its bounds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import ttr_core as ttr
from ttr_core.errors import RequestError
from ttr_core.lab import MQAR, TASKS, LabeledTask, TrainConfig, task
from ttr_core.lab.learner import Learner
from ttr_core.lab.tasks import Batch, generator
from ttr_core.layers import cross_entropy as fused
from ttr_core.layers.cross_entropy import cross_entropy, judged
from ttr_core.layers.model import ModelConfig, SequenceModel

ROWS, WIDTH, VOCABULARY = 23, 8, 31


def drawn(dtype: torch.dtype = torch.float64, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    rows = scale * torch.randn(ROWS, WIDTH, generator=source, dtype=dtype)
    table = torch.randn(VOCABULARY, WIDTH, generator=source, dtype=dtype)
    labels = torch.randint(0, VOCABULARY, (ROWS,), generator=source)
    return rows.requires_grad_(), table.requires_grad_(), labels


def plain(rows: Tensor, table: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(rows @ table.mT, labels)


@pytest.fixture(params=[1, 7 * VOCABULARY, 2**17], ids=["a row", "seven rows", "all rows"])
def tile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "TILE", request.param)
    monkeypatch.setattr(fused, "BAND", request.param // 3)


@pytest.mark.usefixtures("tile")
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_value_and_gradients_are_those_of_the_logits(
    dtype: torch.dtype, error: float, scale: float
) -> None:
    rows, table, labels = drawn(dtype, scale)
    whole, mine = plain(rows, table, labels), cross_entropy(rows, table, labels)
    assert torch.allclose(mine, whole, rtol=error, atol=error)
    with torch.no_grad():
        assert torch.allclose(cross_entropy(rows, table, labels), whole, rtol=error, atol=error)
    wanted = torch.autograd.grad(3 * whole, (rows, table))
    found = torch.autograd.grad(3 * mine, (rows, table))
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).norm() <= error * other.norm()


@pytest.mark.usefixtures("tile")
def test_its_gradient_is_its_slope() -> None:
    rows, table, labels = drawn()
    assert torch.autograd.gradcheck(lambda h, e: cross_entropy(h, e, labels), (rows, table))
    assert torch.autograd.gradcheck(lambda h: cross_entropy(h, table.detach(), labels), (rows,))


def test_under_automatic_casts_it_is_as_near_as_the_logits_are() -> None:
    rows, table, labels = drawn(torch.float32)
    exact = torch.autograd.grad(plain(rows, table, labels), (rows, table))
    found = {}
    for name, loss in (("plain", plain), ("fused", cross_entropy)):
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(rows, table, labels)
        assert value.dtype == torch.float32
        grads = torch.autograd.grad(value, (rows, table))
        assert [grad.dtype for grad in grads] == [torch.float32, torch.float32]
        found[name] = [float((a - b).norm() / b.norm()) for a, b in zip(grads, exact, strict=True)]
    assert all(0 < x < 0.01 for x in found["fused"])  # products in half precision, nothing lost
    assert all(x < 2 * y for x, y in zip(found["fused"], found["plain"], strict=True))


def test_a_gradient_of_its_gradient_is_refused_in_words() -> None:
    rows, table, labels = drawn()
    grads = torch.autograd.grad(
        cross_entropy(rows, table, labels), (rows, table), create_graph=True
    )
    with pytest.raises(RequestError, match="first gradient only"):
        torch.autograd.grad(grads[0].square().sum(), rows)


def test_labels_that_do_not_fit_are_refused_in_words() -> None:
    rows, table, labels = drawn()
    with pytest.raises(RequestError, match=f"{ROWS - 1} labels for {ROWS} answers"):
        cross_entropy(rows, table, labels[1:])
    with pytest.raises(RequestError, match="at least one"):
        cross_entropy(rows[:0], table, labels[:0])


def test_it_keeps_no_logits_for_the_backward_pass() -> None:
    kept: list[int] = []

    def keep(x: Tensor) -> Tensor:
        kept.append(x.numel())
        return x

    rows, table, labels = drawn()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        cross_entropy(rows, table, labels)
        most = max(kept)
        plain(rows, table, labels)
    assert most == VOCABULARY * WIDTH < ROWS * VOCABULARY == max(kept)


def by_logits(self: LabeledTask, model: SequenceModel, batch: Batch) -> Tensor:
    logits = model(batch.tokens, batch.positions)
    return F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten())


def test_training_goes_as_with_the_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    def losses() -> list[float]:
        asked, model = MQAR(vocab_size=1024, pairs=4, seq_len=32), ModelConfig(layers=("gla",))
        learner = Learner(asked, model, TrainConfig(warmup=0), 0.01, 0, "cpu")
        found = []
        for _ in range(5):
            learner.advance()
            found.append(learner.loss)
        return found

    mine = losses()
    monkeypatch.setattr(LabeledTask, "loss", by_logits)
    assert mine == pytest.approx(losses(), abs=1e-4) and mine[0] > mine[-1]


def test_products_in_half_precision_are_as_under_automatic_casts() -> None:
    rows, table, labels = drawn(torch.float32)
    asked = cross_entropy(rows, table, labels, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        cast = cross_entropy(rows, table, labels)
    assert asked.dtype == torch.float32 and torch.equal(asked, cast)
    assert not torch.equal(asked, cross_entropy(rows, table, labels))
    found, wanted = (torch.autograd.grad(x, (rows, table)) for x in (asked, cast))
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_a_training_takes_half_precision_where_it_is_asked_for() -> None:
    def losses(products: str) -> list[float]:
        asked, model = MQAR(vocab_size=1024, pairs=4, seq_len=32), ModelConfig(layers=("gla",))
        learner = Learner(asked, model, TrainConfig(loss_products=products), 0.01, 0, "cpu")
        for _ in range(5):
            learner.advance()
        return [loss for _, loss in learner.losses]

    whole, half = losses("float32"), losses("bfloat16")
    assert half != whole and half == pytest.approx(whole, abs=2e-3)


@pytest.mark.parametrize("name", [n for n, cls in TASKS.items() if issubclass(cls, LabeledTask)])
def test_every_task_of_tokens_trains_by_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def counted(*arguments: Tensor) -> Tensor:
        seen.append(arguments)
        return cross_entropy(*arguments)

    monkeypatch.setattr("ttr_core.layers.model.cross_entropy", counted)
    asked = task(name)
    assert isinstance(asked, LabeledTask)
    built = asked.model(ttr.ModelConfig(d_model=8), generator(0, "init"))
    batch = asked.sample(2, generator(0, "train"))
    assert asked.loss(built, batch).requires_grad and len(seen) == 1
    assert torch.allclose(asked.loss(built, batch), by_logits(asked, built, batch), rtol=1e-5)


@pytest.mark.usefixtures("tile")
def test_answers_are_judged_as_by_their_logits() -> None:
    rows, table, labels = drawn()
    with torch.no_grad():
        table[3] = table[2]  # of two equal words the first is the answer
        rows[:2] = 9 * table[2]
    labels[:2] = torch.tensor([2, 3])
    logits = rows @ table.mT
    each, right = judged(rows.view(1, ROWS, WIDTH), table, labels.view(1, ROWS))
    torch.testing.assert_close(each[0], F.cross_entropy(logits, labels, reduction="none").detach())
    assert torch.equal(right[0], logits.argmax(-1) == labels)
    assert right[0, :2].tolist() == [True, False] and not each.requires_grad
    assert judged(rows[:0], table, labels[:0])[0].shape == (0,)
