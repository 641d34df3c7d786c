"""Local regression: weights that compare keys with the query."""

from __future__ import annotations

from ...space.ingredient import Paper
from ...space.spec import Spec
from ..frame import PAPER, Frame
from .entry import Published

ENTRIES = (
    Published(
        name="softmax-attention",
        spec=Spec.parse("ExpKernel | Constant | Exact"),
        frame=Frame(rope=10000.0, conv=2, conv_on=("k",), output_norm="none"),
        original=Frame(rope=10000.0, output_norm="none"),
        paper=Paper(
            "Attention Is All You Need",
            "Vaswani et al.",
            2017,
            "https://arxiv.org/abs/1706.03762",
        ),
        summary="The mean of the values under exponential kernel weights (Nadaraya-Watson).",
        deviation=(
            "Rotary positions in place of sinusoidal ones added to the embedding. "
            "A width-2 convolution on the keys is added, without which one layer cannot see which "
            "token came before (original has the paper's frame)."
        ),
        evidence="code",
    ),
    Published(
        name="qknorm-attention",
        parent="softmax-attention",
        spec=Spec.parse("ExpKernel | Constant | Exact"),
        frame=PAPER,
        paper=Paper(
            "Query-Key Normalization for Transformers",
            "Henry et al.",
            2020,
            "https://arxiv.org/abs/2010.04245",
        ),
        summary="Softmax attention on unit queries and keys: a proper local constant fit.",
        deviation=(
            "The learned scale starts at 16 (paper: from the length distribution), is one per "
            "head, and the frame is the TTR paper's for recall: a width-2 convolution on keys and "
            "an output norm, no positions."
        ),
        evidence="paper",
    ),
    Published(
        name="forgetting-transformer",
        parent="softmax-attention",
        spec=Spec.parse("Gate * ExpKernel | Constant | Exact"),
        frame=Frame(conv=2, conv_on=("k", "v"), qk_norm="rms", output_gate="sigmoid"),
        paper=Paper(
            "Forgetting Transformer: Softmax Attention with a Forget Gate",
            "Lin et al.",
            2025,
            "https://arxiv.org/abs/2503.02130",
        ),
        summary="Softmax attention whose weights also decay by a learned gate per token.",
        deviation=(
            "The Pro block's data-dependent shift of keys and values is a width-2 convolution; "
            "q and k are RMS-normalized without a learned gain."
        ),
        evidence="code",
    ),
    Published(
        name="alibi",
        parent="softmax-attention",
        spec=Spec.parse("Decay(slope=8.0) * ExpKernel | Constant | Exact"),
        frame=Frame(conv=2, conv_on=("k",), output_norm="none"),
        original=Frame(output_norm="none"),
        paper=Paper(
            "Train Short, Test Long: Attention with Linear Biases Enables Input Length "
            "Extrapolation",
            "Press, Smith and Lewis",
            2021,
            "https://arxiv.org/abs/2108.12409",
        ),
        summary="Softmax attention whose weights also decay at a fixed rate per head, RetNet's.",
        deviation=(
            "None in the weights: a bias of -m (t - i) is a decay of exp(-m) per token, and a lone "
            "head has m = 1 / 256. "
            "A width-2 convolution on the keys is added, without which one layer cannot see which "
            "token came before (original has the paper's frame)."
        ),
        evidence="paper",
    ),
    Published(
        name="sliding-window-attention",
        parent="softmax-attention",
        spec=Spec.parse("ExpKernel * Window(size=64) | Constant | Exact"),
        frame=Frame(rope=10000.0, conv=2, conv_on=("k",), output_norm="none"),
        original=Frame(rope=10000.0, output_norm="none"),
        paper=Paper(
            "Longformer: The Long-Document Transformer",
            "Beltagy et al.",
            2020,
            "https://arxiv.org/abs/2004.05150",
        ),
        summary="Softmax attention over the newest pairs alone.",
        deviation=(
            "The window has 64 tokens (paper: 512), and no token is global; rotary positions in "
            "place of learned ones. What lies further back than the window is not recalled by one "
            "layer; up to 64 tokens it is softmax attention. "
            "A width-2 convolution on the keys is added, without which one layer cannot see which "
            "token came before (original has the paper's frame)."
        ),
        evidence="paper",
        limit=(
            "What lies further back than its window of 64 tokens. .58 of 32 pairs (128 tokens, one "
            "layer, standard frame, three seeds): 57.4 % of the questions are at most 64 tokens "
            "after their answer, and of the rest one in 128 is guessed; 1.00 after 40 steps with "
            "a window of 128."
        ),
        short_from=32,
    ),
    Published(
        name="local-linear-attention",
        parent="softmax-attention",
        spec=Spec.parse("ExpKernel | Affine | Exact(ridge=1.0)"),
        frame=PAPER,
        paper=Paper(
            "Local Linear Attention: An Optimal Interpolation of Linear and Softmax Attention for "
            "Test-Time Regression",
            "Zuo et al.",
            2025,
            "https://arxiv.org/abs/2510.01450",
        ),
        summary="Softmax attention with a slope: a local line in place of a local constant.",
        deviation=(
            "The ridge is absolute, beside weights of which a pair that matches counts 1; the "
            "paper's is relative: its lambda times the weights' mass, so that its code's 10 "
            "shrinks the slope more than this 1. The solve is dense in centered form (paper: "
            "conjugate gradients on the subtractive one), and the frame is the TTR paper's for "
            "recall, with a learned scale, one per head, that starts at 4 (paper: 1 / sqrt(K))."
        ),
        evidence="code",
    ),
)
