"""Every claim by its family, in the order of weight: those that come first are run first."""

from __future__ import annotations

from collections.abc import Iterable

from ttr_core import unknown

from ..sweeps import Work
from . import ablation, equalities, figure2, figure3, spread, tracking
from .claim import SCALES, Scale, Thesis
from .found import work_of

FAMILIES: dict[str, tuple[Thesis, ...]] = {
    "identities": equalities.CLAIMS,
    "regression": figure2.CLAIMS,
    "recall": figure3.WITHOUT_TRAINING,
    "mqar": (*ablation.CLAIMS, *figure3.CLAIMS),
    "state": tracking.CLAIMS,
    "literature": spread.CLAIMS,
}
CLAIMS: dict[str, Thesis] = {one.name: one for claims in FAMILIES.values() for one in claims}
EVERYTHING = "all"


def named_claims(name: str) -> tuple[Thesis, ...]:
    """Returns the claims that a family, a claim's name or ``all`` stands for.

    Raises:
        UnknownName: none of these; the text names the nearest.

    Example:
        >>> [claim.name for claim in named_claims("recall")]
        ['least-squares-holds-more']
    """
    if name == EVERYTHING:
        return tuple(CLAIMS.values())
    if name in FAMILIES:
        return FAMILIES[name]
    if name in CLAIMS:
        return (CLAIMS[name],)
    raise unknown("claim", name, (EVERYTHING, *FAMILIES, *CLAIMS))


def scale(name: str) -> Scale:
    """Returns a scale by its name.

    Raises:
        UnknownName: there is none of this name.
    """
    for one in SCALES:
        if name == one:
            return one
    raise unknown("scale", name, SCALES)


def work(claims: Iterable[Thesis], scale: Scale) -> Work:
    """Returns the runs of some claims, each once, in their order.

    Args:
        claims: those that come first are run first.
        scale: how large.
    """
    runs = {
        run.config_hash: run
        for claim in claims
        for contender in claim.contenders(scale)
        for run in work_of(contender).runs
    }
    return Work(tuple(runs.values()), axes="what the claims need")
