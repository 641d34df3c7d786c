"""Least squares solved exactly at every token."""

from __future__ import annotations

from ...space.ingredient import Paper
from ...space.spec import Spec
from ..frame import PAPER, Frame
from .entry import Published

ENTRIES = (
    Published(
        name="mesa-layer",
        spec=Spec.parse("Uniform | Linear | Exact(ridge=1.0)"),
        frame=PAPER,
        paper=Paper(
            "Uncovering mesa-optimization algorithms in Transformers",
            "von Oswald et al.",
            2023,
            "https://arxiv.org/abs/2309.05858",
        ),
        summary="Recursive least squares: the ridge regression of every prefix, exactly.",
        deviation=(
            "The ridge is an option and not learned (it is the inverse of the paper's lambda), "
            "and the frame is the TTR paper's for recall: unit q and k, a width-2 convolution on "
            "keys, an output norm."
        ),
        evidence="paper",
    ),
    Published(
        name="intention",
        parent="mesa-layer",
        spec=Spec.parse("Uniform | Linear | Exact(ridge=1.0)"),
        frame=PAPER,
        paper=Paper(
            "Exploring the Space of Key-Value-Query Models with Intention",
            "Garnelo and Czarnecki",
            2023,
            "https://arxiv.org/abs/2305.10203",
        ),
        summary="The ridge regression of values on keys, read at the query: the mesa-layer's fit.",
        deviation=(
            "The causal form, each query with the least squares of its own prefix (the original "
            "is bidirectional, over a whole set); the ridge is an option (paper: fixed or "
            "learned), and the frame is the TTR paper's for recall."
        ),
        evidence="secondary",
    ),
    Published(
        name="mesanet",
        parent="mesa-layer",
        spec=Spec.parse("Gate * Importance | Linear | Exact"),
        frame=Frame(conv=4, conv_on=("q", "k"), conv_activation="silu", qk_norm="l2"),
        paper=Paper(
            "MesaNet: Sequence Modeling by Locally Optimal Test-Time Training",
            "von Oswald et al.",
            2025,
            "https://arxiv.org/abs/2506.05233",
        ),
        summary=(
            "The mesa-layer with a gate on the past and a weight on each pair, under a ridge that "
            "stays."
        ),
        deviation=(
            "The solve is exact (paper: 30 conjugate gradients); the ridge is 1, where the paper's "
            "starts (paper: learned per head and channel). The gate starts at half-lives from 16 "
            "tokens to the sequence length (public code: 1 token)."
        ),
        evidence="code",
    ),
    Published(
        name="gated-kalmanet",
        parent="mesanet",
        spec=Spec.parse("Gate * Importance | Linear | Chebyshev | readout=Mixed"),
        frame=Frame(conv=4, conv_activation="silu", qk_norm="l2", output_gate="silu"),
        paper=Paper(
            "Gated KalmaNet: A Fading Memory Layer Through Test-Time Ridge Regression",
            "Peng et al.",
            2025,
            "https://arxiv.org/abs/2511.21016",
        ),
        summary=(
            "MesaNet with a ridge in proportion to the moments, thirty Chebyshev steps, and a "
            "share of linear attention in what is read."
        ),
        deviation=(
            "None in the recurrence. The weight of a pair is a sigmoid (paper: its square, keys "
            "and values both times a sigmoid plus 1e-6); gradients are those of the steps (public "
            "kernels: of the exact solution). The gate starts at half-lives from 16 tokens to the "
            "sequence length (paper: Mamba-2's)."
        ),
        evidence="code",
    ),
)
