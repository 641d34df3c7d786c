"""The table of an atlas: a row for each function, a number with its interval for each metric."""

from __future__ import annotations

from typing import Any

import pandas as pd

import ttr_core as ttr
from ttr_core.lab import PROBES

from ..store import Store
from ..sweeps import Planned
from .answers import Answer, newest
from .functions import first_of_each
from .known import MEASURED
from .survey import Survey, parts_of

SIZE_OF = "capacity"
"""The probe at whose sizes the numbers of state are counted."""

ENDS = ("low", "high", "bound")
"""What stands beside each metric: METRIC_low, METRIC_high, and METRIC_bound, which may be *at
least*."""


def rows_of(store: Store, survey: Survey) -> pd.DataFrame:
    """Returns what the store has of an atlas.

    Returns:
        A row per function: ``spec``; ``same_as``, the other layers that are it; ``state_size``,
        numbers of state at the sizes of the probe of capacity; for each probe its name, which is
        *measured* or says why not, ``PROBE_seconds`` of the processor and ``PROBE_on``, the day;
        each metric with `ENDS`; ``parts``, what took part with its revision; ``project``, the
        version of the program.
    """
    found = newest(store, [run.config_hash for run in survey.runs])
    runs: dict[str, list[Planned]] = {text: [] for text in survey.functions}
    for run in survey.runs:
        runs[run.experiment.model.layers[0]].append(run)
    alike: dict[str, list[str]] = {}
    for text, first in first_of_each().items():
        alike.setdefault(first, []).append(text)
    return pd.DataFrame([
        _row(text, [other for other in alike[text] if other != text], runs[text], found)
        for text in survey.functions
    ])  # fmt: skip


def _row(
    text: str, same: list[str], runs: list[Planned], found: dict[str, Answer]
) -> dict[str, Any]:
    row: dict[str, Any] = {"spec": text, "same_as": "; ".join(same), "state_size": None}
    parts: dict[str, None] = {}
    for run in runs:
        probe, answer = run.experiment.task.name, found.get(run.config_hash)
        row |= _told(probe, answer)
        if answer is not None:
            parts |= dict.fromkeys(parts_of(run))
            row["state_size"] = answer.state_size if probe == SIZE_OF else row["state_size"]
    return {**row, "parts": " ".join(parts), "project": ttr.__version__}


def _told(probe: str, answer: Answer | None) -> dict[str, Any]:
    """Returns the cells of a probe; without an answer they are empty."""
    known = {one["metric"]: one for one in ([] if answer is None else answer.intervals)}
    row: dict[str, Any] = {probe: None, f"{probe}_seconds": None, f"{probe}_on": None}
    if answer is not None:
        well = answer.status == "finished"
        row[probe] = MEASURED if well else answer.message or answer.status
        row[f"{probe}_seconds"], row[f"{probe}_on"] = answer.seconds, f"{answer.on:%Y-%m-%d}"
    for metric in PROBES[probe].metrics:
        one = known.get(metric.name, {})
        row[metric.name] = one.get("value")
        row |= {f"{metric.name}_{end}": one.get(end) for end in ENDS}
    return row
