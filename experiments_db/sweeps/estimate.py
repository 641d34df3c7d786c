"""How long runs will take, by what runs like them took.

What a step costs and how many steps are taken are two questions: of two runs with the same steps at
most, one may be flat after an eighth of them.
"""

from __future__ import annotations

import collections
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ttr_core import RequestError, how_many
from ttr_core.lab import RATES, TASKS, TrainedTask, is_module, task

KEPT = 50
"""Runs of a kind that count, the newest."""

STORED = 0.5
"""Seconds that a run waits for the store at its start and its end, which take no processor."""

HALVED = 2.75
"""Trainings in full that successive halving over the learning rates comes to, about."""

PER_STEP = 2000.0
"""Tokens that what an evaluation costs anyway comes to, about."""

PER_LAYER = 500.0
"""Tokens that what a step costs anyway comes to in a layer, about."""

LINEAR = 0.8
"""The share of a layer's work at width 64 that grows with the width; the rest with its square."""

MLP = 0.4
"""What an MLP adds to the latter for each width of its hidden layer."""

PRODUCT = 2.5e-11
"""Seconds of a floating-point operation in the product with the vocabulary, on a core."""

END = 12
"""Looks at the validation set that the tests at a run's end come to, about."""

LEAST = 0.2
"""The share of a step that is the layer's at least."""

FAR = 8.0
"""How many times as much work of its layer a run may have as one that it is estimated by."""

LESS = 0.9
"""The share of an estimate below which it is told that it is likely to be less."""

ALIKE, OWN = 2, 3
"""Names of a kind that are of its setting: the configuration, and that at another rate; and those
of its layer: the layer on its task, too."""


@dataclass(frozen=True)
class Kind:
    """What decides how long a run takes.

    Args:
        names: the kinds of runs that it is compared with, the closest first.
        work: what a step has to do in its layers, in tokens of a small one.
        shared: seconds of a step that are not the layers' but every model's of its size.
        steps: steps of training in it at most, of all the rates that it tries.
        ends: steps that the tests at its end come to.
    """

    names: tuple[str, ...]
    work: float
    shared: float = 0.0
    steps: float = 1.0
    ends: float = 0.0


Timed = tuple[Kind, float, float]
"""What a run of a kind took: seconds of a processor, and steps."""

Bygone = tuple[Mapping[str, Any], float] | tuple[Mapping[str, Any], float, float | None]
"""A run that ended: its configuration, its seconds, and the steps that it took, where not all."""


class Pace:
    """Seconds of a step, and how many of its steps a run takes, learned from finished ones.

    A run is compared with runs that differ in the seed alone; if there are none, in the rate alone,
    then with runs of the same layer on the same task, then with any on that task, in proportion to
    the work of its layers; what the product with the vocabulary takes is counted by itself. That it
    ends before its last step is expected where runs of its setting did. A user's module is a layer
    by its class and the content of its file, and is compared with itself alone: its code says
    nothing of others, nor theirs of it.
    """

    def __init__(self, past: Iterable[Bygone] = ()) -> None:
        self._known: dict[str, collections.deque[tuple[float, float]]] = {}
        self._shares: dict[str, collections.deque[float]] = {}
        self.runs, self.trials, self.learned_from = 0, 0, ("past run", "past runs")
        self.add_runs(past)

    @property
    def told(self) -> str:
        """What it knows its numbers from."""
        tried = how_many(self.trials, "trial of a few steps", "trials of a few steps")
        found = [how_many(self.runs, *self.learned_from)] if self.runs else []
        return " and ".join([*found, tried] if self.trials else found)

    def add_runs(self, past: Iterable[Bygone]) -> None:
        """Notes how long past runs took, the newest first given."""
        kinds: dict[int, Kind] = {}
        for config, seconds, *taken in reversed(list(past)):
            if id(config) not in kinds:  # runs of one configuration share it
                kinds[id(config)] = kind(config)
            self.add(kinds[id(config)], seconds, *taken)

    def add(self, run: Kind, seconds: float, taken: float | None = None) -> None:
        """Notes how long the steps of a run took; the newest notes count.

        Args:
            run: what it was.
            seconds: how long they took, the tests at its end left out.
            taken: how many there were; None for as many as there could be.
        """
        steps = max(1.0, run.steps if taken is None else taken)
        self.runs += 1
        self._note(run, seconds / steps)
        for name in run.names:
            kept = self._shares.setdefault(name, collections.deque(maxlen=KEPT))
            kept.append(min(1.0, steps / run.steps))

    def add_whole(self, run: Kind, seconds: float, taken: float | None) -> None:
        """Notes how long a run took with the tests at its end; the arguments are those of `add`."""
        steps = run.steps if taken is None else taken
        self.add(run, seconds * steps / max(1.0, steps + run.ends), taken)

    def add_trial(self, run: Kind, seconds: float) -> None:
        """Notes how long a step of a run took, and nothing of how many it takes."""
        self.trials += 1
        self._note(run, seconds)

    def _note(self, run: Kind, seconds: float) -> None:
        own = max(seconds - run.shared, LEAST * seconds)
        for name in run.names:
            kept = self._known.setdefault(name, collections.deque(maxlen=KEPT))
            kept.append((own / run.work, run.work))

    def seconds(self, run: Kind) -> float | None:
        """Returns the seconds of a processor that a run will take, or None where none is like it.

        At most, where no run of its setting says how many of its steps it takes.
        """
        return self._lasting(run, run.names[:ALIKE])

    def likely(self, run: Kind) -> float | None:
        """Returns the same where, of a setting without a run, others say how early it is flat.

        A guess: those of its layer on its task, or else any on that task.
        """
        return self._lasting(run, run.names)

    def _lasting(self, run: Kind, flat_as: Sequence[str]) -> float | None:
        for name in run.names:
            if name in self._known:
                own = statistics.median(rate for rate, _ in self._known[name]) * run.work
                share = next((s for other in flat_as if (s := self._share(other))), 1.0)
                return (own + run.shared) * (run.steps * share + run.ends)
        return None

    def _share(self, name: str) -> float | None:
        return statistics.median(self._shares[name]) if name in self._shares else None

    def settles(self, run: Kind) -> bool:
        """Whether it is known how many of its steps a run takes."""
        return run.steps == 1.0 or any(name in self._shares for name in run.names[:ALIKE])

    def knows(self, run: Kind) -> bool:
        """Whether a run of the same layer on the same task was seen that is not much smaller."""
        return any(
            run.work <= FAR * work
            for name in run.names[:OWN]
            for _, work in self._known.get(name, ())
        )

    def processor(self, runs: Iterable[Kind]) -> tuple[float, int]:
        """Returns the seconds of a processor that runs take, and how many of them are unknown.

        An unknown run counts as the mean of the known ones.
        """
        each = [self.seconds(run) for run in runs]
        known = [seconds for seconds in each if seconds is not None]
        missing = len(each) - len(known)
        return sum(known) + missing * (statistics.fmean(known) if known else 0.0), missing

    def guessed(self, runs: Iterable[Kind]) -> float:
        """Returns the share of what `processor` tells that runs are likely to take."""
        asked = list(runs)
        most = sum(self.seconds(run) or 0.0 for run in asked)
        return sum(self.likely(run) or 0.0 for run in asked) / most if most else 1.0

    def total(
        self, runs: Iterable[Kind], workers: int, cores: int | None = None
    ) -> tuple[float, int]:
        """Returns the seconds by the clock that runs take, and how many of them are unknown.

        Args:
            runs: the runs.
            workers: how many go side by side.
            cores: how many of these compute at a time, where not all do; the others wait for the
                store meanwhile.
        """
        asked = list(runs)
        busy, missing = self.processor(asked)
        side = max(1, min(workers, len(asked)))
        waits = STORED * len(asked) if missing < len(asked) else 0.0
        return busy / min(side, cores or side) + waits / side, missing


