"""The nearest published layers: by how many choices they differ, then by how many numbers."""

from __future__ import annotations

from dataclasses import fields

from ..layers.published import catalog
from ..space.constraints import Listed
from ..space.ingredient import Ingredient
from ..space.spec import Spec


def worded(part: Ingredient) -> str:
    """Returns an ingredient without its numbers: what was chosen, not how much of it.

    Args:
        part: any ingredient; a product of weights is named by its factors.

    Example:
        >>> import ttr_core as ttr
        >>> spec = ttr.Spec.parse("Decay(gamma=0.9) * ExpKernel(scale=8) | Linear(map=elu1) | SGD")
        >>> worded(spec.weights), worded(spec.function)
        ('Decay * ExpKernel', 'Linear(map=elu1)')
    """
    return " * ".join(_worded(one) for one in part.factors())


def _worded(part: Ingredient) -> str:
    words = []
    for opt in part.options():
        value = getattr(part, opt.name)
        if value != opt.default and isinstance(opt.constraint, Listed):
            words.append(f"{opt.name}={value.name if isinstance(value, Ingredient) else value}")
    return f"{part.name}({', '.join(words)})" if words else part.name


def chosen(spec: Spec) -> tuple[str, ...]:
    """Returns the five ingredients of a spec without their numbers."""
    return tuple(worded(part) for part in spec.ingredients)


def move(start: Spec, end: Spec) -> str:
    """Returns what a step in the space puts in the place of what, its numbers left out.

    Args:
        start: the spec that is left.
        end: the spec that is reached.

    Example:
        >>> import ttr_core as ttr
        >>> move(*(ttr.Spec.parse(f"{w} | Linear | SGD") for w in ("Gate", "ChannelGate")))
        'ChannelGate for Gate'
    """
    pairs = zip(chosen(start), chosen(end), strict=True)
    return ", ".join(f"{new} for {old}" for old, new in pairs if new != old)


def distance(a: Spec, b: Spec) -> tuple[int, int]:
    """Returns in how many ingredients two specs differ, and in how many more by numbers alone."""
    others = sum(x != y for x, y in zip(chosen(a), chosen(b), strict=True))
    return others, sum(x != y for x, y in zip(a.ingredients, b.ingredients, strict=True)) - others


def neighbors(spec: Spec) -> tuple[tuple[str, str], ...]:
    """Returns every published layer that differs in the fewest ingredients, with what differs.

    A number is no ingredient: among equals those with fewer other numbers come first, then the
    order of the catalog. None is left out.

    Args:
        spec: any spec.
    """
    others = {name: e.spec for name, e in catalog.items() if e.spec != spec}
    apart = {name: distance(spec, other) for name, other in others.items()}
    least = min((choices for choices, _ in apart.values()), default=0)
    near = [name for name, (choices, _) in apart.items() if choices == least]
    return tuple((n, _what(spec, others[n])) for n in sorted(near, key=lambda n: apart[n]))


def _what(spec: Spec, other: Spec) -> str:
    pairs = ((getattr(other, f.name), getattr(spec, f.name)) for f in fields(spec))
    return ", ".join(f"{theirs} for {own}" for theirs, own in pairs if theirs != own)
