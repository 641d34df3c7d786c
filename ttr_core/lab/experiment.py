"""Experiment: everything that decides a run, as data that is hashed, stored and run again."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..errors import LimitExceeded, RequestError, unknown
from ..layers.model import ModelConfig, SequenceModel
from ..layers.own_module import is_module
from ..layers.published import catalog
from ..solvers import packed_state_size, state_size
from ..space.option import from_settings
from ..space.spec import Spec
from .devices import DEVICES, ran_out, released, too_large
from .events import Event, Finished, Progress, Started
from .identity import VERSION, fingerprint, revised
from .learner import Learner
from .metric import PACKED
from .protocol import TrainConfig
from .tasks import EvaluatedTask, Evaluation, Task, TrainedTask, task
from .training import train

UNHASHED = ("seconds",)  # of TrainConfig: how long one was willing to wait


class _Cancelled(Exception):
    """Ends an evaluation from within its progress report."""


@dataclass(frozen=True)
class Experiment:
    """One run before it is run.

    Args:
        task: what is asked.
        model: who is asked.
        train: how it is trained; not used by tasks without training.
        seed: decides initial weights, batches and sequences.
        device: ``cpu`` or ``cuda``.
        layer: the published name that was asked for, or None.

    Raises:
        UnknownName: the device is neither.

    Example:
        >>> import ttr_core as ttr
        >>> from ttr_core.lab import Experiment
        >>> task = ttr.task("regression", {"seq_len": 8, "dim": 2, "sequences": 2})
        >>> *_, last = Experiment(task, ttr.ModelConfig(layers=("deltanet",))).run()
        >>> last.status, "error" in last.metrics
        ('finished', True)
    """

    task: Task
    model: ModelConfig
    train: TrainConfig = field(default_factory=TrainConfig)
    seed: int = 0
    device: str = "cpu"
    layer: str | None = None

    def __post_init__(self) -> None:
        if self.device not in DEVICES[1:]:
            raise unknown("device of an experiment", self.device, DEVICES[1:])

    @property
    def specs(self) -> tuple[Spec, ...]:
        """The specs of the model's layers, each once, in order."""
        return tuple(dict.fromkeys(spec for spec, _ in self.model.regressions()))

    def config(self) -> dict[str, Any]:
        """Returns all that was asked, JSON-able and with every default written out."""
        train = dataclasses.asdict(self.train)
        model = dataclasses.asdict(self.model)
        layers = self.model.layers
        bare = [t for t in layers if t in catalog or is_module(t)]
        model["layers"] = [t if t in bare else Spec.parse(t).expanded for t in layers]
        found: dict[str, Any] = {
            "version": VERSION,
            "layer": self.layer,
            "spec": ", ".join([spec.expanded for spec in self.specs] + [*self.model.modules]),
            "task": {"name": self.task.name, **self.task.settings()},
            "model": model,
            "frames": [frame.settings() for _, frame in self.model.regressions()],
            "train": {name: x for name, x in train.items() if name not in UNHASHED},
            "seed": self.seed,
            "device": self.device,
        }
        later = revised(found)
        return {**found, "revisions": later} if later else found

    def fingerprint(self) -> dict[str, Any]:
        """Returns the part of the configuration that decides the run: what is hashed."""
        return fingerprint(self.config())

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Experiment:
        """Builds the experiment that `config` describes.

        Raises:
            RequestError: another version, or a setting that does not exist or is out of range.
        """
        if config.get("version") != VERSION:
            raise RequestError(
                f"The configuration has version {config.get('version')!r}; this program reads "
                f"version {VERSION}: run it anew from its settings."
            )
        settings = dict(config["task"])
        return cls(
            task=task(settings.pop("name"), settings),
            model=from_settings(ModelConfig, config["model"], "setting of the model"),
            train=from_settings(TrainConfig, config["train"], "setting of the training"),
            seed=config["seed"],
            device=config["device"],
            layer=config["layer"],
        )

    def run(
        self,
        stop: Callable[[], bool] = lambda: False,
        kept: Callable[[SequenceModel], None] = lambda model: None,
    ) -> Iterator[Event]:
        """Runs the experiment, training or evaluating as its task asks.

        Args:
            stop: asked between steps; True ends the run as ``cancelled``.
            kept: gets the trained model where one was trained to the end.

        Yields:
            Events, a `Finished` last.

        Raises:
            LimitExceeded: memory did not suffice; with a size that fits, which was tried.
        """
        try:
            if isinstance(self.task, TrainedTask):
                more = (self.train, self.seed, self.device, stop, kept)
                yield from train(self.task, self.model, *more)
            elif isinstance(self.task, EvaluatedTask):
                yield from self._evaluate(self.task, stop)
            return
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not ran_out(error):
                raise
            released(error)
        raise self._too_large()

    def _too_large(self) -> LimitExceeded:
        """Tries smaller sizes on the device that ran out of memory."""
        asked, config = self.task, self.train
        if isinstance(asked, TrainedTask):

            def step(size: int) -> None:
                smaller = dataclasses.replace(config, batch_size=size)
                rate = smaller.rates[0]
                Learner(asked, self.model, smaller, rate, self.seed, self.device).advance()

            return too_large(self.device, "train.batch_size", config.batch_size, step)

        settings = asked.settings()
        name = "sequences" if "sequences" in settings else "seq_len"

        def evaluation(size: int) -> None:
            fewer = task(asked.name, {**settings, name: size})
            assert isinstance(fewer, EvaluatedTask)
            fewer.evaluate(self.specs[0], self.seed, self.device, lambda done, total: None)

        return too_large(self.device, f"task.{name}", settings[name], evaluation)

    def _evaluate(self, asked: EvaluatedTask, stop: Callable[[], bool]) -> Iterator[Event]:
        start, cpu = time.perf_counter(), time.process_time()
        if len(self.specs) != 1:
            raise RequestError(
                f"Task {asked.name} evaluates one layer, but model.layers has "
                f"{len(self.specs)}: give one."
            )
        spec = self.specs[0].check()
        sizes = (asked.dim, asked.dim, asked.seq_len)
        size, packed = state_size(spec, *sizes), packed_state_size(spec, *sizes)
        yield Started(0, size, 0.0, 1)
        yield Progress(0, 1, None, None, 0.0, 0.0)

        def report(done: int, total: int) -> None:
            if stop():
                raise _Cancelled

        try:
            found = asked.evaluate(spec, self.seed, self.device, report)
        except _Cancelled:
            yield _end("cancelled", Evaluation({}, {}, {}), size, start, cpu, "Cancelled.")
            return
        if asked.main().name not in found.metrics:
            raise RequestError(
                f"Task {asked.name} declares the metric {asked.main().name}, but its evaluation "
                f"reports {', '.join(found.metrics) or 'nothing'}: report it, too."
            )
        yield Progress(1, 1, None, None, 0.0, time.perf_counter() - start)
        told = {PACKED: packed, **found.metrics}
        found = dataclasses.replace(found, metrics=_numbers(asked.name, told))
        finite = all(math.isfinite(x) for x in found.metrics.values())
        status, message = ("finished", "") if finite else ("diverged", "The output is not finite.")
        yield _end(status, found, size, start, cpu, message)


