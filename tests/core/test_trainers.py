"""What moves the weights: every weight once, matrices by Muon with singular values alike."""

from __future__ import annotations

import pytest
import torch

import ttr_core as ttr
from ttr_core.lab import Experiment, Finished
from ttr_core.lab.tasks import generator
from ttr_core.lab.trainers import TRAINERS

MODEL = ttr.ModelConfig(layers=("gated-deltanet", "gla"), d_model=16, mlp=2)


def built() -> ttr.SequenceModel:
    return ttr.SequenceModel(MODEL, 32, generator(0, "init"), 16)


@pytest.mark.parametrize("name", TRAINERS)
def test_every_weight_is_moved_by_one(name: str) -> None:
    model = built()
    trainer = TRAINERS[name](model, 0.01, 0.1, "cpu")
    moved = [id(p) for group in trainer.param_groups for p in group["params"]]
    assert sorted(moved) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    tokens = torch.randint(32, (4, 16), generator=torch.Generator().manual_seed(0))
    positions = torch.arange(16).expand(4, -1)
    model.loss(tokens, positions, tokens.roll(1, 1)).backward()
    trainer.step()
    still = [n for n, p in model.named_parameters() if torch.equal(p, before[n])]
    assert still == [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    trainer.zero_grad()
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("name", TRAINERS)
def test_matrices_decay_and_vectors_do_not(name: str) -> None:
    groups = TRAINERS[name](built(), 0.01, 0.1, "cpu").param_groups
    assert {(p.ndim >= 2, group["weight_decay"]) for group in groups for p in group["params"]} == {
        (True, 0.1),
        (False, 0.0),
    }


def test_muon_moves_a_map_alike_along_all_directions() -> None:
    linear = torch.nn.Linear(8, 12)
    before = linear.weight.detach().clone()
    linear.weight.grad = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))
    TRAINERS["muon"](linear, 0.01, 0.0, "cpu").step()
    sizes = torch.linalg.svdvals((linear.weight.detach() - before) / (0.01 * 0.2 * 12**0.5))
    assert sizes.min() > 0.6 and sizes.max() < 1.3, "five steps of Newton-Schulz, near 1"
    given = torch.linalg.svdvals(linear.weight.grad)
    assert given.max() > 3 * given.min()


@pytest.mark.parametrize("name", TRAINERS)
def test_each_learns(name: str) -> None:
    task = ttr.task("mqar", {"pairs": 2, "seq_len": 16, "vocab_size": 16})
    train = ttr.TrainConfig(steps=200, batch_size=16, trainer=name)
    model = ttr.ModelConfig(layers=("deltanet",), d_model=16)
    *_, last = Experiment(task, model, train).run()
    assert isinstance(last, Finished) and last.metrics["accuracy"] > 0.95
