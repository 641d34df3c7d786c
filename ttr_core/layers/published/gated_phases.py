"""Running sums whose decays are per channel, complex, or learned and fixed."""

from __future__ import annotations

from ...space.ingredient import Paper
from ...space.spec import Spec
from ..frame import Frame
from .entry import Published

ENTRIES = (
    Published(
        name="rwkv6",
        parent="gla",
        spec=Spec.parse("ChannelGate | Linear | Hebbian | readout=Bonus"),
        frame=Frame(
            shift="data",
            shift_rank=32,
            gates="double_exponential",
            decay_rank=64,
            output_norm="layer",
            output_gate="silu",
        ),
        paper=Paper(
            "Eagle and Finch: RWKV with Matrix-Valued States and Dynamic Recurrence",
            "Peng et al.",
            2024,
            "https://arxiv.org/abs/2404.05892",
        ),
        summary="Gated linear attention read before each pair is stored, the newest with a bonus.",
        deviation=(
            "Decays, bonus and token shift start as the first layer's at any depth, the first maps "
            "of the low-rank shares at random up to 1e-4 (paper: 0), and the projections as "
            "everywhere here, keys as queries (paper: orthogonal, the output from 0). The norm of "
            "each head has no bias and adds 1e-6 to the variance (paper: 6.4e-4)."
        ),
        evidence="code",
    ),
    Published(
        name="gateloop",
        parent="linear-attention",
        spec=Spec.parse("Gate | Linear | Hebbian"),
        frame=Frame(
            heads="channels",
            expand=8,
            key_dim=2,
            gates="phases",
            conv=2,
            conv_on=("k",),
            output_norm="rms_all",
            output_gate="silu",
        ),
        paper=Paper(
            "GateLoop: Fully Data-Controlled Linear Recurrence for Sequence Modeling",
            "Katsch",
            2023,
            "https://arxiv.org/abs/2311.01927",
        ),
        summary="A complex running sum per channel: a gate fades it, a chosen phase turns it.",
        deviation=(
            "None in the recurrence, in real numbers: a complex channel is a head with keys of "
            "size 2. A width-2 convolution on the keys is added (with one number per key and no "
            "look back, no pair of tokens can be bound), and the gates start at half-lives from "
            "16 tokens to the sequence length. Eight channels for each of the model's (paper: one, "
            "expand=1): what a channel answers of another pair is noise, which only their number "
            "averages; 8 pairs, d 64, one layer, 600 steps: .35 with one, .86 with 4, .95 with 8. "
            "Phases are 0.03 of their projection, so that they are learned slowly. The paper's "
            "norm is known from reproductions."
        ),
        evidence="secondary",
    ),
    Published(
        name="lru",
        parent="linear-attention",
        spec=Spec.parse("LearnedDecay | Linear | Hebbian"),
        frame=Frame(
            heads="pairs",
            expand=2,
            key_dim=1,
            gates="oscillators",
            skip="input",
            output_norm="none",
        ),
        paper=Paper(
            "Resurrecting Recurrent Neural Networks for Long Sequences",
            "Orvieto et al.",
            2023,
            "https://arxiv.org/abs/2303.06349",
        ),
        summary="A complex running sum per head with no key and no query: time is its only key.",
        deviation=(
            "The recurrence with its skip alone: the GELU and the gated linear unit after it are "
            "left out. As many complex numbers as the model has channels; moduli start evenly "
            "spread (paper: at random), B at variance 1 / D in each part (paper: 1 / 2D), C at "
            "1 / 2N (paper: 1 / N)."
        ),
        evidence="code",
        limit=(
            "No content key: what it stores is found again by its age alone. .03 of 8 pairs (64 "
            "tokens, one layer, 1000 steps), as with a convolution of 2 on its values; .99 after "
            "176 steps where the same heads, decays and skip get keys and queries of 64 and a "
            "convolution of 2 on the keys."
        ),
    ),
)
