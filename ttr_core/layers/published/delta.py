"""The delta family: the delta rule with decays, gates and steps of its own for more and more.

What each paper adds is a move in the space, and its summary says which.
"""

from __future__ import annotations

from ...space.ingredient import Paper
from ...space.spec import Spec
from ..frame import Frame
from .entry import Published

DELTA = Frame(conv=4, conv_activation="silu", qk_norm="l2", output_gate="silu")
KIMI = Frame(conv=4, conv_activation="silu", qk_norm="l2", output_gate="sigmoid")
GATE = (
    "The gate is a sigmoid started at half-lives from 16 tokens to the sequence length (paper: "
    "Mamba-2's exp(-A softplus))"
)

ENTRIES = (
    Published(
        name="kda",
        spec=Spec.parse("ChannelGate | Linear | SGD"),
        frame=KIMI,
        paper=Paper(
            "Kimi Linear: An Expressive, Efficient Attention Architecture",
            "Kimi Team",
            2025,
            "https://arxiv.org/abs/2510.26692",
        ),
        summary="Gated DeltaNet with a decay per channel: Kimi Delta Attention.",
        deviation=(
            f"None in the recurrence. {GATE}, its map of rank 16 (paper: the size of a head); the "
            "output gate has full rank (paper: that of a head); the step has a bias."
        ),
        evidence="code",
    ),
    Published(
        name="gated-deltaproduct",
        spec=Spec.parse("Gate | Linear | MultiStep(n=2)"),
        frame=DELTA,
        paper=Paper(
            "DeltaProduct: Improving State-Tracking in Linear RNNs via Householder Products",
            "Siems et al.",
            2025,
            "https://arxiv.org/abs/2502.10297",
        ),
        summary="Gated DeltaNet with two steps per token, each on a pair of its own.",
        deviation=(
            f"None in the recurrence. {GATE}; values have the size of keys (paper: twice). The "
            "second key and value are projected from the layer's input as they are (paper: "
            "convolved and activated like the first); the first step starts at 0.5, the other at "
            "0.02 (public code: both at 1), for nothing is known of its keys yet."
        ),
        evidence="code",
    ),
)
