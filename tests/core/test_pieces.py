"""Long sequences of linear models by pieces: the same outputs and gradients, less memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import ttr_core as ttr
from tests.core.streams import stream
from ttr_core.solvers import normal_equations, pieces, resolve
from ttr_core.tools.held import peak_bytes

WIDE = (
    "Gate | Linear(map=polynomial) | Hebbian | readout=Normalized",
    "ChannelGate | Linear(map=taylor2) | Hebbian",
    "Uniform | Linear(map=hedgehog) | SGD",
    "Gate | Linear(map=dpfp) | Momentum",
    "Gate * Importance | Linear(map=rff) | Exact",
    "Cosine | Linear(map=dpfp) | OneStep | readout=Normalized(floor=clamp)",
    "Gate * TwoTaps | Linear(map=dpfp) | OneStep",
)
NARROW = ("Uniform | Linear | Exact(ridge=0.1)", "ChannelGate | Linear | SGD")
GROWING = ("Window(size=4) | Linear(map=dpfp) | Hebbian", "ExpKernel | Linear(map=dpfp) | Exact")


def solved(text: str, gradients: bool) -> list[Tensor]:
    spec = ttr.Spec.parse(text)
    x = stream(spec, 11, heads=2).map(lambda z: z.detach().requires_grad_(gradients))
    params = {n: p.double() for n, p in spec.parameters(x.key_dim, x.value_dim, x.heads).items()}
    with torch.set_grad_enabled(gradients):
        y = ttr.solve(spec, x, params)
    given = (x.q, x.k, x.v)
    return [y, *torch.autograd.grad(y.square().sum(), given)] if gradients else [y]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "LONG", 8)
    monkeypatch.setattr(pieces, "ALONE", (0, 3))
    monkeypatch.setattr(pieces, "LEARNED", (0, 4))


@pytest.mark.parametrize("text", [*WIDE, *NARROW])
@pytest.mark.parametrize("gradients", [False, True])
def test_pieces_are_the_whole(text: str, gradients: bool, request: pytest.FixtureRequest) -> None:
    whole = solved(text, gradients)
    request.getfixturevalue("short")
    spec = ttr.Spec.parse(text)
    with torch.set_grad_enabled(gradients):
        size = pieces.piece_size(resolve(spec), spec, stream(spec, 11))
    assert (size < 11) == (text in WIDE or not gradients)
    for found, wanted in zip(solved(text, gradients), whole, strict=True):
        assert (found - wanted).norm() <= 1e-9 * wanted.norm()


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("text", GROWING)
def test_what_carries_all_tokens_is_not_cut(text: str) -> None:
    spec = ttr.Spec.parse(text)
    assert pieces.piece_size(resolve(spec), spec, stream(spec, 11)) == 11


@pytest.mark.parametrize(("gradients", "most"), [(False, 0.3), (True, 0.5)])
def test_wide_features_of_a_long_sequence_are_not_held_at_once(
    gradients: bool, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "LONG", 512)
    monkeypatch.setattr(pieces, "ALONE", (0, 32))
    monkeypatch.setattr(pieces, "LEARNED", (0, 64))
    k = torch.randn(1, 1, pieces.LONG, 32).requires_grad_(gradients)

    def call() -> None:
        with torch.set_grad_enabled(gradients):
            y = ttr.solve("Uniform | Linear(map=taylor2) | Hebbian", ttr.Stream(k, k, k))
        if gradients:
            y.sum().backward()

    cut = peak_bytes(call, "cpu")
    monkeypatch.setattr(pieces, "LONG", 2 * pieces.LONG)
    assert cut < most * peak_bytes(call, "cpu")


EXACT = "Gate | Linear | Exact"


def test_matrices_formed_once_more_have_the_same_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = solved(EXACT, gradients=True)
    monkeypatch.setattr(normal_equations, "AGAIN", 1)
    monkeypatch.setattr(normal_equations, "BLOCK", 4)
    for found, wanted in zip(solved(EXACT, gradients=True), whole, strict=True):
        assert (found - wanted).norm() <= 1e-9 * wanted.norm()


def test_matrices_formed_once_more_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    k, decay = torch.randn(1, 1, 512, 16).requires_grad_(), -torch.rand(1, 1, 512, 1)

    def call() -> None:
        ttr.solve(EXACT, ttr.Stream(k, k, k, {"decay": decay})).sum().backward()

    kept = peak_bytes(call, "cpu")
    monkeypatch.setattr(normal_equations, "AGAIN", 1)
    assert peak_bytes(call, "cpu") < 0.3 * kept
