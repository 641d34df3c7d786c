"""What is said of the memories of a trained model is what its layers do."""

from __future__ import annotations

import math

import pytest
import torch

import ttr_core as ttr
from ttr_core.lab.events import Finished
from ttr_core.lab.memory import memory_rows, streams
from ttr_core.solvers import prefill

TASK = ttr.task("mqar", {"pairs": 2, "seq_len": 16, "vocab_size": 32})
FEW = ttr.TrainConfig(steps=2, batch_size=4, lr=0.05, eval_examples=4)


def ended(*layers: str, depth: int = 1) -> Finished:
    """The end of a short training of layers in the paper's frame."""
    model = ttr.ModelConfig(layers=layers, depth=depth, d_model=8, frame="paper")
    *_, last = ttr.train(TASK, model, FEW)
    assert isinstance(last, Finished)
    return last


@pytest.mark.parametrize("gamma", [0.5, 0.9])
def test_a_run_tells_the_half_life_of_its_decay(gamma: float) -> None:
    (row,) = ended(f"Decay(gamma={gamma}) | Linear | Hebbian").tables["memory"]
    wanted = math.log(0.5) / math.log(gamma)
    assert [row[f"half_life_{at}"] for at in ("low", "median", "high")] == pytest.approx(
        3 * [wanted]
    )
    assert row["step_low"] is row["step_high"] is None


def test_every_layer_of_a_stack_that_forgets_or_steps_has_its_row() -> None:
    layers = ("Gate | Linear | SGD", "Uniform | Linear | Hebbian", "Uniform | Linear | SGD")
    first, second = ended(*layers, depth=3).tables["memory"]
    assert (first["layer"], second["layer"]) == (1, 3)
    assert first["half_life_low"] is not None and second["half_life_low"] is None
    assert 0 < second["step_low"] <= second["step_median"] <= second["step_high"] < 1


def test_a_run_without_decays_and_steps_says_nothing_of_them() -> None:
    assert "memory" not in ended("Uniform | Linear | Hebbian").tables


def test_after_a_half_life_half_is_left_of_what_was_written_first() -> None:
    """By the outputs: equal tokens have equal gates, and only the first has a value."""
    config = ttr.ModelConfig(layers=("Gate | Linear | Hebbian",), d_model=8, frame="paper")
    model, tokens = ttr.SequenceModel(config, 32), torch.full((1, 9), 7)
    ((_, layer, stream, params),) = streams(model, tokens)
    (row,) = memory_rows(model, tokens)
    q, v = stream.k[:, :, :1].expand_as(stream.q), stream.v.clone()
    v[:, :, 1:] = 0
    with torch.no_grad():
        y, _ = prefill(layer.spec, ttr.Stream(q, stream.k, v, stream.signals), params)
    left = float(y[0, 0, 8].norm() / y[0, 0, 0].norm())
    assert row["half_life_median"] == pytest.approx(8 * math.log(0.5) / math.log(left), rel=1e-4)
