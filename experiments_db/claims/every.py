"""Every claim by its family, in the order of weight: those that come first are run first."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ttr_core import unknown

from ..installation import checkout
from ..store import Store
from ..sweeps import Work, evidence, on_other_device
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


def with_evidence(store: Store, claims: Iterable[Thesis], scale: Scale) -> list[str]:
    """Adds what claims ask for of the runs that are kept with the code; returns what to say.

    Args:
        store: where the runs go; what it has already is not taken in.
        claims: what is asked; a claim names its files.
        scale: how large.

    Raises:
        StoreError: the store is read-only.
    """
    store.allow_writing()
    if (place := checkout()) is None:
        return []
    wanted: dict[Path, set[str]] = {}
    for claim in claims:
        runs = [run for one in claim.contenders(scale) for run in work_of(one).runs]
        for name in claim.evidence:
            asked = wanted.setdefault(place / "docs/evidence" / name, set())
            asked.update(run.config_hash for run in (*runs, *map(on_other_device, runs)))
    return [
        said
        for file, asked in wanted.items()
        if file.exists()
        for said in evidence.bring_in(store, [file], asked)
    ]


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
