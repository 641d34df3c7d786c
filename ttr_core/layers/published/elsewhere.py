"""Cells that were published and have no entry in the catalog yet: their names and papers.

A cell without an entry is no discovery. What is named here was found in the literature by the
date of `AS_OF`; of every other cell nothing more is said than that this catalog lacks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from ...space.ingredient import Paper

AS_OF = date(2026, 11, 25)
"""When the literature was last looked through for the catalog and for `ELSEWHERE`."""


@dataclass(frozen=True)
class Elsewhere:
    """A published layer that has a cell here and no entry.

    Args:
        name: what its paper calls it.
        cell: text of its three ingredients; their numbers may differ.
        paper: where it was published.
        beyond: what of the published layer lies outside of the cell, or that nothing does.

    Example:
        >>> ELSEWHERE[0].name, ELSEWHERE[0].cell
        ('the memory of LUCID', 'Uniform | Kernel | SGD')
    """

    name: str
    cell: str
    paper: Paper
    beyond: str


ELSEWHERE = (
    Elsewhere(
        "the memory of LUCID",
        "Uniform | Kernel | SGD",
        Paper(
            "LUCID: Attention with Preconditioned Representations",
            "Duvvuri et al.",
            2026,
            "https://arxiv.org/abs/2602.10410",
        ),
        "Its memory takes whole steps under an exponential kernel of normalized keys, and is read "
        "by softmax attention.",
    ),
    Elsewhere(
        "average attention",
        "Uniform | Constant | Exact",
        Paper(
            "Accelerating Neural Transformer via an Average Attention Network",
            "Zhang, Xiong and Su",
            2018,
            "https://arxiv.org/abs/1805.00631",
        ),
        "A network on the average and a gate between it and the input.",
    ),
    Elsewhere(
        "minGRU",
        "Uniform | Constant | SGD",
        Paper(
            "Were RNNs All We Needed?",
            "Feng et al.",
            2024,
            "https://arxiv.org/abs/2410.01201",
        ),
        "A step for each channel: here as many heads as channels.",
    ),
    Elsewhere(
        "minLSTM",
        "Gate * Importance | Constant | Hebbian",
        Paper(
            "Were RNNs All We Needed?",
            "Feng et al.",
            2024,
            "https://arxiv.org/abs/2410.01201",
        ),
        "Gates for each channel that sum to one: here as many heads as channels, and a tie.",
    ),
    Elsewhere(
        "gated retention",
        "Gate | Linear | Hebbian",
        Paper(
            "You Only Cache Once: Decoder-Decoder Architectures for Language Models",
            "Sun et al.",
            2024,
            "https://arxiv.org/abs/2405.05254",
        ),
        "Its frame: gates near 1 through a temperature, rotary positions.",
    ),
)
"""In no order that counts; a layer leaves this list when it gets an entry."""
