"""A spec in LaTeX, words and numbers; used by the app, the command line and the docs alike."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from ..layers.published import catalog
from ..solvers import horizon, least, resolve
from ..space.fates import Fate
from ..space.spec import Spec
from .equations import letters, objective, read, update, window
from .names import Standing, standing
from .neighbors import neighbors
from .same import same_as


@dataclass(frozen=True)
class Description:
    r"""What there is to say about a layer.

    Args:
        text: its canonical text.
        names: published names at this very point.
        standing: how it stands in the literature, with what it is called there.
        objective: what is minimized, in LaTeX.
        update: how the memory is found, in LaTeX.
        read: how the output is read, in LaTeX.
        words: the same in sentences.
        forgets: what becomes of old pairs.
        caution: whether it amplifies rounding, and after how many tokens; empty where it does not.
        state_size: numbers that all heads must keep by the layer's definition, a formula in T, d
            and H; never more than the pairs themselves, where the memory can be had from them.
        packed_state_size: the same with one half of symmetric matrices.
        held: what the solver keeps for all heads, where that is more; else empty.
        cost: operations per head, a formula.
        solver: the fastest solver's name.
        same_as: texts of listed points that are the same layer.
        neighbors: every nearest published layer, each with what differs.

    Example:
        >>> import ttr_core as ttr
        >>> about = ttr.describe("Uniform | Linear | SGD")
        >>> about.update
        'S_t = S_{t-1} + \\beta_t k_t (v_t - S_{t-1}^\\top k_t)^\\top'
    """

    text: str
    names: tuple[str, ...]
    standing: Standing
    objective: str
    update: str
    read: str
    words: str
    forgets: str
    caution: str
    state_size: str
    packed_state_size: str
    held: str
    cost: str
    solver: str
    same_as: tuple[str, ...]
    neighbors: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as plain values."""
        return asdict(self)


def describe(spec: Spec | str) -> Description:
    """Describes a layer, given as a spec or as its text.

    Args:
        spec: a layer, or its text.

    Raises:
        IncompatibleSpec: ``spec`` is not a layer.

    Example:
        >>> import ttr_core as ttr
        >>> ttr.describe("Gate | Linear | SGD").names
        ('gated-deltanet',)
    """
    spec = Spec.of(spec)
    solver, alike, state = resolve(spec), same_as(spec), least(spec)
    held = solver.state_formula(spec)
    return Description(
        text=str(spec),
        names=catalog.of(spec),
        standing=standing(spec, alike),
        objective=objective(spec),
        update=update(spec),
        read=read(spec),
        words=_words(spec),
        forgets=_forgets(spec),
        caution=_caution(spec),
        state_size=state.formula(),
        packed_state_size=state.packed_formula(),
        held="" if held == state.formula() else held,
        cost=solver.cost,
        solver=solver.name,
        same_as=alike,
        neighbors=neighbors(spec),
    )


def _caution(spec: Spec) -> str:
    tokens = horizon(spec)
    if tokens is None:
        return ""
    return (
        "Its inner steps may amplify rounding. As it starts, outputs in float32 and float64 stay "
        f"within 1 % over {tokens} tokens and gradients finite; where its gates learn to forget "
        "half within some 16 tokens, outputs part after a few hundred, and gradients grow from "
        "chunk to chunk."
    )


def formulas(spec: Spec) -> tuple[str, str, str]:
    r"""Returns what is minimized, how the memory is found and how it is read, in LaTeX.

    Args:
        spec: a layer.

    Example:
        >>> import ttr_core as ttr
        >>> formulas(ttr.Spec.parse("Uniform | Linear | Hebbian"))[1]
        'S_t = S_{t-1} + k_t v_t^\\top'
    """
    return objective(spec), update(spec), read(spec)


def fates(spec: Spec) -> tuple[Fate, ...]:
    """Returns what is said of old pairs: by the weights, or else by the optimizer."""
    return spec.weights.forgetting or spec.optimizer.forgetting(letters(spec))


def _words(spec: Spec) -> str:
    weights = " ".join(type(part).summary() for part in spec.weights.factors())
    text = (
        f"What counts: {weights} What is fitted: {type(spec.function).summary()} "
        f"How: {type(spec.optimizer).summary()}"
    )
    defaults = {f.name: f.default for f in fields(spec)}
    for axis, label in (("loss", "Loss"), ("readout", "Read")):
        part = getattr(spec, axis)
        if part != defaults[axis]:
            text += f" {label}: {type(part).summary()}"
    if (pairs := window(spec)) is not None:
        return f"{text} At each token the memory starts anew and passes over {pairs} pairs alone."
    reading = spec.optimizer.reading(letters(spec))
    return f"{text} {reading.sentence}" if reading else text


def _forgets(spec: Spec) -> str:
    return " ".join(claim.value.format(reach=spec.weights.reach) for claim in fates(spec))
