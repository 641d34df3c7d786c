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
    """Returns the work with the runs that follow from what the store has of it, each in its place.

    They come right after the run that chose their rate: where a batch ends, its rows are whole.
    """
    if not work.seeds_later:
        return work
    found = questions.results(store, times_of(work.runs))
    rates = {name: result["lr"] for name, result in found.items() if result["status"] == "finished"}
    further = [
        one
        for run in work.runs
        for one in (run, *followers(run, rates.get(run.config_hash), work.seeds_later))
    ]
    return dataclasses.replace(work, runs=tuple(further))
