"""Regression with a kernel, and local regression beyond the line."""

from __future__ import annotations

from ...space.ingredient import Paper
from ...space.spec import Spec
from ..frame import PAPER, Frame
from .entry import Published

TTR = Paper(
    "Test-time regression: a unifying framework for designing sequence models with associative "
    "memory",
    "Wang, Shi and Fox",
    2025,
    "https://arxiv.org/abs/2501.12352",
)

ENTRIES = (
    Published(
        name="kernel-regression",
        parent="intention",
        spec=Spec.parse("Uniform | Kernel(kernel=gaussian, scale=4.0) | Exact(ridge=0.1)"),
        frame=PAPER,
        paper=TTR,
        summary="Kernel ridge regression of every prefix: Intention with a kernel.",
        deviation=(
            "The paper's Eq. 43 has no ridge; 0.1 keeps repeated keys solvable. It names no "
            "kernel: a Gaussian on unit keys, in its frame for recall, of a learned scale, one per "
            "head, which starts at 4, a bandwidth of 1/2."
        ),
        evidence="paper",
    ),
    Published(
        name="soft",
        parent="softmax-attention",
        spec=Spec.parse("Uniform | Kernel(kernel=gaussian, scale=none) | OneStep"),
        frame=Frame(conv=2, conv_on=("k",), qk_norm="rms"),
        paper=Paper(
            "SOFT: Softmax-free Transformer with Linear Complexity",
            "Lu et al.",
            2021,
            "https://arxiv.org/abs/2110.11945",
        ),
        summary="Gaussian kernel attention without a denominator: one step in the kernel's space.",
        deviation=(
            "The causal form, over all pairs, without the Nystrom landmarks (from the whole image "
            "they would leak the future). Keys start from the queries' projection but are not tied "
            "to it (paper: one projection for both); a width-2 convolution on keys, RMS-normalized "
            "q and k and an output norm, since sums without a denominator grow."
        ),
        evidence="code",
    ),
    Published(
        name="local-quadratic-attention",
        parent="local-linear-attention",
        spec=Spec.parse("ExpKernel(scale=2.0) | Quadratic | Exact(ridge=1.0)"),
        frame=PAPER,
        paper=TTR,
        summary="Softmax attention with a slope and a curvature: a local parabola.",
        deviation=(
            "The paper fits polynomials without a ridge; here slopes and curvatures have one, so "
            "that few pairs are enough. The solve is dense and centered, in the dual. The frame "
            "is its frame for recall, with unit queries and a learned scale of the kernel, one per "
            "head, which starts at 2."
        ),
        evidence="paper",
    ),
    Published(
        name="sigma-intention",
        parent="softmax-attention",
        spec=Spec.parse("Whitened(ridge=0.01, scale=1.0, moment=mean) | Constant | Exact"),
        frame=PAPER,
        paper=Paper(
            "Exploring the Space of Key-Value-Query Models with Intention",
            "Garnelo and Czarnecki",
            2023,
            "https://arxiv.org/abs/2305.10203",
        ),
        summary="Softmax attention whose queries are whitened by the keys seen so far.",
        deviation=(
            "The causal form, by prefix (the original is bidirectional). Softmax is over pairs, "
            "in analogy to attention; public codes disagree. The moment is the mean of k k^T and "
            "not the sum, under which logits shrink as 1/t; the ridge is an option, the scale is "
            "learned, one per head, from 1 on (paper: none), and the frame is the TTR paper's for "
            "recall."
        ),
        evidence="secondary",
    ),
)
