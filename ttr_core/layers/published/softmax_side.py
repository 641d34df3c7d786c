"""Attention by other weights than softmax: sparse, broken, tilted, turned, corrected.

What each paper changes is how much a pair counts; the rest is softmax attention's.
"""

from __future__ import annotations

from ...space.ingredient import Paper
from ...space.spec import Spec
from ..frame import Frame
from .entry import Published

SHIFTED = (
    "A width-2 convolution on the keys is added, without which one layer cannot see which token "
    "came before (original has the paper's frame)."
)
PLAIN, PLAIN_SHIFTED = Frame(output_norm="none"), Frame(conv=2, conv_on=("k",), output_norm="none")
ADDED = "A width-2 convolution on the keys is added, as to softmax attention."
ROTARY = Frame(rope=10000.0, output_norm="none")
ROTARY_SHIFTED = Frame(rope=10000.0, conv=2, conv_on=("k",), output_norm="none")

ENTRIES = (
    Published(
        name="sparsemax-attention",
        parent="softmax-attention",
        spec=Spec.parse("Sparsemax | Constant | OneStep"),
        frame=PLAIN_SHIFTED,
        paper=Paper(
            "From Softmax to Sparsemax: A Sparse Model of Attention and Multi-Label Classification",
            "Martins and Astudillo",
            2016,
            "https://arxiv.org/abs/1602.02068",
        ),
        summary="Softmax attention whose weights are the nearest point of the simplex: most are 0.",
        deviation=(
            "None in the weights. The paper attends from a recurrent network; here they stand in "
            f"a transformer's attention. {ADDED} There are no rotary positions: with them "
            "(rope=10000) the matching key may start below the threshold, where no gradient "
            "reaches it. 8 pairs, d 64, one layer, 400 steps: .01 and .08 in two of three seeds "
            "with them, .999 after 60 steps in all without (32 pairs: .999)."
        ),
        evidence="paper",
    ),
    Published(
        name="stick-breaking",
        parent="softmax-attention",
        spec=Spec.parse("StickBreaking(offset=4.0) | Constant | OneStep"),
        frame=PLAIN_SHIFTED,
        original=PLAIN,
        paper=Paper(
            "Stick-breaking Attention",
            "Tan et al.",
            2024,
            "https://arxiv.org/abs/2410.17980",
        ),
        summary=(
            "Softmax attention whose pairs take their shares in turn, the newest first, and may "
            "leave some."
        ),
        deviation=(
            "Logits are less by 4, so that shares start at .02 (paper: offset=0, shares of a half: "
            "the newest pairs take all, and no gradient reaches a match that lies far back). 32 "
            "pairs in 128 tokens, d 64, one layer, standard frame: 1.00 in one seed of three and "
            ".01 in the others without, 1.00 in all with it, 90 % after 90 steps. What is left "
            f"over is not used. {SHIFTED}"
        ),
        evidence="code",
    ),
    Published(
        name="parallax",
        parent="local-linear-attention",
        spec=Spec.parse("Probed | Constant | OneStep"),
        frame=Frame(conv=2, conv_on=("k",), qk_norm="rms", output_norm="none"),
        paper=Paper(
            "Parallax",
            "Zuo et al.",
            2026,
            "https://arxiv.org/abs/2605.29157",
        ),
        summary=(
            "Local linear attention whose slope is not solved for: softmax attention tilted along "
            "a learned probe."
        ),
        deviation=(
            "The probe is projected with a bias and starts near 0, where it is softmax attention; "
            "it is not normalized (paper: like q and k), and there are no rotary positions. "
            f"{ADDED}"
        ),
        evidence="code",
    ),
    Published(
        name="path-attention",
        parent="softmax-attention",
        spec=Spec.parse("Reflected | Constant | Exact"),
        frame=PLAIN_SHIFTED,
        original=PLAIN,
        paper=Paper(
            "PaTH Attention: Position Encoding via Accumulating Householder Transformations",
            "Yang et al.",
            2025,
            "https://arxiv.org/abs/2505.16381",
        ),
        summary=(
            "Softmax attention whose keys are turned by every token since, as DeltaNet's memory is."
        ),
        deviation=(
            "None in the weights (1e-12 is added to |w|^2). The direction is projected with a bias "
            "and not convolved (paper: of rank 32, after a convolution and SiLU). Turns start at "
            ".05 (code: 1, at which 32 pairs in 128 tokens stay at .008 where these reach 1.00). "
            f"{SHIFTED}"
        ),
        evidence="code",
    ),
    Published(
        name="deltaformer",
        parent="softmax-attention",
        spec=Spec.parse("SelfCorrected | Constant | OneStep"),
        frame=ROTARY_SHIFTED,
        paper=Paper(
            "Understanding Transformer from the Perspective of Associative Memory",
            "Zhong et al.",
            2025,
            "https://arxiv.org/abs/2505.19488",
        ),
        summary=(
            "DeltaNet's rule for a memory that answers by softmax attention: attention over errors."
        ),
        deviation=(
            "Earlier pairs are asked by the key, as in the paper (public code asks by the query); "
            "the step is a sigmoid that starts at 0.05: at 0.5 half of the mean of all earlier "
            "values is taken off each while the weights are still flat, and nothing is learned. "
            f"{ADDED}"
        ),
        evidence="code",
    ),
    Published(
        name="lucid",
        parent="softmax-attention",
        spec=Spec.parse("Decorrelated | Constant | OneStep"),
        frame=ROTARY_SHIFTED,
        original=ROTARY,
        paper=Paper(
            "LUCID: Attention with Preconditioned Representations",
            "Duvvuri et al.",
            2026,
            "https://arxiv.org/abs/2602.10410",
        ),
        summary=(
            "Softmax attention over the errors of a kernel delta rule with whole steps on unit "
            "keys."
        ),
        deviation=f"None in the weights (1e-12 is added to |k|^2). {SHIFTED}",
        evidence="secondary",
    ),
    Published(
        name="memory-mosaics",
        parent="softmax-attention",
        spec=Spec.parse("ExpKernel | Constant | Exact"),
        frame=Frame(qk_norm="l2", temperature="learned", gates="mosaic", output_norm="none"),
        paper=Paper(
            "Memory Mosaics",
            "Zhang et al.",
            2024,
            "https://arxiv.org/abs/2405.06394",
        ),
        summary=(
            "Softmax attention that predicts: its keys are averages of what came before, its "
            "values what came next."
        ),
        deviation=(
            "Queries have a projection of their own, which starts as that of the keys (paper: one "
            "for both), and both are normalized before the average, too; the first pair has no "
            "key (paper: there is none). The scale is learned from 16 on."
        ),
        evidence="paper",
    ),
)
