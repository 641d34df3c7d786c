"""Tasks with more than a token at a place: stacked recall, and regression in context."""

from __future__ import annotations

import pytest
import torch

import ttr_core as ttr
from ttr_core.errors import RequestError
from ttr_core.lab import Experiment, evaluate, looked_at
from ttr_core.lab.tasks import generator
from ttr_core.lab.tasks.context_regression import ContextRegression
from ttr_core.lab.tasks.stacked import Stacked

MODEL = ttr.ModelConfig(layers=("linear-attention",), d_model=8)


@pytest.mark.parametrize("seq_len", [8, 12, 19])
def test_every_stacked_key_is_asked_once_for_its_value(seq_len: int) -> None:
    batch = Stacked(pairs=4, seq_len=seq_len, vocab_size=64).sample(20, generator(0, "train"))
    assert batch.tokens.shape == (20, seq_len, 2)
    for row, tokens in enumerate(batch.tokens.tolist()):
        told = {tuple(pair) for pair in tokens[:-4]}
        assert len(told) == len(dict(told)) == 4
        asked = [key for key, value in tokens[-4:] if value == -1]
        assert sorted(asked) == sorted(dict(told))
        assert batch.positions[row].tolist() == list(range(seq_len - 4, seq_len))
        assert batch.labels[row].tolist() == [dict(told)[key] for key in asked]
        last = [max(i for i, (k, _) in enumerate(tokens[:-4]) if k == key) for key in asked]
        gaps = [p - i for p, i in zip(batch.positions[row].tolist(), last, strict=True)]
        assert batch.groups["gap"][row].tolist() == gaps


def test_other_loads_keep_the_passes() -> None:
    task = Stacked(pairs=8, seq_len=24)
    assert [(v.pairs, v.passes) for v in task.variants()] == [(8, 4.0), (4, 2.0), (16, 2.0),
                                                              (32, 2.0)]  # fmt: skip


def test_stacked_embeddings_stay_as_they_were_drawn() -> None:
    task = Stacked(pairs=2, seq_len=4, vocab_size=16)
    model = task.model(MODEL, generator(0, "init"))
    before = model.embedding.clone()
    *_, last = ttr.train(
        task, MODEL, ttr.TrainConfig(steps=3, batch_size=2, lr=0.01, eval_examples=4, target=None),
        kept=lambda trained: model.load_state_dict(trained.state_dict()),
    )  # fmt: skip
    assert last.status == "finished"
    assert torch.equal(model.embedding, before)
    assert not model.embedding.requires_grad
    fresh = dict(task.model(MODEL, generator(0, "init")).named_parameters())
    moved = [n for n, x in model.named_parameters() if not torch.equal(x, fresh[n])]
    assert {"adapter.inlet.weight", "adapter.outlet.weight"} <= {*moved}


def test_a_value_that_is_not_there_adds_nothing() -> None:
    task = Stacked(pairs=2, seq_len=4, vocab_size=16)
    adapter = task.adapter(8, generator(0, "init"))
    table = torch.randn(16, 8, generator=generator(1, "init"))
    given = torch.tensor([[[3, 9], [3, -1], [-1, 9]]])
    both, key, value = adapter.read(given, table)[0]
    assert torch.allclose(both, key + value, atol=1e-6) and not torch.allclose(both, key)


@pytest.mark.parametrize("layout", ["interleaved", "stacked"])
def test_every_label_is_the_value_at_its_point(layout: str) -> None:
    task = ContextRegression(dim=3, seq_len=20, layout=layout)
    batch = task.sample(6, generator(0, "train"))
    assert batch.tokens.shape == (6, 20, 4)
    points, told = batch.tokens[:, ::2], batch.tokens[:, 1::2]
    assert points[..., -1].eq(0).all()
    assert torch.equal(told[..., -1], batch.labels)
    beside = points[..., :-1] if layout == "stacked" else torch.zeros_like(points[..., :-1])
    assert torch.equal(told[..., :-1], beside)
    weights = torch.linalg.lstsq(points[..., :-1], batch.labels[..., None]).solution
    assert torch.allclose((points[..., :-1] @ weights)[..., 0], batch.labels, atol=1e-4)
    assert batch.positions[0].tolist() == list(range(0, 20, 2))
    assert batch.groups["seen"][0].tolist() == list(range(10))


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_answering_nothing_explains_nothing(noise: float) -> None:
    task = ContextRegression(dim=5, seq_len=40, noise=noise)
    model = task.model(MODEL, generator(0, "init"))
    with torch.no_grad():
        model.embedding.zero_()
    found, by = evaluate.tested(task, model, task.held_out("test", 2000))
    assert found["unexplained"] == pytest.approx(1.0, abs=0.05)
    assert [*by["seen"]] == ["0", "1", "2-3", "4-7", "8-15", "16-31"]


def test_a_model_that_reads_side_by_side_neither_decodes_nor_is_looked_at() -> None:
    task = Stacked(pairs=2, seq_len=4, vocab_size=16)
    model = task.model(MODEL)
    with pytest.raises(RequestError, match="whole sequences"):
        model.step(torch.zeros(1, dtype=torch.long))
    with pytest.raises(RequestError, match="more than one token at a place"):
        looked_at(Experiment(task, MODEL), model.state_dict())


@pytest.mark.parametrize(("make", "said"), [
    (lambda: Stacked(pairs=4, seq_len=7), "at least 8"),
    (lambda: Stacked(pairs=8, seq_len=16, vocab_size=16), "at least 18"),
    (lambda: ContextRegression(seq_len=7), "use 8"),
])  # fmt: skip
def test_what_does_not_fit_side_by_side_is_refused(make: object, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        make()  # type: ignore[operator]
