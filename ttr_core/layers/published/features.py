"""Linear attention on feature maps: positive, random, learned, polynomial, turning."""

from __future__ import annotations

from dataclasses import replace

from ...space.ingredient import Paper
from ...space.spec import Spec
from ..frame import Frame
from .entry import Published

POSITIONS = Frame(conv=2, conv_on=("k",), output_norm="none")
"""A width-2 convolution on the keys, in place of positions added to the embedding."""
PLACE = "a width-2 convolution on the keys stands in for positions added to the embedding"

ENTRIES = (
    Published(
        name="t2r-relu",
        parent="linear-attention-elu",
        spec=Spec.parse(
            "Uniform | Linear(map=t2r) | Hebbian | readout=Normalized(floor=clamp, eps=0.01)"
        ),
        frame=POSITIONS,
        paper=Paper(
            "Finetuning Pretrained Transformers into RNNs",
            "Kasai et al.",
            2021,
            "https://arxiv.org/abs/2103.13076",
        ),
        summary="Normalized linear attention on a learned layer of rectifiers.",
        deviation=(
            f"Trained from scratch (paper: from a softmax model); queries are not scaled; {PLACE}."
        ),
        evidence="code",
    ),
    Published(
        name="silu",
        parent="linear-attention",
        spec=Spec.parse("Uniform | Linear(map=silu) | Hebbian"),
        frame=Frame(conv=4),
        paper=Paper(
            "Transformers are SSMs: Generalized Models and Efficient Algorithms Through Structured "
            "State Space Duality",
            "Dao and Gu",
            2024,
            "https://arxiv.org/abs/2405.21060",
        ),
        summary="Linear attention on keys gated by themselves, an output norm for a normalizer.",
        deviation=(
            "The feature map alone, as in the paper's comparison of feature maps: none of "
            "Mamba-2's decays, steps, gates and shared heads, and values without the activation."
        ),
        evidence="paper",
    ),
    Published(
        name="polynomial",
        parent="linear-attention-elu",
        spec=Spec.parse("Uniform | Linear(map=polynomial) | Hebbian | readout=Normalized(eps=1.0)"),
        frame=Frame(conv=2, conv_on=("k",), qk_norm="rms", output_norm="none"),
        paper=Paper(
            "PolySketchFormer: Fast Transformers via Sketching Polynomial Kernels",
            "Kacham, Mirrokni and Zhong",
            2023,
            "https://arxiv.org/abs/2310.01655",
        ),
        summary="The mean of the values under a power of the inner product, in one running sum.",
        deviation=(
            "Degree 2 by exact features (paper: 4 and more, sketched); q and k are RMS-normalized "
            f"without gain and bias (paper: layer norm); {PLACE}."
        ),
        evidence="paper",
    ),
    Published(
        name="performer",
        parent="linear-attention-elu",
        spec=Spec.parse("Uniform | Linear(map=favor(features=512)) | Hebbian | readout=Normalized"),
        frame=POSITIONS,
        paper=Paper(
            "Rethinking Attention with Performers",
            "Choromanski et al.",
            2020,
            "https://arxiv.org/abs/2009.14794",
        ),
        summary="Softmax attention with its kernel estimated by positive random features.",
        deviation=(
            "512 random rows (public code: K ln K, 266 at K = 64), for the noise of the estimate: "
            "8 pairs, d 64, .956 with 512 and .932 to .946 with 256 at rates .003 to .03. "
            "One draw of the random rows for good (paper: drawn anew while training), with "
            "unbiased signs; no maximum over keys in the exponents, which in public code lets "
            f"later keys into earlier outputs; 1e-6 stands in the divisor alone; {PLACE}."
        ),
        evidence="code",
    ),
    Published(
        name="rfa",
        parent="linear-attention-elu",
        spec=Spec.parse("Uniform | Linear(map=rff) | Hebbian | readout=Normalized(floor=abs1)"),
        frame=Frame(conv=2, conv_on=("k",), qk_norm="l2", output_norm="none"),
        paper=Paper(
            "Random Feature Attention",
            "Peng et al.",
            2021,
            "https://arxiv.org/abs/2103.02143",
        ),
        summary="Softmax attention on unit keys by random Fourier features of learned width.",
        deviation=(
            "One draw of the random rows for good (paper: another at each training step); the "
            "divisor is max(|sum|, 1), since the sum crosses zero (public code: 1 when decoding, "
            f"1e-3 in training, and constants for the features' scale); {PLACE}."
        ),
        evidence="code",
    ),
    Published(
        name="cosformer",
        parent="linear-attention-elu",
        spec=Spec.parse(
            "Cosine | Linear(map=relu) | OneStep | readout=Normalized(floor=clamp, eps=1e-06)"
        ),
        frame=POSITIONS,
        paper=Paper(
            "cosFormer: Rethinking Softmax in Attention",
            "Qin et al.",
            2022,
            "https://arxiv.org/abs/2202.08791",
        ),
        summary="Normalized linear attention whose weights turn with the distance of a pair.",
        deviation=(
            "M is fixed at 512 tokens (code: the length of the current sequence, with which no "
            "output before its end is settled); beyond M weights are negative; a width-2 "
            "convolution on the keys (paper: none)."
        ),
        evidence="code",
    ),
    Published(
        name="hedgehog",
        parent="linear-attention-elu",
        spec=Spec.parse("Uniform | Linear(map=hedgehog) | Hebbian | readout=Normalized(eps=1e-12)"),
        frame=POSITIONS,
        paper=Paper(
            "The Hedgehog & the Porcupine: Expressive Linear Attentions with Softmax Mimicry",
            "Zhang et al.",
            2024,
            "https://arxiv.org/abs/2402.04347",
        ),
        summary="Normalized linear attention on a learned map with a softmax over each half of it.",
        deviation=(
            "Trained from scratch (paper: also distilled from softmax attention), one map for "
            "queries and keys (code: one each), a softmax over y and one over -y (paper: their "
            "exponentials; flash-linear-attention: one softmax over both, of 2 y, which read back "
            f"8 pairs at .95 with W from I, 2 I or 4 I, two seeds, where this is at .99); {PLACE}."
        ),
        evidence="code",
    ),
    Published(
        name="based",
        parent="linear-attention-elu",
        spec=Spec.parse("Uniform | Linear(map=taylor2) | Hebbian | readout=Normalized(eps=1e-12)"),
        frame=replace(POSITIONS, key_dim=16),
        paper=Paper(
            "Simple linear attention language models balance the recall-throughput tradeoff",
            "Arora et al.",
            2024,
            "https://arxiv.org/abs/2402.18668",
        ),
        summary="Softmax attention with its kernel cut off after the second order.",
        deviation=(
            "The layer alone (paper: beside short convolutions and sliding windows), a width-2 "
            "convolution on its keys."
        ),
        evidence="code",
    ),
    Published(
        name="rebased",
        parent="based",
        spec=Spec.parse("Uniform | Linear(map=rebased) | Hebbian | readout=Normalized(eps=1e-05)"),
        frame=replace(POSITIONS, key_dim=16),
        paper=Paper(
            "Linear Transformers with Learnable Kernel Functions are Better In-Context Models",
            "Aksenov et al.",
            2024,
            "https://arxiv.org/abs/2402.10644",
        ),
        summary="Based with a learned square for the kernel, which can shut a token out.",
        deviation=(
            "One gain and bias for queries and keys, each head normalized by itself (code: one "
            "each, over all heads jointly); a width-2 convolution on the keys (paper: short "
            "convolutions beside)."
        ),
        evidence="code",
    ),
    Published(
        name="dijiang",
        parent="retnet",
        spec=Spec.parse("Decay | Linear(map=dijiang) | Hebbian"),
        frame=Frame(conv=2, conv_on=("k",), rope=10000.0, output_gate="silu"),
        paper=Paper(
            "DiJiang: Efficient Large Language Models through Compact Kernelization",
            "Chen et al.",
            2024,
            "https://arxiv.org/abs/2403.19928",
        ),
        summary="RetNet on a softmax of the key's frequencies, scaled at random.",
        deviation=(
            "Decays are RetNet's and fixed (code: log-spaced from 1 - 1/32 to 1 - 1/512 over the "
            "heads, in two tables which training pulls apart); rotary positions on all "
            "coordinates (code: on some); the output norm is per head; a width-2 convolution on "
            "the keys (paper: none)."
        ),
        evidence="code",
        limit=(
            "The random sizes of its scaling, which leave its softmax few frequencies. 8 pairs, 64 "
            "tokens, one layer, .80 at best; .91 where only the signs of the scaling are kept, or "
            "it is 1, and .95 where beside that each frequency stands with its opposite, as in "
            "hedgehog. Not the cause: another draw (.76), a learned scaling (.79), 128 or 256 "
            "frequencies (.77, .75), a scale of 1/4, 4 or 16 (.73, .76, .69), rotary positions, "
            "decay and gate (.76, .79), a normalizer (.80)."
        ),
    ),
    Published(
        name="skyformer",
        parent="soft",
        spec=Spec.parse("Uniform | Linear(map=nystrom(features=128, scale=8.0)) | Hebbian"),
        frame=Frame(conv=2, conv_on=("k",), qk_norm="l2"),
        paper=Paper(
            "Skyformer: Remodel Self-Attention with Gaussian Kernel and Nystrom Method",
            "Chen et al.",
            2021,
            "https://arxiv.org/abs/2111.00035",
        ),
        summary="Attention under a Gaussian kernel, compressed on learned inducing points.",
        deviation=(
            "Causal, with fixed learned inducing points, where the paper's layer is bidirectional "
            "and samples its points from the queries and keys of the whole sequence; their kernel "
            "is inverted exactly (paper: six steps of an iteration); 128 points as in public code, "
            "for 8 pairs, d 64: .993, and .953 with 64 (their Gaussian itself 1.00); unit keys at "
            "scale 8 (the paper's 1 / sqrt(K) on keys of length sqrt(K) = 8); an output norm and a "
            "width-2 convolution on the keys (paper: none)."
        ),
        evidence="code",
    ),
)
