"""How long runs will take where nothing like them was run: a few steps of each are timed."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterable

from ttr_core.lab import Experiment, Progress, one_thread

from .estimate import Pace
from .expansion import Planned

UP_TO = 10
"""Steps of a trial, the first half of which warms up."""


def tried(
    runs: Iterable[Planned],
    told: Callable[[int, int], None] = lambda done, total: None,
    pace: Pace | None = None,
) -> Pace:
    """Returns the pace of runs by a few steps of each layer; what is not trained is left out.

    Of a layer the first kind is tried; the others take their time from it, in proportion to the
    tokens they see.

    How many of its steps a run takes they do not tell.

    Args:
        runs: the runs.
        told: hears how many kinds are done.
        pace: what is known already, to which it is added.
    """
    kinds: dict[str, list[Planned]] = {}
    for run in runs:
        if run.experiment.task.trained:
            kinds.setdefault(_alike(run), []).append(run)
    pace = pace or Pace()
    for done, members in enumerate(kinds.values()):
        told(done, len(kinds))
        run = members[0]
        if not pace.knows(run.kind):  # its layer, at a size that is not far away
            pace.add_trial(run.kind, _step_seconds(run.experiment))
    return pace


def _alike(run: Planned) -> str:
    """Returns what decides how long a step takes: all but the seed and the rate."""
    config = run.config
    train = {name: value for name, value in config["train"].items() if name != "lr"}
    return json.dumps({**config, "seed": 0, "train": train}, sort_keys=True)


def _step_seconds(experiment: Experiment) -> float:
    """Returns the processor seconds of a step as a worker takes them: on one thread, once warm.

    What looks at the validation set add to each is counted: forward alone, a third of a step.
    """
    steps = max(UP_TO, experiment.train.steps)
    train = dataclasses.replace(experiment.train, lr=0.01, target=None, steps=steps)
    seen: list[tuple[int, float]] = []
    with one_thread():
        for event in dataclasses.replace(experiment, train=train).run(stop=lambda: len(seen) > 1):
            if isinstance(event, Progress):
                seen.append((event.step, time.process_time()))
    if len(seen) < 2:  # it diverged
        return 0.0
    (first, before), (last, after) = seen
    looks = train.eval_examples / (3 * train.eval_every * train.batch_size)
    return (1 + looks) * (after - before) / (last - first)
