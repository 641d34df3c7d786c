"""What the short convolution on the keys is for: the same training with and without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ttr_core.lab import TASKS

from .claim import Scale, Thesis
from .party import Party, trained_as
from .ranking import Duel, Entrant, Ranking

RECALLED = TASKS["mqar"].main().name
LAYERS = ("linear-attention", "deltanet")
FRAMED = {"with the convolution": "paper", "without it": "paper-without-convolution"}
SEEDS_AT: Mapping[Scale, int] = {"quick": 3, "paper": 10}


def with_and_without(scale: Scale) -> tuple[Party, ...]:
    """Returns layers in the paper's frame and in the same without its convolution."""

    def plan(layer: str, frame: str) -> dict[str, Any]:
        return {
            "layers": [layer],
            "tasks": [{"name": "mqar", "pairs": "8", "seq_len": "64", "vocab_size": "64"}],
            "model": {"frame": frame, "d_model": "32", "depth": "1", "heads": "1"},
            "train": {"steps": "300", "lr": "0.01"},
            "seeds": [str(seed) for seed in range(SEEDS_AT[scale])],
        }

    return tuple(
        Party(f"{layer} {said}", plan(layer, frame))
        for layer in LAYERS
        for said, frame in FRAMED.items()
    )


def _needed(labels: Sequence[str]) -> tuple[Duel, ...]:
    having, bare = FRAMED
    return tuple(
        Duel(Entrant(f"{layer} {having}", RECALLED), Entrant(f"{layer} {bare}", RECALLED))
        for layer in LAYERS
    )


CLAIMS: tuple[Thesis, ...] = (
    Ranking(
        "one-short-convolution",
        "A single layer recalls the token that follows another only with a short convolution on "
        "the keys, which makes the key of a token from the one before it.",
        "TTR (https://arxiv.org/abs/2501.12352), section 6, which shows no numbers for it",
        trained_as(with_and_without("quick")[0]),
        runs=with_and_without,
        asked=_needed,
        higher=True,
    ),
)
