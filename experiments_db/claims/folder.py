"""The verdicts on claims, and the folder that shows them: a report, a picture and a table each."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from ..errors import StoreError, how_many_of
from ..read import export
from ..store import Store
from ..store.files import absolute, temporary
from ..sweeps import Pace, in_words
from ..sweeps.estimate import LESS
from . import kept
from .claim import Finding, Judged, Ruling, Scale, Thesis, Word
from .found import Found, without_run, work_of

REPORT = "report.md"
TABLE = "claims.csv"
KEPT = "findings.json.gz"


def judged(
    store: Store,
    claims: Sequence[Thesis],
    scale: Scale,
    told: Callable[[int, int], None] = lambda done, total: None,
    pace: Pace | None = None,
) -> tuple[Judged, ...]:
    """Returns what the store's runs say of some claims.

    A claim of which a run is missing, or fails, is not settled.

    Args:
        store: where the runs are.
        claims: what is claimed.
        scale: how large.
        told: hears of the progress, claim by claim.
        pace: how long runs take; None for what the store and those that were shipped say.
    """
    pace = pace or kept.known_pace(store)
    results = []
    for done, claim in enumerate(claims):
        told(done, len(claims))
        results.append(_judged(store, claim, scale, pace))
    return tuple(results)


def _judged(store: Store, claim: Thesis, scale: Scale, pace: Pace) -> Judged:
    found = Found(store, claim.contenders(scale))
    if not found.missing:
        return Judged(claim, claim.judged(found, scale), times=found.times)
    every = found.missing + sum(len(runs) for runs in found.runs.values())
    runs = [run for one in claim.contenders(scale) for run in work_of(one).runs]
    left = without_run(store, runs)
    lacking = [run.kind for run in runs if run.config_hash in left]
    seconds, unknown = pace.processor(lacking)
    most = "or so" if all(map(pace.settles, lacking)) else "at most"
    if (share := pace.guessed(lacking)) < LESS:
        most += f", {in_words(share * seconds)} by how early others are flat"
    said = f"{how_many_of(found.missing, every, 'run')} missing"
    said += "." if unknown == len(left) else f", {in_words(seconds)} of a processor {most}."
    open_ = Finding(Ruling(Word.OPEN, said), pd.DataFrame(), None, found.n, found.cpu_seconds)
    return Judged(claim, open_, found.missing, found.times)


def check_folder(folder: Path) -> Path:
    """Returns a folder that can be written to, made where there is none.

    Raises:
        StoreError: it cannot.
    """
    place = absolute(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
        probe = temporary(place / REPORT)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StoreError(f"Cannot write to {place}: {error}. Name another folder.") from error
    return place


def written(results: Sequence[Judged], folder: Path, scale: Scale) -> Path:
    """Writes the report, its tables, pictures and `KEPT`; returns the path of the report.

    Each claim has a CSV, an SVG and a PNG; claims.csv has a row for each.

    Args:
        results: what `judged` returns.
        folder: where to; see `check_folder`.
        scale: how large.

    Raises:
        StoreError: a file cannot be written.
    """
    place = check_folder(folder)
    for one in results:
        if len(one.outcome.table):
            export.write(one.outcome.table, place / f"{one.claim.name}.csv")
        if one.outcome.chart is not None:
            for kind in ("svg", "png"):
                one.outcome.chart.save(str(place / f"{one.claim.name}.{kind}"), scale_factor=2)
    export.write(pd.DataFrame([row(one) for one in results]), place / TABLE)
    (place / KEPT).write_bytes(kept.packed(results, scale))
    report, fresh = place / REPORT, temporary(place / REPORT)
    fresh.write_text(text(results, scale), encoding="utf-8")
    os.replace(fresh, report)
    return report


def row(one: Judged) -> dict[str, object]:
    """Returns a claim's verdict as a row of a table."""
    verdict = one.outcome.verdict
    return {
        "claim": one.claim.name, "verdict": str(verdict.word), "said": verdict.said,
        "n": one.outcome.n, "cpu_hours": one.outcome.cpu_seconds / 3600, "missing": one.missing,
        "source": one.claim.source,
    }  # fmt: skip


def text(results: Sequence[Judged], scale: Scale) -> str:
    """Returns the report as Markdown."""
    hours = sum(one.outcome.cpu_seconds for one in results) / 3600
    head = (
        f"# What the claims come to\n\nScale {scale}; {hours:.2f} processor "
        "hours of runs. Intervals are 95 % by Student's t over seeds. A verdict is given "
        "where the protocol is the published one, or of what shorter trainings have settled.\n\n"
        "| claim | verdict | n | processor minutes |\n"
        "|---|---|---|---|\n"
    )
    rows = [
        f"| [{one.claim.name}](#{one.claim.name}) | {one.outcome.verdict.word} | {one.outcome.n} | "
        f"{one.outcome.cpu_seconds / 60:.1f} |"
        for one in results
    ]
    return head + "\n".join(rows) + "\n\n" + "\n\n".join(map(_section, results)) + "\n"


def _section(one: Judged) -> str:
    claim, outcome = one.claim, one.outcome
    word, joint = outcome.verdict.word.capitalize(), "" if outcome.verdict.word is Word.IF else "."
    parts = [
        f"## {claim.name}",
        claim.sentence,
        f"*Source:* {claim.source}.",
        f"**{word}{joint}** {outcome.verdict.said}",
    ]
    if outcome.chart is not None:
        parts.append(f"![{claim.sentence}]({claim.name}.svg)")
    if len(outcome.table):
        parts.append(export.to_markdown(outcome.table.map(_short)).strip())
    return "\n\n".join(parts)


def _short(cell: object) -> object:
    return f"{cell:.4g}" if isinstance(cell, float) else cell
