"""Frame: what surrounds the regression in a layer, from projections to output norm.

The frame is not an ingredient: it decides how tokens become keys, values, queries and signals,
not what is done with them. Comparisons hold it fixed (``standard``); fidelity takes the paper's
own (``published``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .errors import unknown
from .ingredient import check_options, option


@dataclass(frozen=True)
class Frame:
    """The surroundings of a regression.

    Args:
        conv: width of the causal depthwise convolution; 0 for none.
        conv_on: which of q, k, v it is applied to.
        conv_activation: what follows it.
        qk_norm: normalization of queries and keys, per head.
        temperature: what scales the logits of kernel weights; ``learned`` multiplies the query
            by one number per head.
        sharpness: where a learned temperature starts: the factor of the cosine in the logits.
        rope: base of rotary positions on q and k; 0 for none.
        decay_link: what turns a projection into a log decay.
        decay_rank: rank of the projection of a decay per feature; 0 for full.
        output_norm: normalization of each head's output.
        output_gate: activation of a gate on the output.
    """

    conv: int = option(0, "width of the short causal convolution, in tokens; 0: none", 0, 64)
    conv_on: tuple[str, ...] = option(("q", "k", "v"), "what the convolution is applied to")
    conv_activation: str = option(
        "none", "activation after the convolution", choices=("none", "silu")
    )
    qk_norm: str = option("none", "normalization of q and k", choices=("none", "l2", "rms"))
    temperature: str = option("fixed", "what scales kernel logits", choices=("fixed", "learned"))
    sharpness: float = option(16.0, "where a learned temperature starts", 0.01, 1000.0)
    rope: float = option(0.0, "base of rotary positions; 0: none", 0.0, 1e9)
    decay_link: str = option(
        "log_sigmoid", "link of decays", choices=("log_sigmoid", "slow_log_sigmoid")
    )
    decay_rank: int = option(16, "rank of the projection of a decay per feature", 0, 4096)
    output_norm: str = option("rms", "normalization of each head's output", choices=("none", "rms"))
    output_gate: str = option(
        "none", "activation of the output gate", choices=("none", "silu", "sigmoid")
    )

    def __post_init__(self) -> None:
        check_options(self)
        for name in self.conv_on:
            if name not in ("q", "k", "v"):
                raise unknown("tensor for the convolution", name, ("q", "k", "v"))

    def settings(self) -> dict[str, Any]:
        """Returns every setting as plain values."""
        return {**asdict(self), "conv_on": list(self.conv_on)}


STANDARD = Frame(conv=4, qk_norm="l2", temperature="learned")
"""The controlled comparison: the same surroundings for every regression."""

PAPER = Frame(conv=2, conv_on=("k",), qk_norm="l2", temperature="learned")
"""The TTR paper's associative recall: a width-2 convolution on the keys alone."""

FRAMES: dict[str, Frame | None] = {"standard": STANDARD, "paper": PAPER, "published": None}
"""By name; ``published`` is the catalog entry's own."""
