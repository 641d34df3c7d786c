"""What is no regression, for comparison."""

from __future__ import annotations

from ...space.ingredient import Paper
from ...space.spec import Spec
from ..frame import Frame
from .entry import Published

ENTRIES = (
    Published(
        name="orchid",
        spec=Spec.parse("LongConvolution | Constant | OneStep"),
        frame=Frame(conv=3, output_norm="none", output_gate="silu"),
        paper=Paper(
            "Orchid: Flexible and Data-Dependent Convolution for Sequence Modeling",
            "Karami and Ghodsi",
            2024,
            "https://arxiv.org/abs/2402.18508",
        ),
        summary="A baseline outside the frame: a long convolution whose filter the content bends.",
        deviation=(
            "The original is not causal: its filter sees the whole sequence, and its circular "
            "transform wraps around. Here the filter mixes a learned basis by the mean of what was "
            "seen, and the transform is padded; one layer of sines makes the basis, one filter "
            "per head (paper: per channel)."
        ),
        evidence="code",
        limit=(
            "No content key: a filter of the lag is one for all pairs of that lag. .13 of 8 pairs "
            "(64 tokens, one layer, 1000 steps), 1 / pairs, is the answer of one that copies any "
            "of the values; 1.00 after 132 steps where, in its own frame, its filters weigh "
            "pairs whose keys are compared: LongConvolution | Linear | OneStep."
        ),
    ),
    Published(
        name="higher-order-linear-attention",
        parent="linear-attention",
        spec=Spec.parse("Uniform | Linear | Hebbian"),
        frame=Frame(conv=2, conv_on=("k",), qk_norm="l2", gates="second_order"),
        paper=Paper(
            "Higher-order Linear Attention",
            "Zhang, Qin, Wang and Gu",
            2025,
            "https://arxiv.org/abs/2510.27258",
        ),
        summary=(
            "A baseline outside the frame: linear attention whose values are attached to queries, "
            "each seen through the moments of the keys."
        ),
        deviation=(
            "None in the recurrence, without its decay and its divisor, which are options. Queries "
            "and keys have length 1 (paper: queries over the root of their size). A width-2 "
            "convolution on the keys is added, as to linear attention."
        ),
        evidence="secondary",
    ),
)
