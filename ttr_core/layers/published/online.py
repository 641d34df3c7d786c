"""Online learners: a step on the newest pair."""

from __future__ import annotations

from dataclasses import replace

from ...space.ingredient import Paper
from ...space.spec import Spec
from ..frame import Frame
from .entry import Published
from .gated import MAMBA

CONV = Frame(conv=4, conv_activation="silu", qk_norm="l2")

ENTRIES = (
    Published(
        name="deltanet",
        parent="linear-attention",
        spec=Spec.parse("Uniform | Linear | SGD"),
        frame=CONV,
        paper=Paper(
            "Parallelizing Linear Transformers with the Delta Rule over Sequence Length",
            "Yang et al.",
            2024,
            "https://arxiv.org/abs/2406.06484",
        ),
        summary="Stochastic gradient descent on least squares, a step per token.",
        deviation="None in the recurrence; the step has a bias.",
        evidence="code",
    ),
    Published(
        name="gated-deltanet",
        parent="deltanet",
        spec=Spec.parse("Gate | Linear | SGD"),
        frame=Frame(conv=4, conv_activation="silu", qk_norm="l2", output_gate="silu"),
        paper=Paper(
            "Gated Delta Networks: Improving Mamba2 with Delta Rule",
            "Yang et al.",
            2024,
            "https://arxiv.org/abs/2412.06464",
        ),
        summary="The delta rule with weight decay: the memory fades before each step.",
        deviation=(
            "The gate is a sigmoid started at half-lives from 16 tokens to the sequence length "
            "(paper: Mamba-2's exp(-A softplus)); values have the size of keys (paper: twice)."
        ),
        evidence="code",
    ),
    Published(
        name="longhorn",
        parent="longhorn-exact",
        spec=Spec.parse("Uniform | Linear | DiagonalImplicit"),
        frame=replace(MAMBA, gates="proximal"),
        paper=Paper(
            "Longhorn: State Space Models are Amortized Online Learners",
            "Liu et al.",
            2024,
            "https://arxiv.org/abs/2407.14207",
        ),
        summary="The proximal step with the diagonal of its Hessian, in a Mamba block.",
        deviation=(
            "None in the recurrence. The skip starts at 0 (public code: 1), and keys start from "
            "the projection of the queries."
        ),
        evidence="code",
    ),
    Published(
        name="longhorn-exact",
        parent="deltanet",
        spec=Spec.parse("Uniform | Linear | Implicit"),
        frame=Frame(
            source="values", conv=4, conv_on=("v",), conv_activation="silu", output_gate="silu"
        ),
        paper=Paper(
            "Longhorn: State Space Models are Amortized Online Learners",
            "Liu et al.",
            2024,
            "https://arxiv.org/abs/2407.14207",
        ),
        summary="The proximal step on the newest pair, solved exactly.",
        deviation=(
            "The exact solution of the paper's objective (the shipped layer takes its diagonal), "
            "one step per head (paper: per value channel), delta through softplus (paper: "
            "sigmoid)."
        ),
        evidence="code",
    ),
    Published(
        name="kaczmarz",
        parent="deltanet",
        spec=Spec.parse("Uniform | Linear | NLMS"),
        frame=Frame(conv=4, conv_activation="silu"),
        paper=Paper(
            "Test-time regression: a unifying framework for designing sequence models with "
            "associative memory",
            "Wang, Shi and Fox",
            2025,
            "https://arxiv.org/abs/2501.12352",
        ),
        summary="The smallest change of the memory that answers the newest pair exactly.",
        deviation=(
            "1e-6 is added to |k|^2. The paper gives the update and no layer: the frame is "
            "DeltaNet's with q and k as they are, for on unit keys this is DeltaNet at step 1."
        ),
        evidence="paper",
    ),
)
