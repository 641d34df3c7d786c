"""Protocol tuned: rates by halving on the first seed, then the other seeds at the best of them.

The training of the rate that halving keeps is that of this rate alone, step by step, so that the
first seed is not trained again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..run.request import config_hash
from ..store import Store
from . import questions
from .anywhere import as_stored
from .expansion import Planned, Work, times_of


def followers(run: Planned, rate: float | None, seeds: Sequence[int]) -> list[Planned]:
    """Returns the runs of the other seeds at the rate that a run has chosen.

    Args:
        run: one that tried several rates.
        rate: the best of them, or None where it has none.
        seeds: the others.
    """
    own = run.experiment
    if rate is None or not own.task.trained or own.train.lr != "auto":
        return []
    train = dataclasses.replace(own.train, lr=rate)
    found = []
    for seed in seeds:
        experiment = dataclasses.replace(own, train=train, seed=seed)
        config = experiment.config()
        name = config_hash(config)
        own_place = (run.task, run.setting, run.config_hash, run.rank)
        found.append(Planned(experiment, config, name, *own_place))
    return found


def with_followers(store: Store, work: Work) -> Work:
    """Returns the work as the store has it, with the runs that follow from it, each in its place.

    They come right after the run that chose their rate: where a batch ends, its rows are whole.
    Where the plan leaves the device open, a run that another device has made is taken.
    """
    runs = as_stored(store, work.runs) if work.anywhere else work.runs
    if work.seeds_later:
        found = questions.results(store, times_of(runs))
        rates = {name: one["lr"] for name, one in found.items() if one["status"] == "finished"}
        runs = [
            one
            for run in runs
            for one in (run, *followers(run, rates.get(run.config_hash), work.seeds_later))
        ]
        runs = as_stored(store, runs) if work.anywhere else runs
    return dataclasses.replace(work, runs=tuple(runs))
