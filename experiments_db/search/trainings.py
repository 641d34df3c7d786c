"""The trainings of a search: a cell at a rate, for so many steps, in a frame, on a seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ttr_core.lab import Experiment

from ..run.request import config_hash
from ..sweeps import Planned
from .candidates import Candidate


@dataclass(frozen=True)
class Training:
    """One training that is asked for.

    Args:
        candidate: the cell.
        frame: its surroundings.
        lr: its rate.
        steps: at most.
        seed: decides weights and batches.
    """

    candidate: Candidate
    frame: str
    lr: float
    steps: int
    seed: int

    @property
    def planned(self) -> Planned:
        """The run, as a sweep takes it."""
        one = self.candidate
        return _planned(one.experiment, self.frame, self.lr, self.steps, self.seed)


def trainings(
    cells: Iterable[tuple[Candidate, Sequence[float]]],
    frame: str,
    steps: int,
    seeds: Sequence[int],
) -> list[Training]:
    """Returns the trainings of some cells, seed by seed.

    Args:
        cells: each with its rates.
        frame: their surroundings.
        steps: at most.
        seeds: each takes every one.
    """
    asked = [(one, lr) for one, rates in cells for lr in rates]
    return [Training(one, frame, lr, steps, seed) for seed in seeds for one, lr in asked]


@lru_cache(maxsize=100_000)
def _planned(base: Experiment, frame: str, lr: float, steps: int, seed: int) -> Planned:
    experiment = dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, frame=frame),
        train=dataclasses.replace(base.train, lr=lr, steps=steps),
        seed=seed,
    )
    config = experiment.config()
    setting = f"{frame} lr={lr:g} steps={steps}"
    return Planned(experiment, config, config_hash(config), base.task.name, setting)
