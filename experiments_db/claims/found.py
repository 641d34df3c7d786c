"""The runs behind a claim: which there are to be, and which the store has."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import pandas as pd

from ..read import queries
from ..read.filters import Where
from ..store import Store
from ..store.records import COMPLETE
from ..sweeps import Planned, Work, as_stored, expanded, held, times_of
from ..sweeps.anywhere import COMPLETED
from ..sweeps.estimate import Timed
from ..sweeps.plan import checked
from ..sweeps.plan_file import Source
from .intervals import Interval
from .party import Party

TAG = "reproduce"
"""Label of the runs that claims ask for."""


def work_of(contender: Party) -> Work:
    """Returns the runs of a contender."""
    return _expanded(contender.label, json.dumps(contender.plan))


@lru_cache(maxsize=1000)
def _expanded(label: str, plan: str) -> Work:
    return expanded(*checked(json.loads(plan), Source(label)))


def without_run(store: Store, runs: Sequence[Planned]) -> frozenset[str]:
    """Returns the fingerprints of runs of which the store has no complete one, on any device."""
    found = as_stored(store, runs)
    known = held(store, times_of(found))
    return frozenset(
        run.config_hash
        for run, one in zip(runs, found, strict=True)
        if known.get(one.config_hash) != COMPLETED
    )


class Found:
    """What the store has of a claim's runs.

    Args:
        store: where they are.
        contenders: whose runs.
    """

    def __init__(self, store: Store, contenders: Iterable[Party]) -> None:
        self._store = store
        self.contenders = {one.label: one for one in contenders}
        asked = {label: work_of(one).runs for label, one in self.contenders.items()}
        found = iter(as_stored(store, [run for runs in asked.values() for run in runs]))
        wanted = {label: [next(found).config_hash for _ in runs] for label, runs in asked.items()}
        every = [name for names in wanted.values() for name in names]
        rows = _complete(store, every)
        self._asked = {
            label: run for label, one in self.contenders.items() for run in work_of(one).runs
        }
        self.missing = len(every) - len(rows)
        self.runs = {
            label: rows.loc[[name for name in names if name in rows.index]].sort_values("seed")
            for label, names in wanted.items()
        }

    @property
    def cpu_seconds(self) -> float:
        """Of all runs that there are."""
        times = (found["cpu_seconds"] for runs in self.runs.values() for found in runs["metrics"])
        return float(sum(times))

    @property
    def times(self) -> tuple[Timed, ...]:
        """What a run of each contender took on the device that is asked for.

        In the median its seconds of a processor, and its steps.
        """
        found = []
        for label, run in self._asked.items():
            here = self.runs[label]
            here = here[here["device"] == run.experiment.device]
            if len(here):
                seconds = statistics.median(one["cpu_seconds"] for one in here["metrics"])
                found.append((run.kind, seconds, float(here["steps"].median())))
        return tuple(found)

    @property
    def n(self) -> int:
        """Seeds of the contender that has the fewest."""
        return min((len(runs) for runs in self.runs.values()), default=0)

    def metric(self, label: str, name: str) -> pd.Series:
        """Returns a metric of a contender's runs, by seed; a diverged run that has none is NaN."""
        runs = self.runs[label]
        values = [found.get(name) for found in runs["metrics"]]
        return pd.Series(values, index=runs["seed"].tolist(), dtype=float)

    def mean(self, label: str, name: str) -> Interval:
        """Returns a metric's mean over seeds."""
        return Interval.of(self.metric(label, name))

    def curve(self, label: str, name: str) -> pd.DataFrame:
        """Returns the mean of a curve over seeds, by step."""
        ids = self.runs[label]["run_id"].tolist()
        points = queries.curves(self._store, ids, [name])
        return points.groupby("step", as_index=False)["value"].mean()

    def tables(self, label: str, name: str) -> list[pd.DataFrame]:
        """Returns a table of each of a contender's runs."""
        ids = self.runs[label]["run_id"]
        return [queries.tables(self._store, run_id)[name] for run_id in ids]


def _complete(store: Store, hashes: list[str]) -> pd.DataFrame:
    """Returns the newest complete run of each configuration, by its hash, metrics parsed."""
    where = Where()
    where.among("config_hash", hashes)
    where.among("status", COMPLETE)
    where.add("NOT cut_short")
    rows = queries.selected(store, where).drop_duplicates("config_hash")
    metrics: list[Any] = [json.loads(text) for text in rows["metrics"]]
    return rows.assign(metrics=metrics).set_index("config_hash")
