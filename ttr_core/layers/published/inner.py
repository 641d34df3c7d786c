"""Memories trained by gradient steps of a chunk: TTT, Titans and Miras."""

from __future__ import annotations

from dataclasses import replace

from ...space.ingredient import Paper
from ...space.spec import Spec
from ..frame import Frame
from .entry import Published

TTT = Paper(
    "Learning to (Learn at Test Time): RNNs with Expressive Hidden States",
    "Sun et al.",
    2024,
    "https://arxiv.org/abs/2407.04620",
)
MIRAS = Paper(
    "It's All Connected: A Journey Through Test-Time Memorization, Attentional Bias, Retention, "
    "and Online Optimization",
    "Behrouz et al.",
    2025,
    "https://arxiv.org/abs/2504.13173",
)
MAMBA_BACKBONE = Frame(conv=4, conv_on=("q", "k"), output_gate="silu")
NORMALIZED = Frame(conv=4, qk_norm="l2", output_gate="silu")
CHUNK = (
    "Chunks of 16 tokens. Scalar gates per head (paper: per channel, from low-rank maps); the "
    "forget gate starts at half-lives from 256 tokens to the sequence length, or 256. "
)
POLYNOMIAL = replace(NORMALIZED, key_dim=16)
WINDOWS = (
    "Windows of 8 pairs, chunks of 16 tokens. No residual stands around the perceptron, whose "
    "answers are larger than its keys. Scalar gates per head; the forget gate starts at half-lives "
    "from 256 tokens to the sequence length, or 256. "
)
ATLAS = Paper(
    "Atlas: Learning to Optimally Memorize the Context at Test Time",
    "Behrouz et al.",
    2025,
    "https://arxiv.org/abs/2505.23735",
)
NARROW = (
    "The perceptron is as wide as its keys (paper: four times), for every token forms its own. "
)

