"""What is known of a claim: from the runs in the store, else what came with the program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import streamlit as st

from experiments_db import claims
from experiments_db.claims import Finding, Scale, Thesis, Verdicts
from experiments_db.read import queries
from experiments_db.store import Store
from experiments_db.sweeps import Pace, Planned, Work
from pages._shared import ui


@dataclass(frozen=True)
class Evidence:
    """What is known of a claim.

    Args:
        outcome: what is said of it.
        chart: its picture as Vega-Lite, where there is one.
        origin: where that is from, in a sentence.
        missing: runs that the store lacks.
        total: runs that it takes.
        seconds: how long the missing ones take one after another, about; None where unknown.
        sharing: how many other claims need some of the missing runs too.
        beside: what came with the program at another scale, where its word is another.
    """

    outcome: Finding
    chart: Mapping[str, Any] | None
    origin: str
    missing: tuple[Planned, ...] = ()
    total: int = 0
    seconds: float | None = None
    sharing: int = 0
    beside: str = ""


def gathered(store: Store, asked: Sequence[Thesis], size: Scale) -> dict[str, Evidence]:
    """Returns what is known of some claims, by their names."""
    version = queries.data_version(store)
    lacking = _lacking(str(store.path), version, size, store)
    found = {claim.name: _of_one(store, version, claim, size, lacking) for claim in asked}
    return {name: replace(one, beside=_beside(name, one, size)) for name, one in found.items()}


def _beside(name: str, one: Evidence, size: Scale) -> str:
    others = [known for other in claims.SCALES if other != size and (known := shipped(other))]
    return " ".join(filter(None, (o.otherwise(name, one.outcome.verdict.word) for o in others)))


def _of_one(
    store: Store, version: str, claim: Thesis, size: Scale, lacking: frozenset[str]
) -> Evidence:
    runs = work(claim.name, size).runs
    missing = tuple(run for run in runs if run.config_hash in lacking)
    chart: Mapping[str, Any] | None
    if runs and not missing:
        outcome, chart = judged_here(str(store.path), version, claim.name, size, store)
        return Evidence(
            outcome,
            chart,
            f"Of the {ui.count_of(len(runs), 'run')} in your store.",
            total=len(runs),
        )
    known = shipped(size)
    if known is None or claim.name not in known.findings:
        said = f"{len(missing)} of its {ui.count_of(len(runs), 'run is', 'runs are')} missing."
        outcome, chart = Finding(claims.Ruling(claims.Word.OPEN, said), pd.DataFrame()), None
        origin = ""
    else:
        outcome, chart = known.findings[claim.name], known.charts.get(claim.name)
        origin = f"Came with the program: measured on {known.date}, version {known.version}."
    left = _seconds(store, version, missing)
    return Evidence(
        outcome, chart, origin, missing, len(runs), left, _sharing(claim, size, missing)
    )


def _sharing(claim: Thesis, size: Scale, missing: Sequence[Planned]) -> int:
    """Returns how many other claims need some of these runs."""
    wanted = {run.config_hash for run in missing}
    others = [name for name in claims.CLAIMS if name != claim.name]
    return sum(any(run.config_hash in wanted for run in work(name, size).runs) for name in others)


@st.cache_resource(show_spinner=False)
def work(name: str, size: Scale) -> Work:
    """Returns the runs of a claim."""
    return claims.work([claims.CLAIMS[name]], size)


@st.cache_resource(show_spinner=False)
def shipped(size: Scale) -> Verdicts | None:
    """Returns what came with the program."""
    return claims.shipped(size)


@st.cache_data(max_entries=20, show_spinner="Looking for the runs of the claims.")
def _lacking(path: str, version: str, size: Scale, _store: Store) -> frozenset[str]:
    """Returns the fingerprints of all runs that the store has no complete one of."""
    return claims.without_run(
        _store, [run for name in claims.CLAIMS for run in work(name, size).runs]
    )


@st.cache_data(max_entries=200, show_spinner="Judging a claim by its runs.")
def judged_here(
    path: str, version: str, name: str, size: Scale, _store: Store
) -> tuple[Finding, dict[str, Any] | None]:
    """Returns what a claim's runs say, or a computation on the spot, and the picture of it."""
    with ui.computing():
        (one,) = claims.judged(_store, [claims.CLAIMS[name]], size)
    chart = one.outcome.chart
    return replace(one.outcome, chart=None), None if chart is None else chart.to_dict()


def _seconds(store: Store, version: str, left: Sequence[Planned]) -> float | None:
    if not left:
        return 0.0
    pace = _pace(str(store.path), version, store)
    seconds, unknown = pace.processor(run.kind for run in left)
    return None if unknown == len(left) else seconds


@st.cache_resource(max_entries=5, show_spinner=False)
def _pace(path: str, version: str, _store: Store) -> Pace:
    return claims.known_pace(_store)
