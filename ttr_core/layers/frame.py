"""Frame: what surrounds the regression in a layer, from projections to output norm.

The frame is not an ingredient: it decides how tokens become keys, values, queries and signals,
not what is done with them. Comparisons hold it fixed (``standard``); fidelity takes the paper's
own (``published``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from numbers import Integral
from typing import Any, ClassVar

from ..errors import RequestError, unknown
from ..space.option import check_options, option, options_of
from .gates import GATES
from .heads import Sizes

CHANNELS = {"channels": 1, "pairs": 2}  # of the values in a head, where these make the heads


@dataclass(frozen=True)
class Frame:
    """The surroundings of a regression.

    Args:
        heads: what is a head: ``model`` takes the model's number of heads, ``channels`` makes
            each channel of the values a head of its own (V = 1), ``pairs`` every two of them.
        key_dim: K; 0 for the model's size over its heads.
        qk_heads: heads of q and k, which the others share; 0 for as many as there are.
        expand: size of all values over the model's.
        source: what q, k and the gates are projected from: the layer's input, or the values after
            their convolution.
        shift: what each token is mixed with before all projections: ``data`` takes a share of the
            token before it that the data choose, one for each projection.
        shift_rank: rank of the maps to these shares.
        conv: width of the causal depthwise convolution; 0 for none.
        conv_on: which of q, k, v it is applied to.
        conv_activation: what follows it.
        conv_bias: whether it adds a learned bias.
        conv_start: where its taps start: ``blend`` passes q and v on and gives k (and values that
            q and k are projected from) its token and the one before in equal parts, with a tenth of
            noise; ``random`` draws every tap, as public code does.
        q_activation: what is applied to the queries.
        qk_norm: normalization of queries and keys, per head.
        key_scale: what multiplies the keys: ``root`` is 1 / sqrt(K).
        temperature: where the scale comes from through which an ingredient compares queries with
            keys: ``fixed`` is the ingredient's own, ``learned`` one per head, which starts where
            the ingredient says it or, for keys of a known norm, at the start of its kind.
        rope: base of rotary positions on q and k; 0 for none.
        gates: where the signals come from, and what ties them.
        decay_link: what turns a projection into a log decay.
        decay_rank: rank of the projection of a decay per feature; 0 for full.
        decay_floor: least share kept, of gates that have one.
        skip: what is added to the outputs: ``values`` one learned multiple of them per head,
            ``input`` one of the layer's input per channel, after the last projection.
        output_norm: normalization of the outputs: ``rms`` and ``layer`` per head, ``rms_all``
            over all heads.
        output_gate: activation of a gate on the output.
        gate_start: where that gate starts: ``open`` near 1 by a bias, which at 0 gives the papers'
            gate; ``random`` has no bias, so that a SiLU starts at any sign, .2 in the mean.
        gate_place: whether the output gate comes before or after the norm.

    Raises:
        RequestError: a setting out of range, or two that exclude one another.
        UnknownName: ``conv_on`` names something other than q, k and v.

    Example:
        >>> import ttr_core as ttr
        >>> sizes = ttr.Frame(conv=4, qk_norm="l2").sizes(64, 4, None)
        >>> sizes.heads, sizes.key_dim, sizes.value_dim
        (4, 16, 16)
    """

    revision: ClassVar[int] = 3  # raised when it computes otherwise under the same settings

    heads: str = option("model", "what is a head", choices=("model", "channels", "pairs"))
    key_dim: int = option(0, "size of keys; 0: the model's size over its heads", 0, 4096)
    qk_heads: int = option(0, "heads of q and k, shared by all; 0: as many as there are", 0, 256)
    expand: int = option(1, "size of all values over the model's", 1, 16)
    source: str = option(
        "input", "what q, k and gates are projected from", choices=("input", "values")
    )
    shift: str = option("none", "what each token is mixed with", choices=("none", "data"))
    shift_rank: int = option(32, "rank of the maps to the shares of a shift", 1, 4096)
    conv: int = option(0, "width of the short causal convolution, in tokens; 0: none", 0, 64)
    conv_on: tuple[str, ...] = option(("q", "k", "v"), "what the convolution is applied to")
    conv_activation: str = option(
        "none", "activation after the convolution", choices=("none", "silu")
    )
    conv_bias: bool = option(False, "whether the convolution adds a bias")
    conv_start: str = option(
        "blend", "where the taps of the convolution start", choices=("blend", "random"), since=2
    )
    q_activation: str = option("none", "activation of the queries", choices=("none", "silu"))
    qk_norm: str = option("none", "normalization of q and k", choices=("none", "l2", "rms"))
    key_scale: str = option("none", "what multiplies k", choices=("none", "root"))
    temperature: str = option(
        "fixed", "where the scales of comparisons come from", choices=("fixed", "learned")
    )
    rope: float = option(0.0, "base of rotary positions; 0: none", 0.0, 1e9)
    gates: str = option("dense", "where the signals come from", choices=tuple(GATES))
    decay_link: str = option(
        "log_sigmoid", "link of decays", choices=("log_sigmoid", "slow_log_sigmoid")
    )
    decay_rank: int = option(16, "rank of the projection of a decay per feature", 0, 4096)
    decay_floor: float = option(0.0, "least share kept, of gates that have one", 0.0, 0.9999)
    skip: str = option("none", "what is added to the outputs", choices=("none", "values", "input"))
    output_norm: str = option(
        "rms", "normalization of the outputs", choices=("none", "rms", "rms_all", "layer")
    )
    output_gate: str = option(
        "none", "activation of the output gate", choices=("none", "silu", "sigmoid")
    )
    gate_start: str = option(
        "open", "where the output gate starts", choices=("open", "random"), since=2
    )
    gate_place: str = option(
        "after", "where the output gate stands to the norm", choices=("after", "before")
    )

    def __post_init__(self) -> None:
        check_options(self)
        for name in self.conv_on:
            if name not in ("q", "k", "v"):
                raise unknown("tensor for the convolution", name, ("q", "k", "v"))
        if self.source == "values" and self.conv and self.conv_on != ("v",):
            raise RequestError(
                "source=values projects q and k from the values after their convolution, so that "
                f"conv_on is {','.join(self.conv_on)} in vain: take conv_on=v."
            )
        if self.source == "values" and self.shift != "none":
            raise RequestError(
                "shift=data mixes the layer's input for each projection, and source=values "
                "projects from the values: take source=input or shift=none."
            )

    def key_square(self, key_dim: int) -> float | None:
        """Returns the squared norm of queries and keys, None where they may have any."""
        return {"l2": 1.0, "rms": float(key_dim)}.get(self.qk_norm)

    @property
    def short(self) -> str:
        """The settings that differ from a bare frame, as they are written."""
        values = ((opt, getattr(self, opt.name)) for opt in options_of(type(self)))
        changed = (f"{opt.name}={value!r}" for opt, value in values if value != opt.default)
        return f"Frame({', '.join(changed)})"

    @property
    def starts(self) -> tuple[str, ...]:
        """A sentence on each start that is not the papers', and the setting that is."""
        told = []
        if self.conv and self.conv_start != "random":
            told.append(
                "The convolution starts by passing q and v on, and keys with the ones before in "
                "equal parts (public code: random taps, conv_start=random)."
            )
        if self.output_gate != "none" and self.gate_start != "random":
            told.append(
                "The output gate starts near 1 by a bias (public code: at random, "
                "gate_start=random)."
            )
        return tuple(told)

    def settings(self) -> dict[str, Any]:
        """Returns every setting as plain values."""
        return {**asdict(self), "conv_on": list(self.conv_on)}

    def sizes(self, d_model: int, num_heads: int, kv_heads: int | None = None) -> Sizes:
        """Returns the sizes of the heads in a model.

        Args:
            d_model: D, size of the layer's inputs and outputs.
            num_heads: heads of the model; they must divide D.
            kv_heads: heads of keys and values; None for ``num_heads``. Channels are heads of their
                own whatever these are.

        Raises:
            RequestError: a size that is no whole number of at least 1, or head counts of which
                one does not divide the other.
        """
        shared = kv_heads or num_heads
        given: dict[str, object] = {"d_model": d_model, "num_heads": num_heads, "kv_heads": shared}
        for name, size in given.items():
            if isinstance(size, bool) or not isinstance(size, Integral) or size < 1:
                raise RequestError(f"{name} is {size!r}; it must be a whole number of at least 1.")
        if d_model % num_heads or num_heads % shared:
            raise RequestError(
                f"d_model={d_model}, heads={num_heads}, kv_heads={shared}: heads must divide "
                "d_model, and kv_heads must divide heads."
            )
        inner = self.expand * d_model
        heads = num_heads
        if self.heads in CHANNELS:
            heads = shared = inner // CHANNELS[self.heads]
        if inner % heads:
            raise RequestError(
                f"heads={self.heads} cuts {inner} channels of values into pairs: make the model's "
                "size or the frame's expand even."
            )
        if self.qk_heads and heads % self.qk_heads:
            raise RequestError(
                f"qk_heads={self.qk_heads} does not divide {heads} heads: change the frame's "
                "qk_heads or the model's heads."
            )
        key_dim = self.key_dim or d_model // num_heads
        return Sizes(
            heads=heads,
            q_heads=self.qk_heads or heads,
            k_heads=self.qk_heads or shared,
            v_heads=shared,
            key_dim=key_dim,
            value_dim=inner // heads,
            key_inputs=GATES[self.gates].key_inputs(key_dim),
        )