ENTRIES = (
    Published(
        name="ttt-linear",
        parent="deltanet",
        spec=Spec.parse("Uniform | NormLinear | MiniBatch"),
        frame=MAMBA_BACKBONE,
        paper=TTT,
        summary="Mini-batch descent on a matrix within a norm and a residual, 16 tokens a batch.",
        deviation=(
            "The Mamba backbone of the public code with convolutions of q and k apart (code: of "
            "one shared projection), without rotary positions, gated by SiLU (code: GELU), output "
            "norm per head (code: over all)."
        ),
        evidence="code",
    ),
    Published(
        name="ttt-mlp",
        parent="ttt-linear",
        spec=Spec.parse("Uniform | MLP(activation=gelu_tanh, bias=true, std=0.02) | MiniBatch"),
        frame=MAMBA_BACKBONE,
        paper=TTT,
        summary="Mini-batch descent on a two-layer perceptron, 16 tokens a batch.",
        deviation=(
            "The base of the step is 1 (paper: 0.1, as far as we know); else that of ttt-linear."
        ),
        evidence="code",
    ),
    Published(
        name="titans",
        parent="ttt-mlp",
        spec=Spec.parse("Gate | MLP | ChunkMomentum(rate=0.1)"),
        frame=NORMALIZED,
        paper=Paper(
            "Titans: Learning to Memorize at Test Time",
            "Behrouz, Zhong and Mirrokni",
            2024,
            "https://arxiv.org/abs/2501.00663",
        ),
        summary="A perceptron trained by momentum with weight decay: the neural long-term memory.",
        deviation=(
            "The memory alone, without attention around it. Half the squared error (paper: the "
            "whole, so its step is half of ours), steps of at most 0.1; a norm and a residual "
            "around the perceptron; chunks of 16 tokens; the forget gate starts at half-lives from "
            "256 tokens to the sequence length, or 256; no SiLU before the convolution."
        ),
        evidence="paper",
    ),
    Published(
        name="omeganet",
        parent="titans",
        spec=Spec.parse("Gate * Importance | MLP(wrapped=false, map=taylor2(scale=1.0)) | Omega"),
        frame=POLYNOMIAL,
        paper=ATLAS,
        summary=(
            "Titans without momentum, on polynomial features, whose every step is on the newest "
            "pairs at once: the Omega rule."
        ),
        deviation=(
            WINDOWS
            + "Keys have 16 entries. Polynomials of degree 2 with the coefficients 1 / i! that the "
            "paper's start from (paper: learned). Steps of at most 0.01, on half the squared error "
            "(paper: the whole, so its step is half of ours)."
        ),
        evidence="secondary",
    ),
    Published(
        name="atlas",
        parent="omeganet",
        spec=Spec.parse(
            "Gate * Importance | MLP(expansion=1, wrapped=false, std=1.0, std_last=0.02) "
            "| ChunkMuon"
        ),
        frame=replace(NORMALIZED, key_dim=32),
        paper=ATLAS,
        summary="OmegaNet with momentum that is made orthogonal before it moves the memory: Muon.",
        deviation=(
            WINDOWS + "Keys have 32 entries, and the perceptron is as wide (paper: wider), without "
            "OmegaNet's polynomials (map=taylor2 has them): every token makes both its matrices "
            "orthogonal. Steps of at most 0.03. The first matrix starts at 1, so that it answers "
            "keys of unit length as public code's does those of a norm, the last at 0.02: a step "
            "has one size, and is lost in a start that is larger. With keys of 16, 90 % of 8 pairs "
            "takes 40 steps so, 180 where both start at 0.1, and 50 where the first starts at 0.25 "
            "(one seed each)."
        ),
        evidence="secondary",
    ),
    Published(
        name="lact",
        parent="ttt-mlp",
        spec=Spec.parse("Uniform | GatedMLP | LargeChunkMuon | loss=DotProduct"),
        frame=Frame(conv=4, conv_activation="silu", qk_norm="l2"),
        paper=Paper(
            "Test-Time Training Done Right",
            "Zhang et al.",
            2025,
            "https://arxiv.org/abs/2505.23884",
        ),
        summary=(
            "TTT-MLP with one step for a whole chunk, made orthogonal (Muon), on a gated "
            "perceptron whose units keep their norms."
        ),
        deviation=(
            "Chunks of 16 tokens and steps of .05 (code: 2 048 and 1). A convolution of 4 "
            "stands for the attention within a window that the paper has beside it, which reads "
            "the chunk itself. One step per token, a sigmoid (code: one for each matrix, a "
            "softplus), Newton-Schulz not in bfloat16; without rotary positions, scales and "
            "shifts of q and k, and the SiLU on the share of the output."
        ),
        evidence="code",
    ),
    Published(
        name="moneta",
        parent="titans",
        spec=Spec.parse(
            "Gate | MLP(expansion=1) | MirrorDescent(geometry=lq, rate=0.01) | loss=Lp"
        ),
        frame=NORMALIZED,
        paper=MIRAS,
        summary="The cubed error, and a memory divided by its own 4-norm squared.",
        deviation=(
            CHUNK
            + NARROW
            + "Steps of at most 0.01. The loss is |r|_3^3 / 3, smooth by 1e-6 (paper: its gradient "
            "smoothed by tanh); 1e-3 beside the 4-norm, which runs over each matrix; the memory "
            "starts from a learned A."
        ),
        evidence="secondary",
    ),
    Published(
        name="yaad",
        parent="titans",
        spec=Spec.parse("Gate | MLP | ChunkSGD | loss=Huber"),
        frame=NORMALIZED,
        paper=MIRAS,
        summary="Descent with weight decay on a perceptron, no pair pulling beyond a threshold.",
        deviation=CHUNK + "The threshold is on the length of the error.",
        evidence="secondary",
    ),
    Published(
        name="memora",
        parent="titans",
        spec=Spec.parse("Gate | MLP(expansion=1) | MirrorDescent(rate=0.01)"),
        frame=NORMALIZED,
        paper=MIRAS,
        summary="Entropic mirror descent: each matrix of the perceptron is columns of simplices.",
        deviation=(
            CHUNK
            + NARROW
            + "Steps of at most 0.01. The softmax runs over the inputs of each unit and applies to "
            "the memory of every token (paper: exact at the first of a chunk)."
        ),
        evidence="secondary",
    ),
)
