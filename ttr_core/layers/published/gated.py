"""Running sums whose gates choose, token by token, what fades and what is written."""

from __future__ import annotations

from dataclasses import replace

from ...space.ingredient import Paper
from ...space.spec import Spec
from ..frame import Frame
from .entry import Published

MAMBA = Frame(
    heads="channels",
    key_dim=16,
    qk_heads=1,
    expand=2,
    source="values",
    conv=4,
    conv_on=("v",),
    conv_activation="silu",
    conv_bias=True,
    gates="selective",
    skip="values",
    output_norm="none",
    output_gate="silu",
)
"""The Mamba block: keys, queries and steps from convolved values, each channel with its memory."""
TRAPEZOID = Frame(
    key_dim=64,
    qk_heads=1,
    expand=2,
    qk_norm="rms",
    gates="trapezoid",
    skip="values",
    output_norm="none",
    output_gate="silu",
)
TRAPEZOID_SHIFTED = replace(TRAPEZOID, conv=2, conv_on=("k",))

ENTRIES = (
    Published(
        name="hgrn2",
        parent="gla",
        spec=Spec.parse("ChannelGate | Linear | Hebbian"),
        frame=Frame(conv=4, q_activation="silu", gates="complement_keys", output_norm="rms_all"),
        paper=Paper(
            "HGRN2: Gated Linear RNNs with State Expansion",
            "Qin et al.",
            2024,
            "https://arxiv.org/abs/2404.07904",
        ),
        summary="As many moving averages of the values as channels, mixed by the query.",
        deviation=(
            "None in the recurrence; no lower bound on the gates, as in the paper's first layer "
            "(decay_floor sets one). Gates have a bias, which starts them at half-lives from 16 "
            "tokens to the sequence length; the short convolution before queries, gates and "
            "values is optional in public code; the norm has a gain."
        ),
        evidence="code",
    ),
    Published(
        name="mamba",
        parent="linear-attention",
        spec=Spec.parse("ChannelGate * Importance | Linear | Hebbian"),
        frame=MAMBA,
        paper=Paper(
            "Mamba: Linear-Time Sequence Modeling with Selective State Spaces",
            "Gu and Dao",
            2023,
            "https://arxiv.org/abs/2312.00752",
        ),
        summary="A memory per channel, whose step size both weighs a pair and fades the past.",
        deviation=(
            "None in the recurrence. The skip starts at 0 (public code: 1), decay rates at "
            "1/16 to 1 (public code: 1 to 16), steps are spread over the channels (public code: "
            "drawn), and keys start from the projection of the queries."
        ),
        evidence="code",
    ),
    Published(
        name="mamba2",
        parent="mamba",
        spec=Spec.parse("Gate * Importance | Linear | Hebbian"),
        frame=Frame(
            key_dim=64,
            qk_heads=1,
            expand=2,
            conv=4,
            conv_activation="silu",
            conv_bias=True,
            gates="selective",
            skip="values",
            output_norm="rms_all",
            output_gate="silu",
            gate_place="before",
        ),
        paper=Paper(
            "Transformers are SSMs: Generalized Models and Efficient Algorithms Through "
            "Structured State Space Duality",
            "Dao and Gu",
            2024,
            "https://arxiv.org/abs/2405.21060",
        ),
        summary="Linear attention whose step size both weighs a pair and fades the past.",
        deviation=(
            "None in the recurrence. The state size is 64 (public code: 128), heads are the "
            "model's (paper: 64 channels each), the skip starts at 0 (public code: 1), rates "
            "and steps are spread over the heads (public code: drawn), and keys start from the "
            "projection of the queries."
        ),
        evidence="code",
    ),
    Published(
        name="mamba3",
        parent="mamba2",
        spec=Spec.parse("Gate * TwoTaps | Linear | OneStep"),
        frame=TRAPEZOID_SHIFTED,
        original=TRAPEZOID,
        paper=Paper(
            "Mamba-3: Improved Sequence Modeling using State Space Principles",
            "Lahoti et al.",
            2026,
            "https://arxiv.org/abs/2603.15569",
        ),
        summary=(
            "Mamba-2 that writes each pair twice, with its own token and with the next, into a "
            "memory that turns."
        ),
        deviation=(
            "None in the recurrence: its form of one input and one output. The state size is 64 "
            "(public code: 128), heads are the model's (paper: 64 channels each), q and k are "
            "RMS-normalized without a learned gain, the skip starts at 0 (public code: 1), keys "
            "start from the projection of the queries, and half-lives are spread from 16 tokens to "
            "the sequence length (public code: drawn). A width-2 convolution on the keys is added, "
            "without which one layer cannot see which token came before (original has the paper's "
            "frame)."
        ),
        evidence="code",
    ),
    Published(
        name="mlstm",
        parent="linear-attention",
        spec=Spec.parse("Gate * Importance | Linear | Hebbian | readout=Normalized(floor=abs1)"),
        frame=Frame(
            conv=4,
            conv_on=("q", "k"),
            conv_activation="silu",
            key_scale="root",
            gates="exponential",
            output_norm="layer",
            output_gate="sigmoid",
        ),
        paper=Paper(
            "xLSTM: Extended Long Short-Term Memory",
            "Beck et al.",
            2024,
            "https://arxiv.org/abs/2405.04517",
        ),
        summary="Linear attention that learns the weight of each pair and divides by their sum.",
        deviation=(
            "The logarithm of the input gate is capped softly at 15 and starts at 0, gates come "
            "from the layer's input and the output gate is a sigmoid, as in xLSTM 7B (the "
            "paper's block: no cap, gates from q, k and v, SiLU); q and k are convolved after "
            "their projection (paper: before), and there is no skip around the memory. No running "
            "maximum and no epsilon below."
        ),
        evidence="code",
    ),
    Published(
        name="rfa-gate",
        parent="rfa",
        spec=Spec.parse(
            "Gate * Importance | Linear(map=rff) | Hebbian "
            "| readout=Normalized(floor=clamp, eps=0.01)"
        ),
        frame=Frame(conv=2, conv_on=("k",), qk_norm="l2", gates="complement", output_norm="none"),
        paper=Paper(
            "Random Feature Attention",
            "Peng et al.",
            2021,
            "https://arxiv.org/abs/2103.02143",
        ),
        summary="Softmax attention by random features, under a moving average of the pairs.",
        deviation=(
            "One draw of the random rows for good (paper: another at each training step); the "
            "divisor is at least 0.01, since the sum crosses zero (no public code has the gate); "
            "gates start at half-lives from 16 tokens to the sequence length, and a width-2 "
            "convolution on the keys is added."
        ),
        evidence="paper",
    ),
    Published(
        name="gated-slot-attention",
        parent="gla",
        spec=Spec.parse("ChannelGate | Linear | Hebbian"),
        frame=Frame(
            conv=2, conv_on=("k",), gates="slots", decay_link="slow_log_sigmoid", decay_rank=16
        ),
        paper=Paper(
            "Gated Slot Attention for Efficient Linear-Time Sequence Modeling",
            "Zhang et al.",
            2024,
            "https://arxiv.org/abs/2409.07146",
        ),
        summary=(
            "GLA twice: what the first pass says is softmaxed over slots, and asks the second."
        ),
        deviation=(
            "As many slots as a key has entries (paper: 64). Queries, keys and values are not "
            "activated (paper: SiLU); gates are of rank 16 and start at half-lives from 16 tokens "
            "to the sequence length. A width-2 convolution on the keys is added, as to GLA."
        ),
        evidence="code",
    ),
    Published(
        name="log-linear-attention",
        parent="mamba2",
        spec=Spec.parse("Gate * Fenwick | Linear | OneStep"),
        frame=Frame(conv=4, conv_activation="silu", output_gate="silu"),
        paper=Paper(
            "Log-Linear Attention",
            "Guo et al.",
            2025,
            "https://arxiv.org/abs/2506.04761",
        ),
        summary=(
            "Gated linear attention that reads spans of 1, 1, 2, 4, ... tokens back, each with a "
            "weight of the token's own."
        ),
        deviation=(
            "None in the weights: that of gated linear attention, without Mamba-2's write gate. "
            "Computed from all pairs, in T^2 (paper: from log T memories, in T log T); 16 levels. "
            "The gate is one number per token, at a half-life of the sequence length at first."
        ),
        evidence="code",
    ),
)
