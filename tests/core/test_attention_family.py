"""The softmax side and what it borders on: where its members coincide, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from papers import RECURRENCES
from streams import stream
from test_properties import close

import ttr_core as ttr


def test_a_bias_of_nothing_and_a_window_of_all_are_softmax_attention() -> None:
    softmax = ttr.catalog["softmax-attention"].spec
    x = stream(softmax, 20)
    for weights in ("Decay(gamma=1.0) * ExpKernel", "ExpKernel * Window(size=20)"):
        close(ttr.solve(f"{weights} | Constant | Exact", x), ttr.solve(softmax, x))


def test_the_slopes_of_a_bias_are_those_of_the_paper() -> None:
    """A geometric sequence from 2^(-8 / n) on, of that ratio (Press et al. 2021, Sec. 3)."""
    weights = ttr.catalog["alibi"].spec.weights
    slopes = -weights.parameters(4, 4, 8)["0.log_decay"]
    close(slopes, 2.0 ** -torch.arange(1.0, 9.0, dtype=torch.float64))


def test_what_a_window_has_passed_is_gone() -> None:
    spec = ttr.catalog["sliding-window-attention"].spec
    x = stream(spec, 70)
    later = replace(x, v=torch.cat([0 * x.v[:, :, :1], x.v[:, :, 1:]], 2))
    changed = (ttr.solve(spec, x) - ttr.solve(spec, later)).abs().amax((0, 1, 3)) > 0
    assert changed.tolist() == [t < 64 for t in range(70)]


def test_a_power_of_even_degree_is_retention_and_one_of_odd_degree_is_refused() -> None:
    spec = "Gate | Linear(map=polynomial(degree={})) | Hebbian | readout=Normalized"
    x = stream(ttr.Spec.parse(spec.format(4)), 20, heads=1)
    q, k, v, decay = (z[0, 0] for z in (x.q, x.k, x.v, x.signals["decay"]))
    squares = torch.stack([torch.outer(z, z).flatten() for z in (*q, *k)]).split(len(q))
    wanted = RECURRENCES["power-retention"](*squares, v, decay)
    close(ttr.solve(spec.format(4), x)[0, 0], wanted)
    with pytest.raises(ttr.IncompatibleSpec, match=r"crosses zero: to an odd power, 3, .* even"):
        ttr.resolve(spec.format(3))
    ttr.resolve(spec.format("3").replace("Normalized", "Normalized(floor=abs1)"))
