"""The delta family: the delta rule with decays, gates and steps of its own for more and more.

What each paper adds is a move in the space, and its summary says which.
"""

from __future__ import annotations

from dataclasses import replace

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
PRECONDITIONED = Paper(
    "Preconditioned DeltaNet: Curvature-aware Sequence Modeling for Linear Recurrences",
    "Tumma, Loo and Rus",
    2026,
    "https://arxiv.org/abs/2604.21100",
)
KALMAN = Paper("Kalman Delta Networks", "Yale", 2026, "https://arxiv.org/abs/2609.07816")

ENTRIES = (
    Published(
        name="kda",
        parent="gated-deltanet",
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
        parent="gated-deltanet",
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
    Published(
        name="gated-deltanet-2",
        parent="kda",
        spec=Spec.parse("ChannelGate | Linear | EraseWrite"),
        frame=KIMI,
        paper=Paper(
            "Gated DeltaNet-2: Decoupling Erase and Write in Linear Attention",
            "Hatamizadeh, Choi and Kautz",
            2026,
            "https://arxiv.org/abs/2605.22791",
        ),
        summary=(
            "KDA whose step to erase and step to write are apart, one gate per channel of the key "
            "and one per channel of the value."
        ),
        deviation=f"None in the recurrence. {GATE}, its map of rank 16; both gates have a bias.",
        evidence="code",
    ),
    Published(
        name="fg2-gdn",
        parent="kda",
        spec=Spec.parse("ChannelGate | Linear | ChannelSGD"),
        frame=KIMI,
        paper=Paper(
            "FG2-GDN: Enhancing Long-Context Gated Delta Networks with Doubly Fine-Grained Control",
            "Sun et al.",
            2026,
            "https://arxiv.org/abs/2604.19021",
        ),
        summary=(
            "KDA with a step per channel of the key and of the value, the key's on both its sides."
        ),
        deviation=(
            "Its variant with two gates (FG2-GDN+); with one for both, which needs values as large "
            f"as keys, it is FG2-GDN. {GATE}, its map of rank 16; the gates have a bias."
        ),
        evidence="secondary",
    ),
    Published(
        name="comba",
        parent="gated-deltanet",
        spec=Spec.parse("Gate | Linear | ClosedLoop"),
        frame=replace(KIMI, gates="corrected"),
        paper=Paper(
            "Comba: Improving Bilinear RNNs with Closed-loop Control",
            "Hu et al.",
            2025,
            "https://arxiv.org/abs/2506.02475",
        ),
        summary=(
            "Gated DeltaNet that feeds a learned share of its answer back, and reads with the "
            "query less a share of the key."
        ),
        deviation=(
            "The share is the paper's: in public code a norm within the kernel cancels it. D "
            "multiplies the key itself (paper: the shared key) and starts at 0.02, which public "
            f"code recommends for small models. {GATE}; values have the size of keys (paper: "
            "twice); the step has a bias."
        ),
        evidence="code",
    ),
    Published(
        name="rwkv7",
        parent="kda",
        spec=Spec.parse("ChannelGate | Linear | GeneralizedDelta"),
        frame=Frame(
            shift="data",
            gates="floored",
            output_norm="layer",
            output_gate="sigmoid",
        ),
        paper=Paper(
            'RWKV-7 "Goose" with Expressive Dynamic State Evolution',
            "Peng et al.",
            2025,
            "https://arxiv.org/abs/2503.14456",
        ),
        summary=(
            "KDA that erases along a key of its own, a rate per channel, what the memory held "
            "before forgetting."
        ),
        deviation=(
            "None in the recurrence. The shift is RWKV-6's, whose shares the data choose (paper: "
            "fixed ones); the bonus for the newest pair and the residual of the first layer's "
            "values are left out; the gate has full rank; starts are the first layer's at any "
            "depth."
        ),
        evidence="code",
    ),
    Published(
        name="efla",
        parent="deltanet",
        spec=Spec.parse("Uniform | Linear | GradientFlow"),
        frame=Frame(conv=4, conv_activation="silu"),
        paper=Paper(
            "Error-Free Linear Attention is a Free Lunch: Exact Solution from Continuous-Time "
            "Dynamics",
            "Lei, Zhang and Poria",
            2025,
            "https://arxiv.org/abs/2512.12602",
        ),
        summary="DeltaNet that follows the gradient flow exactly instead of taking one Euler step.",
        deviation=(
            "None in the recurrence; keys are not normalized, for on unit keys it is DeltaNet at "
            "another step. The time has a bias."
        ),
        evidence="paper",
    ),
    Published(
        name="kaczmarz-linear-attention",
        parent="gated-deltanet",
        spec=Spec.parse("Gate | Linear | NLMS(share=token)"),
        frame=Frame(conv=4, conv_activation="silu", output_gate="silu"),
        paper=Paper(
            "Kaczmarz Linear Attention",
            "Zou, Ren and Liu",
            2026,
            "https://arxiv.org/abs/2605.08587",
        ),
        summary="Gated DeltaNet whose step is normalized by the key's own length.",
        deviation=(
            "1e-6 is added to |k|^2. The frame is Gated DeltaNet's with q and k as they are, for "
            f"on unit keys this is Gated DeltaNet. {GATE}; the share of the way has a bias."
        ),
        evidence="secondary",
    ),
    Published(
        name="preconditioned-deltanet",
        parent="gated-deltanet",
        spec=Spec.parse("Gate | Linear | Preconditioned"),
        frame=DELTA,
        paper=PRECONDITIONED,
        summary=(
            "Gated DeltaNet whose step is longer along features that keys have had little of: PGDN."
        ),
        deviation=(
            f"None in the recurrence. {GATE}, as that of the squared keys; values have the size of "
            "keys (paper: twice); the step and the weight of the squares have a bias."
        ),
        evidence="code",
    ),
    Published(
        name="preconditioned-kda",
        parent="kda",
        spec=Spec.parse("ChannelGate | Linear | Preconditioned"),
        frame=KIMI,
        paper=PRECONDITIONED,
        summary="KDA whose step is longer along features that keys have had little of: PKDA.",
        deviation=(
            f"None in the recurrence. {GATE}, as that of the squared keys, its map of rank 16; the "
            "step and the weight of the squares have a bias."
        ),
        evidence="code",
    ),
    Published(
        name="iso-kdn",
        parent="kda",
        spec=Spec.parse("ChannelGate | Linear | Kalman"),
        frame=KIMI,
        paper=KALMAN,
        summary="KDA whose step is the gain of a Kalman filter with one variance.",
        deviation=(
            f"The variance before the first token is 1 (paper: learned, 1 at first). {GATE}, its "
            "map of rank 16."
        ),
        evidence="code",
    ),
    Published(
        name="diag-kdn",
        parent="kda",
        spec=Spec.parse("ChannelGate | Linear | DiagonalKalman"),
        frame=KIMI,
        paper=KALMAN,
        summary="KDA whose step is the gain of a Kalman filter with a variance per channel.",
        deviation=(
            f"The variance before the first token is 1 (paper: learned, 1 at first). {GATE}, its "
            "map of rank 16; the map of the drift has full rank (public code: low)."
        ),
        evidence="code",
    ),
    Published(
        name="momentum-deltanet",
        parent="gated-deltanet",
        spec=Spec.parse("Gate | Linear | Momentum(push_by=token, link=twice_sigmoid)"),
        frame=replace(DELTA, gates="corrected"),
        paper=Paper(
            "MDN: Parallelizing Stepwise Momentum for Delta Linear Attention",
            "Huang et al.",
            2026,
            "https://arxiv.org/abs/2605.05838",
        ),
        summary=(
            "Gated DeltaNet with momentum, which moves the memory by a share that each token "
            "chooses: MDN."
        ),
        deviation=(
            "None in the recurrence. Decay, step, momentum and share are projections of their own, "
            "each with a bias (paper: one angle ties the decay to the share); the query leaves out "
            "0.02 of the key at first (paper: 1 to 2.7, of the size of a head's draw); values have "
            "the size of keys (paper: twice)."
        ),
        evidence="code",
    ),
    Published(
        name="residual-deltanet",
        parent="gated-deltanet",
        spec=Spec.parse("Gate | Linear | Residual"),
        frame=DELTA,
        paper=Paper(
            "Enhancing Linear Attention with Residual Learning",
            "Lai et al.",
            2025,
            "https://arxiv.org/abs/2509.25223",
        ),
        summary="Gated DeltaNet with a second memory of the first one's clipped errors: RDN.",
        deviation=(
            f"Known from secondary texts. {GATE}; both steps have a bias; what surrounds the "
            "recurrence is Gated DeltaNet's."
        ),
        evidence="secondary",
    ),
)