STANDARD = Frame(conv=4, qk_norm="l2", temperature="learned")
"""The controlled comparison: the same surroundings for every regression."""

PAPER = Frame(conv=2, conv_on=("k",), qk_norm="l2", temperature="learned")
"""The TTR paper's associative recall: a width-2 convolution on the keys alone."""

FRAMES: dict[str, Frame | None] = {"standard": STANDARD, "paper": PAPER, "published": None}
"""By name; ``published`` is the catalog entry's own."""

ABLATED = {"paper-without-convolution": replace(PAPER, conv=0)}
"""Frames that lack one thing of another, by name: for claims of what it does, not for comparing."""


def named_frame(frame: str | Frame) -> Frame:
    """Returns a frame as it is, or the one of a name.

    Raises:
        RequestError: no frame has this name, or only published layers have it.
    """
    if isinstance(frame, Frame):
        return frame
    if frame in ABLATED:
        return ABLATED[frame]
    if frame not in FRAMES:
        raise unknown("frame", str(frame), FRAMES)
    found = FRAMES[frame]
    if found is None:
        raise RequestError(
            f"Frame {frame} is a published layer's own, and a spec has none: take "
            "ttr.catalog[NAME].layer(), or another frame: "
            f"{', '.join(name for name, known in FRAMES.items() if known)}."
        )
    return found
