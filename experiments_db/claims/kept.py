"""Findings as one file: what a report's folder has for programs, and what the package ships."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

import ttr_core as ttr
from ttr_core.lab import TASKS

from ..read import export
from ..store import Store
from ..sweeps import questions
from ..sweeps.estimate import Kind, Pace, Timed
from .claim import SCALES, Finding, Judged, Ruling, Scale, Word

SHIPPED = Path(__file__).parent / "shipped"
DIGITS = 5
SIZES = ("work", "shared", "steps", "ends")
"""What a kind says beside its names."""


@dataclass(frozen=True)
class Verdicts:
    """What runs said of claims when they were last judged.

    Args:
        scale: how large.
        date: the day.
        version: of this program.
        findings: by the name of the claim; their charts are dictionaries of Vega-Lite in `charts`.
        charts: by the name of the claim.
        times: what one run of each kind took: seconds of a processor, and steps.
    """

    scale: str
    date: str
    version: str
    findings: Mapping[str, Finding] = field(default_factory=dict)
    charts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    times: tuple[Timed, ...] = ()

    def otherwise(self, claim: str, word: Word) -> str:
        """Returns the word of this scale on a claim, where it is another; else nothing.

        Args:
            claim: its name.
            word: what another scale says.
        """
        own = self.findings.get(claim)
        if own is None or own.verdict.word == word:
            return ""
        return f"At scale {self.scale} (n = {own.n}): {own.verdict.word}."


def packed(results: Sequence[Judged], scale: Scale) -> bytes:
    """Returns findings as the bytes of a file, the same for the same findings of a day.

    A claim that lacks runs is left out: how many there are not is another matter elsewhere.

    Args:
        results: what `judged` returns.
        scale: how large.
    """
    times = {timed[0].names[0]: timed for one in results for timed in one.times}
    said = {
        "scale": scale,
        "date": datetime.now(UTC).date().isoformat(),
        "version": ttr.__version__,
        "claims": {one.claim.name: _told(one.outcome) for one in results if not one.missing},
        "times": [
            {**asdict(made), "shared": _short(made.shared), "seconds": _short(took), "taken": taken}
            for made, took, taken in times.values()
        ],
    }
    return gzip.compress(json.dumps(said, ensure_ascii=False).encode(), mtime=0)


def unpacked(content: bytes) -> Verdicts:
    """Returns the findings of a file's bytes."""
    said = json.loads(gzip.decompress(content))
    return Verdicts(
        said["scale"],
        said["date"],
        said["version"],
        {name: _read(one) for name, one in said["claims"].items()},
        {name: one["chart"] for name, one in said["claims"].items() if one["chart"]},
        tuple(
            (
                Kind(tuple(one["names"]), *(one[name] for name in SIZES)),
                one["seconds"],
                one["taken"],
            )
            for one in said["times"]
        ),
    )


def shipped(scale: Scale) -> Verdicts | None:
    """Returns the findings that come with the package, or None where there are none."""
    file = SHIPPED / f"{scale}.json.gz"
    return unpacked(file.read_bytes()) if file.exists() else None


def known_pace(store: Store) -> Pace:
    """Returns how long runs take: those of the store, before them those that were shipped."""
    known = Pace()
    for size in SCALES:
        if (found := shipped(size)) is not None:
            for one, seconds, steps in found.times:
                known.add(one, seconds, steps)
    known.add_runs(questions.past(store, tuple(TASKS)))
    return known


def _told(one: Finding) -> dict[str, Any]:
    table = one.table
    return {
        "word": str(one.verdict.word),
        "said": one.verdict.said,
        "n": one.n,
        "cpu_seconds": _short(one.cpu_seconds),
        "columns": list(table.columns),
        "rows": [_short(export.plain(list(row))) for row in table.itertuples(index=False)],
        "chart": None if one.chart is None else _short(export.plain(one.chart.to_dict())),
    }


def _read(said: Mapping[str, Any]) -> Finding:
    table = pd.DataFrame(said["rows"], columns=said["columns"])
    ruling = Ruling(Word(said["word"]), said["said"])
    return Finding(ruling, table, None, said["n"], said["cpu_seconds"])


def _short(value: Any) -> Any:
    """Returns a value with numbers of few digits, as deep as it is."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, list):
        return [_short(one) for one in value]
    if isinstance(value, dict):
        return {key: _short(one) for key, one in value.items()}
    return value