def taken(result: Mapping[str, Any]) -> float | None:
    """Returns the steps that a run took, of all rates that it tried; None where none is told."""
    rates = (result.get("tables") or {}).get("learning_rates") or ()
    steps = sum(rate["steps"] for rate in rates) or result.get("steps")
    return None if steps is None else float(steps)


def kind(config: Mapping[str, Any]) -> Kind:
    """Returns what decides how long a run takes."""
    name, device, train = config["task"]["name"], config["device"], config["train"]
    alike = {key: value for key, value in config.items() if key != "seed"}
    rate = train["lr"] if train["lr"] == "auto" else "any"
    at_any = {**alike, "train": {**train, "lr": rate}}
    settings = (json.dumps(one, sort_keys=True) for one in (alike, at_any))
    own = (*settings, f"{config['spec']} on {name} by {device}")
    names = own if is_module(config["spec"]) else (*own, f"{name} by {device}")
    known = TASKS.get(name)
    if "sequences" in config["task"] or (known is not None and not known.trained):
        tokens = float(config["task"].get("seq_len") or 1) * config["task"].get("sequences", 1)
        return Kind(names, tokens + PER_STEP)
    return Kind(names, *_step(config), _steps(train), _ends(train))


def _steps(train: Mapping[str, Any]) -> float:
    """Returns the steps of a training at most, of all rates that it tries."""
    rates = 1.0
    if train["lr"] == "auto":
        rates = HALVED if train["protocol"] == "quick" else len(RATES)
    return float(train["steps"] * rates)


def _ends(train: Mapping[str, Any]) -> float:
    """Returns the steps that the tests at the end come to: forward alone, a third of a step."""
    return float(END * train["eval_examples"] / (3 * train["batch_size"]))


def _step(config: Mapping[str, Any]) -> tuple[float, float]:
    """Returns what a step has to do in its layers, and the seconds that others have as well."""
    train, model = config["train"], config["model"]
    asked, words, tokens = _answers(json.dumps(config["task"], sort_keys=True))
    width, batch = model["d_model"] / 64, train["batch_size"]
    each = LINEAR * width + (1 - LINEAR) * width**2 * (1 + MLP * model.get("mlp", 0))
    product = 6.0 * batch * asked * words * model["d_model"]
    shared = PRODUCT * product if config["device"] == "cpu" else 0.0  # a GPU's is nothing
    return float(model["depth"] * (batch * tokens * each + PER_LAYER)), shared


@lru_cache(maxsize=1000)
def _answers(settings: str) -> tuple[int, int, int]:
    """Returns how many answers a sequence of a task asks for, the words, and its tokens."""
    given = json.loads(settings)
    try:
        made = task(given.pop("name"), given)
    except RequestError:  # of another version
        made = None
    if not isinstance(made, TrainedTask):
        return 0, 0, int(given.get("seq_len") or 1)
    return made.held_out("validation", 1).positions.shape[1], made.vocab_size, made.seq_len


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
