"""Online learners that take several steps per token."""

from __future__ import annotations

from ...space.ingredient import Paper
from ...space.spec import Spec
from ..frame import Frame
from .entry import Published

ENTRIES = (
    Published(
        name="deltaproduct",
        parent="deltanet",
        spec=Spec.parse("Uniform | Linear | MultiStep(n=2)"),
        frame=Frame(conv=4, conv_activation="silu", qk_norm="l2"),
        paper=Paper(
            "DeltaProduct: Improving State-Tracking in Linear RNNs via Householder Products",
            "Siems et al.",
            2025,
            "https://arxiv.org/abs/2502.10297",
        ),
        summary="Two delta-rule steps per token, each on a key, a value and a step of its own.",
        deviation=(
            "Without the forget gate: under the weights Gate it is the paper's Gated DeltaProduct. "
            "The second key and value are projected from the layer's input as they are (paper: "
            "convolved and activated like the first). The steps have a bias; the "
            "first starts at 0.5, the others at 0.02 (public code: all at 1), for nothing is known "
            "of their keys yet."
        ),
        evidence="code",
    ),
)