def _numbers(task: str, metrics: Mapping[str, Any]) -> dict[str, float]:
    """Returns what a task reports as numbers of Python's own, which can be stored.

    Raises:
        RequestError: something is none, nor a tensor that holds one.
    """
    found = {}
    for name, value in metrics.items():
        try:
            found[name] = float("none" if isinstance(value, str) else value)
        except (TypeError, ValueError, RuntimeError):
            raise RequestError(
                f"Task {task} reports {name} as {value!r:.80}; a metric is one number: report NaN "
                "where there is none."
            ) from None
    return found


def _end(
    status: str, found: Evaluation, size: int, start: float, cpu: float, message: str
) -> Finished:
    """Builds the last event of an evaluation; what is not finite is left out of its curves."""
    metrics: dict[str, float | None] = {
        name: x if math.isfinite(x) else None for name, x in found.metrics.items()
    }
    curves = {
        name: [[i, y] for i, y in enumerate(curve) if math.isfinite(y)]
        for name, curve in found.curves.items()
    }
    return Finished(
        status=status,
        metrics={**metrics, "cpu_seconds": time.process_time() - cpu},
        accuracy_by={},
        steps=1 if status == "finished" else 0,
        seconds=time.perf_counter() - start,
        seconds_to_target=None,
        parameters=0,
        state_size=size,
        lr=None,
        curves=curves,
        tables=found.tables,
        message=message,
    )
