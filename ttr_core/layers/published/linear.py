"""One gradient step from zero: linear attention and its decays."""

from __future__ import annotations

from dataclasses import replace

from ...space.ingredient import Paper
from ...space.spec import Spec
from ..frame import PAPER, Frame
from .entry import Published

GLA = Frame(decay_link="slow_log_sigmoid", decay_rank=16, output_gate="silu")

ENTRIES = (
    Published(
        name="linear-attention",
        spec=Spec.parse("Uniform | Linear | Hebbian"),
        frame=PAPER,
        paper=Paper(
            "Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention",
            "Katharopoulos et al.",
            2020,
            "https://arxiv.org/abs/2006.16236",
        ),
        summary="Least squares with the covariance of the keys left out.",
        deviation=(
            "Identity features and an output norm in place of 1 + elu and the division by the "
            "summed weights (the TTR paper's reading), in its frame for recall."
        ),
        evidence="code",
    ),
    Published(
        name="linear-attention-elu",
        parent="linear-attention",
        spec=Spec.parse("Uniform | Linear(map=elu1) | Hebbian | readout=Normalized"),
        frame=Frame(conv=2, conv_on=("k",), output_norm="none"),
        paper=Paper(
            "Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention",
            "Katharopoulos et al.",
            2020,
            "https://arxiv.org/abs/2006.16236",
        ),
        summary="The mean of the values under a kernel of positive features, in one running sum.",
        deviation=(
            "None in the recurrence (1e-6 below as in the authors' code); a width-2 convolution "
            "on the keys stands in for positions added to the embedding."
        ),
        evidence="code",
    ),
    Published(
        name="dpfp",
        parent="linear-attention-elu",
        spec=Spec.parse("Uniform | Linear(map=dpfp) | Hebbian | readout=Normalized"),
        frame=Frame(conv=2, conv_on=("k",), output_norm="none"),
        paper=Paper(
            "Linear Transformers Are Secretly Fast Weight Programmers",
            "Schlag et al.",
            2021,
            "https://arxiv.org/abs/2102.11174",
        ),
        summary="Normalized linear attention on sparse products of rectified coordinates.",
        deviation=(
            "The paper's sum rule with its attention normalization (its delta rule is another "
            "point: Linear(map=dpfp) with SGD), nu = 1, 1e-6 added to the divisor, a width-2 "
            "convolution on the keys."
        ),
        evidence="paper",
    ),
    Published(
        name="retnet",
        parent="linear-attention",
        spec=Spec.parse("Decay | Linear | Hebbian"),
        frame=Frame(rope=10000.0, conv=2, conv_on=("k",), output_gate="silu"),
        original=Frame(rope=10000.0, output_gate="silu"),
        paper=Paper(
            "Retentive Network: A Successor to Transformer for Large Language Models",
            "Sun et al.",
            2023,
            "https://arxiv.org/abs/2307.08621",
        ),
        summary="Linear attention whose past fades at a fixed rate per head.",
        deviation=(
            "Values have the size of keys (paper: twice), the output norm has a gain, and the "
            "rotary exponents are RoPE's (the paper's end at 1). A lone head is the last of the "
            "paper's eight. "
            "A width-2 convolution on the keys is added, without which one layer cannot see which "
            "token came before (original has the paper's frame)."
        ),
        evidence="code",
    ),
    Published(
        name="gla",
        parent="linear-attention",
        spec=Spec.parse("ChannelGate | Linear | Hebbian"),
        frame=replace(GLA, conv=2, conv_on=("k",)),
        original=GLA,
        paper=Paper(
            "Gated Linear Attention Transformers with Hardware-Efficient Training",
            "Yang et al.",
            2023,
            "https://arxiv.org/abs/2312.06635",
        ),
        summary="Linear attention whose key channels fade each by a gate of its own.",
        deviation=(
            "Keys have the size of values (paper: half), and gates start at half-lives from 16 "
            "tokens to the sequence length (paper: 16). "
            "A width-2 convolution on the keys is added, without which one layer cannot see which "
            "token came before (original has the paper's frame)."
        ),
        evidence="code",
    ),
    Published(
        name="power-retention",
        parent="polynomial",
        spec=Spec.parse("Gate | Linear(map=polynomial) | Hebbian | readout=Normalized"),
        frame=Frame(conv=2, conv_on=("k",), output_norm="layer"),
        original=Frame(output_norm="layer"),
        paper=Paper(
            "Scaling Context Requires Rethinking Attention",
            "Buckman, Gelada and Zhang",
            2025,
            "https://arxiv.org/abs/2507.04239",
        ),
        summary=(
            "Linear attention on the monomials of an even degree, gated and divided by its weights."
        ),
        deviation=(
            "Degree 2; map=polynomial(degree=4) is the paper's other, with 766 480 features at "
            "K = 64. 1e-6 is added to the divisor itself (public code: to one that is relative to "
            "the largest weight). The gate starts at a half-life of the sequence length; the "
            "output norm has a gain. "
            "A width-2 convolution on the keys is added, without which one layer cannot see which "
            "token came before (original has the paper's frame)."
        ),
        evidence="code",
    ),
)
