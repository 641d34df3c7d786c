"""How long runs will take, by what runs like them took."""

from __future__ import annotations

import collections
import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ttr_core.lab import RATES, TASKS, is_module

KEPT = 50
"""Runs of a kind that count, the newest."""

STORED = 0.5
"""Seconds that a run waits for the store at its start and its end."""

HALVED = 2.75
"""Trainings in full that successive halving over the learning rates comes to, about."""


PER_STEP = 2000.0
"""Tokens that what a step costs anyway comes to, about."""

OWN = 2
"""Names of a kind that are of its layer: the configuration, and the layer on its task."""


@dataclass(frozen=True)
class Kind:
    """What decides how long a run takes.

    Args:
        names: the kinds of runs that it is compared with, the closest first.
        work: how much it has to do.
        steps: steps of training in it, of all the rates that it tries.
    """

    names: tuple[str, ...]
    work: float
    steps: float = 1.0


class Pace:
    """Seconds per unit of work, learned from finished runs, the newest first given.

    A run is compared with runs that differ in the seed alone; if there are none, with runs of the
    same layer on the same task, then with any on that task, in proportion to
    the tokens they see. A user's module is a layer by its class and the content of its file, and is
    compared with itself alone: its code says nothing of others, nor theirs of it.
    """

    def __init__(self, past: Iterable[tuple[Mapping[str, Any], float]] = ()) -> None:
        self._known: dict[str, collections.deque[float]] = {}
        self.runs, self.learned_from = 0, "past runs"
        self.add_runs(past)

    def add_runs(self, past: Iterable[tuple[Mapping[str, Any], float]]) -> None:
        """Notes how long past runs took, the newest first given."""
        kinds: dict[int, Kind] = {}
        for config, seconds in reversed(list(past)):
            if id(config) not in kinds:  # runs of one configuration share it
                kinds[id(config)] = kind(config)
            self.add(kinds[id(config)], seconds)

    def add(self, run: Kind, seconds: float) -> None:
        """Notes how long a run took; the newest notes count."""
        self.runs += 1
        for name in run.names:
            kept = self._known.setdefault(name, collections.deque(maxlen=KEPT))
            kept.append(seconds / run.work)

    def seconds(self, run: Kind) -> float | None:
        """Returns the seconds that a run will take, or None where nothing like it was run."""
        for name in run.names:
            if name in self._known:
                return statistics.median(self._known[name]) * run.work
        return None

    def knows(self, run: Kind) -> bool:
        """Whether a run of the same layer on the same task was seen: others say little of it."""
        return any(name in self._known for name in run.names[:OWN])

    def total(self, runs: Iterable[Kind], workers: int) -> tuple[float, int]:
        """Returns the seconds that runs take side by side, and how many of them are unknown.

        An unknown run counts as the mean of the known ones.
        """
        each = [self.seconds(run) for run in runs]
        known = [seconds + STORED for seconds in each if seconds is not None]
        missing = len(each) - len(known)
        mean = statistics.fmean(known) if known else 0.0
        return (sum(known) + missing * mean) / max(1, min(workers, len(each))), missing


def kind(config: Mapping[str, Any]) -> Kind:
    """Returns what decides how long a run takes."""
    task, device = config["task"]["name"], config["device"]
    alike = {key: value for key, value in config.items() if key != "seed"}
    own = (json.dumps(alike, sort_keys=True), f"{config['spec']} on {task} by {device}")
    names = own if is_module(config["spec"]) else (*own, f"{task} by {device}")
    steps, each = _work(config)
    return Kind(names, steps * each, steps)


def _work(config: Mapping[str, Any]) -> tuple[float, float]:
    """Returns the steps of a run, and what each has to do in tokens of a small model."""
    task, train, model = config["task"], config["train"], config["model"]
    tokens = float(task.get("seq_len") or 1)
    known = TASKS.get(task["name"])
    if "sequences" in task or (known is not None and not known.trained):
        return 1.0, float(tokens * task.get("sequences", 1) + PER_STEP)
    rates = 1.0
    if train["lr"] == "auto":
        rates = HALVED if train["protocol"] == "quick" else len(RATES)
    each = tokens * train["batch_size"] * model["depth"] * model["d_model"] / 64
    return float(train["steps"] * rates), float(each + PER_STEP)


def in_words(seconds: float) -> str:
    """Returns a duration as people say it.

    Example:
        >>> in_words(42), in_words(200), in_words(8000)
        ('42 s', '3 min', '2 h 13 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
