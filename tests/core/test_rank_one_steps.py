"""Rank-one steps of any form run in chunks: keys of their own to erase, tensors of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from streams import stream
from torch import Tensor

import ttr_core as ttr
from ttr_core.layers.layer import SequenceLayer
from ttr_core.named import Carried, Params, Signals
from ttr_core.solvers import resolve
from ttr_core.space.functions import Memory
from ttr_core.space.letters import Letters
from ttr_core.space.newton import PairLoss
from ttr_core.space.optimizers import RankOneSteps, Steps
from ttr_core.space.optimizers.structure import Features
from ttr_core.space.story import Criterion, Story, signal, target
from ttr_core.space.terms import HALF, Letter, outer, square
from ttr_core.stream import Signal, Stream

WEIGHTS = ("Uniform", "Gate", "ChannelGate", "Importance", "Gate * Importance")
ERASE_KEY = Signal("erase_key", "key", "identity", 0.0, -1.0, 1.0, "key along which is erased")
SHARE = Signal("step", "scalar", "sigmoid", 0.5, 0.01, 1.0, "share that is erased")


@dataclass(frozen=True)
class Apart(RankOneSteps):
    """Erases along a key of its own, as far as a learned number per head says, and writes."""

    undecayed: bool = False
    name: ClassVar[str] = "Apart"

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (SHARE, ERASE_KEY)

    @property
    def reads_undecayed(self) -> bool:
        return self.undecayed

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        return {"reach": torch.linspace(0.3, 0.9, heads).requires_grad_()}

    def update(
        self, memory: Memory, state: Carried, loss: PairLoss, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        zero = {"S": torch.zeros_like(memory["S"])}
        at = previous if self.undecayed else memory
        nothing = zero["S"][0]
        answered = torch.func.grad(loss)(at, signals["erase_key"], nothing)["S"]
        written = -torch.func.grad(loss)(zero)["S"]
        share = signals["reach"] * signals["step"]
        return {"S": memory["S"] - share * answered + written}, state

    def story(self, on: Letters) -> Story:
        at = on.before if self.undecayed else on.decayed_before
        erased = on.function.written_features(Letter("erase_key", "e_t", ("t",)))
        share = Letter("reach", "r") * signal(r"\beta_t", "step") * on.brought
        answered = outer(erased, on.function.answer_features(at, erased))
        change = on.brought * outer(on.features(), target("t")) - share * answered
        goal = HALF * square(on.free - on.decayed_before - change)
        return on.running(Criterion(goal, on.free), on.decayed_before + change)

    def steps(self, x: Stream, phi: Features, importance: Tensor | None, own: Params) -> Steps:
        erased, key = phi(x.signals["erase_key"]), phi(x.k)
        share = x.signals["step"] * own["reach"].to(x.k)[:, None, None]
        if importance is not None:
            share, key = share * importance, key * importance
        return Steps(erased, key, x.v, share * erased)


@dataclass(frozen=True)
class Twice(Apart):
    """The same, then a step of the delta rule on the newest pair."""

    name: ClassVar[str] = "Twice"

    @property
    def n(self) -> int:
        return 2

    def update(
        self, memory: Memory, state: Carried, loss: PairLoss, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        after, state = super().update(memory, state, loss, signals, previous)
        slope = torch.func.grad(loss)(after)["S"]
        return {"S": after["S"] - signals["step"] * slope}, state

    def steps(self, x: Stream, phi: Features, importance: Tensor | None, own: Params) -> Steps:
        first, key = super().steps(x, phi, importance, own), phi(x.k)
        gain = x.signals["step"] if importance is None else x.signals["step"] * importance
        assert first.read is not None and first.erase is not None

        def rows(a: Tensor, b: Tensor) -> Tensor:
            return torch.stack([a, b], 3).flatten(2, 3)

        second = gain * key
        return Steps(
            rows(first.read, key),
            rows(first.write, second),
            rows(x.v, x.v),
            rows(first.erase, second),
        )


OPTIMIZERS = (Apart(), Apart(undecayed=True), Twice(), Twice(undecayed=True))


def spec_of(weights: str, optimizer: RankOneSteps, map: str = "identity") -> ttr.Spec:
    model = ttr.Spec.parse(f"{weights} | Linear(map={map}) | SGD")
    return replace(model, optimizer=optimizer)


def outputs_and_gradients(spec: ttr.Spec, solver: str, length: int) -> tuple[Tensor, list[Tensor]]:
    x = stream(spec, length)
    own = spec.parameters(3, 2, 2)
    leaves = [z.clone().requires_grad_() for z in (x.q, x.k, x.v, *x.signals.values())]
    signals = dict(zip(x.signals, leaves[3:], strict=True))
    y = ttr.solve(spec, Stream(*leaves[:3], signals), own, solver)
    learned = [p for p in own.values() if p.requires_grad]
    return y.detach(), list(torch.autograd.grad(y.sin().sum(), [*leaves, *learned]))


@pytest.mark.parametrize("solver", ["chunked_delta", "rank_one_scan"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_steps_of_any_form_equal_the_definition(
    weights: str, optimizer: RankOneSteps, solver: str
) -> None:
    spec = spec_of(weights, optimizer)
    assert resolve(spec).name == "chunked_delta"
    y, gradients = outputs_and_gradients(spec, solver, 11)
    wanted, slopes = outputs_and_gradients(spec, "reference", 11)
    torch.testing.assert_close(y, wanted, rtol=1e-8, atol=1e-8)
    for got, want in zip(gradients, slopes, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("weights", ["Gate", "ChannelGate"])
@pytest.mark.parametrize("map", ["identity", "elu1"])
def test_they_go_on_where_they_left_off(weights: str, optimizer: RankOneSteps, map: str) -> None:
    spec, cuts = spec_of(weights, optimizer, map), (70, 71, 72)
    x, state, parts = stream(spec, 140), None, []
    for start, stop in zip((0, *cuts), (*cuts, 140), strict=True):
        y, state = ttr.prefill(spec, x.tokens(start, stop), state=state)
        parts.append(y)
    whole = ttr.solve(spec, x)
    torch.testing.assert_close(torch.cat(parts, 2), whole, rtol=1e-8, atol=1e-8)
    by_token = ttr.solve(spec, x, solver="rank_one_scan")
    torch.testing.assert_close(by_token, whole, rtol=1e-8, atol=1e-8)


def test_a_layer_decodes_and_trains_them() -> None:
    spec = spec_of("Gate", Apart())
    layer = SequenceLayer(spec, ttr.FRAMES["standard"], d_model=8, num_heads=2).double()
    x, state, parts = torch.randn(1, 9, 8, dtype=torch.float64), None, []
    whole = layer(x)
    for t in range(9):
        y, state = layer.step(x[:, t], state)
        parts.append(y)
    torch.testing.assert_close(torch.stack(parts, 1), whole, rtol=1e-9, atol=1e-9)
    whole.sum().backward()
    assert layer.own["optimizer/reach"].grad.abs().min() > 0


def test_a_wrong_way_to_erase_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of("Gate", Apart())
    x, right = stream(spec), Apart.steps
    wanted = ttr.solve(spec, x, solver="reference")
    torch.testing.assert_close(ttr.solve(spec, x), wanted, rtol=1e-8, atol=1e-8)
    monkeypatch.setattr(Apart, "steps", lambda *args: right(*args)._replace(erase=None))
    assert (ttr.solve(spec, x) - wanted).abs().max() > 1e-2
