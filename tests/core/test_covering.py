"""What the default tests draw from the grid."""

from __future__ import annotations

from itertools import product

from streams import PUBLISHED, TESTED, accepting, by_default

from ttr_core.space.functions import Network
from ttr_core.space.optimizers import ChunkStart

DRAWN = [spec for spec in TESTED if by_default(spec)]


def quick(spec: object) -> bool:
    return not isinstance(spec.function, Network) and not isinstance(spec.optimizer, ChunkStart)


def test_every_choice_and_solver_and_published_layer_is_drawn() -> None:
    for part in ("weights", "function", "optimizer", "loss", "readout"):
        assert {getattr(s, part) for s in DRAWN} == {getattr(s, part) for s in TESTED}, part
    assert {n for s in DRAWN for n in accepting(s)} == {n for s in TESTED for n in accepting(s)}
    assert set(DRAWN) >= PUBLISHED


def test_every_pair_of_axes_that_is_quickly_tested_is_drawn() -> None:
    axes = ("weights", "function", "optimizer")
    for one, other in product(axes, axes):
        pairs = [
            {(getattr(s, one), getattr(s, other)) for s in some if quick(s)}
            for some in (DRAWN, TESTED)
        ]
        assert pairs[0] == pairs[1], (one, other)


def test_few_are_drawn() -> None:
    assert len(DRAWN) < len(TESTED) / 3
