"""Training a model on a task: a generator of events, with nothing printed and nothing stored."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import how_many
from ..layers.model import ModelConfig, SequenceModel
from .curve import RISE_AT_FALL, STILL_RISING
from .evaluate import generalization, tested
from .events import Event, Finished, Progress, Started
from .learner import Learner, ranked
from .memory import memory_rows
from .metric import PACKED, VALIDATION
from .protocol import AFTER_FIRST_ROUND, REPORT_EVERY, TEST_SETS, TrainConfig
from .tasks import TrainedTask

Tested = tuple[
    dict[str, float | None], dict[str, dict[str, float]], dict[str, list[dict[str, Any]]]
]


def train(
    task: TrainedTask,
    model: ModelConfig,
    config: TrainConfig | None = None,
    seed: int = 0,
    device: str = "cpu",
    stop: Callable[[], bool] = lambda: False,
    kept: Callable[[SequenceModel], None] = lambda model: None,
) -> Iterator[Event]:
    """Trains a model on a task: the same seed gives the same curve on the same device.

    Args:
        task: where the batches come from.
        model: what is trained.
        config: how; None for the defaults.
        seed: decides initial weights and training batches; validation and test sets are fixed.
        device: ``cpu`` or ``cuda``.
        stop: asked between steps; True ends the run as ``cancelled``.
        kept: gets the trained model of a run that finished, before the last event.

    Yields:
        `Started`, then `Progress` and `Evaluated` events, then one `Finished`.

    Example:
        >>> import ttr_core as ttr
        >>> task = ttr.task("mqar", {"pairs": 2, "seq_len": 8, "vocab_size": 16})
        >>> model = ttr.ModelConfig(layers=("deltanet",), d_model=8)
        >>> train = ttr.TrainConfig(steps=2, batch_size=2, lr=0.01, eval_examples=4)
        >>> *_, last = ttr.train(task, model, train)
        >>> last.steps
        2
    """
    config = config or TrainConfig()
    run = _Run(task, model, config, seed, device, stop)
    yield Started(run.parameters, run.state_size, run.flops_per_token, config.steps)
    if len(run.learners) == 1:
        yield from run.finish(run.learners[0])
    elif config.protocol != "quick":
        for learner in run.learners:
            yield from run.finish(learner)
    else:
        yield from run.halve()
    ended = run.finished()
    if ended.status == "finished":
        kept(run.chosen().model)
    yield ended


class _Run:
    """One run: its learners (one per learning rate), its clock and its end."""

    def __init__(
        self,
        task: TrainedTask,
        model: ModelConfig,
        config: TrainConfig,
        seed: int,
        device: str,
        stop: Callable[[], bool],
    ) -> None:
        self.start, self.task, self.config, self.device = time.perf_counter(), task, config, device
        self.stop = stop
        rates = config.rates
        self.learners = [Learner(task, model, config, lr, seed, device) for lr in rates]
        self.validation = task.held_out("validation", config.eval_examples, device)
        self.cancelled = self.out_of_time = False
        built = self.learners[0].model
        self.parameters = int(built.parameter_count())
        self.state_size = built.state_size(task.seq_len)
        self.packed_state_size = built.packed_state_size(task.seq_len)
        self.flops_per_token = float(built.flops_per_token(task.seq_len))

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.start

    def interrupted(self) -> bool:
        """Whether the run must end now: cancelled, or its time is used up."""
        self.cancelled = self.cancelled or self.stop()
        limit = self.config.seconds
        self.out_of_time = self.out_of_time or (limit is not None and self.seconds >= limit)
        return self.cancelled or self.out_of_time

    def done(self, learner: Learner) -> bool:
        """Whether nothing more is to be gained from a learner."""
        return learner.diverged or (self.config.stops_at_target and learner.settled)

    def fit(self, learner: Learner, until: int) -> Iterator[Event]:
        """Trains a learner at its peak rate up to a step, or until its curve is flat."""
        while learner.step < until and not self.done(learner) and not self.interrupted():
            if learner.is_flat:  # more steps would not change its place among the rates
                return
            yield from self.advance(learner, until)

    def finish(self, learner: Learner) -> Iterator[Event]:
        """Trains a learner until its curve is flat or its steps are used up, and to rest."""
        while learner.step < learner.ends and not self.done(learner) and not self.interrupted():
            learner.rest()
            yield from self.advance(learner, learner.ends)

    def advance(self, learner: Learner, until: int) -> Iterator[Event]:
        """Takes one step, and looks at the validation set where it is due."""
        learner.advance()
        looks = self.config.looks(learner.step, until)
        if looks:
            learner.read()
        if learner.step % REPORT_EVERY == 0 or learner.diverged:
            yield self.progress(learner)
        if looks and not learner.diverged:
            yield learner.look(self.validation)

    def halve(self) -> Iterator[Event]:
        """Successive halving: all rates for a while, then the better half for twice as long.

        One whose curve is flat waits where it is, as it would alone. Only the last one is trained
        to rest, from there: its training is step by step the one at this rate alone.
        """
        rivals = list(self.learners)
        for number in itertools.count():
            if len(rivals) == 1:
                yield from self.finish(rivals[0])
                return
            until = self.config.round_ends(number, len(rivals))
            for learner in rivals:
                yield from self.fit(learner, until)
                if self.config.stops_at_target and learner.settled:
                    return
            if self.interrupted():
                return
            for learner in rivals if number == 0 else ():
                learner.early = learner.value
            rivals = ranked(rivals)[: len(rivals) // 2]

    def progress(self, learner: Learner) -> Progress:
        read = learner.step * self.config.batch_size * self.task.seq_len
        speed = read / max(learner.seconds, 1e-9)
        loss = learner.loss if math.isfinite(learner.loss) else None
        return Progress(learner.step, self.config.steps, loss, learner.lr, speed, self.seconds)

    def chosen(self) -> Learner:
        """The learner that counts: the first at the target, else the best that came to rest."""
        if self.config.stops_at_target:
            for learner in self.learners:
                if learner.settled:
                    return learner
        return ranked([one for one in self.learners if one.rested] or self.learners)[0]

    def finished(self) -> Finished:
        best = self.chosen()
        status = "cancelled" if self.cancelled else "diverged" if best.diverged else "finished"
        metrics, accuracy_by, tables = self.tested(best) if status == "finished" else ({}, {}, {})
        tried = [learner for learner in self.learners if learner.step]
        if len(tried) > 1:
            tables["learning_rates"] = [self.row(learner) for learner in tried]
        return Finished(
            status=status,
            metrics={
                PACKED: None if self.state_size is None else float(self.packed_state_size or 0),
                **self.validated(best),
                **self.speed(best),
                **metrics,
            },
            accuracy_by=accuracy_by,
            steps=best.step,
            seconds=self.seconds,
            seconds_to_target=best.seconds_to_target,
            parameters=self.parameters,
            state_size=self.state_size,
            lr=best.lr,
            lrs_tried=[learner.lr for learner in tried],
            curves={"train_loss": best.losses, self.task.main().name: best.values},
            tables=tables,
            message=self.message(best),
        )

    def message(self, best: Learner) -> str:
        if self.cancelled:
            return f"Cancelled after {how_many(best.step, 'step')}."
        if best.diverged:
            said = f"The loss was {best.loss:g} at step {best.step} (learning rate {best.lr:g})"
            return f"{said}: {best.reason.rstrip('.')}." if best.reason else f"{said}."
        if self.out_of_time:
            taken = how_many(best.step, "step")
            return f"The time of {self.config.seconds:.15g} s was used up after {taken}."
        return ""

    def tested(self, learner: Learner) -> Tested:
        """Evaluates on the test set, by group, and at other lengths; reads its memories."""
        batch = self.task.held_out("test", TEST_SETS * self.config.eval_examples, self.device)
        metrics, by = tested(self.task, learner.model, batch)
        rows = generalization(self.task, learner.model, self.device, self.stop)
        found = memory_rows(learner.model, batch.tokens)
        tables = {"generalization": rows} | ({"memory": found} if found else {})
        return {**metrics}, by, tables

    def validated(self, learner: Learner) -> dict[str, float | None]:
        name = f"{VALIDATION}{self.task.main().name}"
        return {
            name: learner.value,
            "steps_to_target": learner.steps_to_target,
            STILL_RISING: learner.still_rising,
            RISE_AT_FALL: learner.rise_at_fall,
            **learner.pace(),
        }

    def speed(self, learner: Learner) -> dict[str, float | None]:
        read = learner.step * self.config.batch_size * self.task.seq_len
        return {
            "tokens_per_second": read / max(learner.seconds, 1e-9),
            "cpu_seconds": learner.cpu_seconds,
            "train_seconds": learner.seconds,
        }

    def row(self, learner: Learner) -> dict[str, Any]:
        return {
            "lr": learner.lr,
            "steps": learner.step,
            self.task.main().name: learner.value,
            "loss": learner.loss if math.isfinite(learner.loss) else None,
            AFTER_FIRST_ROUND: learner.early,
            "diverged": learner.diverged,
        }
