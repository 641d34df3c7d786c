"""The first five losses of a training are those that the definition of its layer gives."""

from __future__ import annotations

import pytest

from ttr_core.lab import MQAR, TrainConfig
from ttr_core.lab.learner import Learner
from ttr_core.layers import cross_entropy
from ttr_core.layers.model import ModelConfig
from ttr_core.solvers import pieces, resolve

TRAINED = (
    "linear-attention", "gla", "deltanet", "gated-deltanet", "mesa-layer", "softmax-attention",
    "dpfp",
)  # fmt: skip


def losses(name: str, solver: str | None) -> list[float]:
    task = MQAR(vocab_size=64, pairs=2, seq_len=12)
    model = ModelConfig(layers=(name,), d_model=16, frame="published")
    learner = Learner(task, model, TrainConfig(warmup=0, batch_size=2), 0.01, 0, "cpu")
    for layer in learner.model.layers():
        layer.solver = resolve(layer.spec, solver)
    found = []
    for _ in range(5):
        learner.advance()
        found.append(learner.loss)
    return found


@pytest.mark.parametrize("name", TRAINED)
def test_the_first_five_losses_are_those_of_the_definition(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = losses(name, "reference")
    assert losses(name, None) == pytest.approx(wanted, abs=1e-4)
    monkeypatch.setattr(pieces, "LONG", 8)
    monkeypatch.setattr(pieces, "LEARNED", (0, 4))
    monkeypatch.setattr(cross_entropy, "TILE", 256)
    monkeypatch.setattr(cross_entropy, "BAND", 128)
    assert losses(name, None) == pytest.approx(wanted, abs=1e-4)
