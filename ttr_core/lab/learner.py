"""A model in training: one step, one look, and what it has seen so far."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ..errors import Singular
from ..layers.model import ModelConfig
from .curve import MARKS, RISE, first_reached, flat, rise
from .evaluate import means
from .events import Evaluated
from .protocol import LOOKS_TO_SETTLE, PRODUCTS, REPORT_EVERY, TrainConfig
from .start import gradient_fault, loss_fault
from .tasks import Batch, TrainedTask, generator
from .trainers import TRAINERS


class Learner:
    """A model with its optimizer, its stream of batches and its curves.

    Args:
        task: where the batches come from.
        model: what is trained.
        config: how.
        lr: the peak learning rate.
        seed: decides initial weights and batches.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(
        self,
        task: TrainedTask,
        model: ModelConfig,
        config: TrainConfig,
        lr: float,
        seed: int,
        device: str,
    ) -> None:
        self.task, self.config, self.lr, self.device = task, config, lr, device
        self.model = task.model(model, generator(seed, "init")).to(device)
        if config.loss_products != PRODUCTS[0]:
            self.model.loss_products = getattr(torch, config.loss_products)
        if config.compile:
            for block in self.model.blocks:
                block.compile()
        self.optimizer = TRAINERS[config.trainer](self.model, lr, config.weight_decay, device)
        self.generator = generator(seed, "train", device)
        self.mark: Callable[[str], None] = lambda part: None  # hears when a part of a step ends
        self.step, self.loss, self.seconds, self.cpu_seconds = 0, math.nan, 0.0, 0.0
        self.value: float | None = None
        self.early: float | None = None  # its value after the first round of halving
        self.seconds_to_target: float | None = None
        self.steps_to_target: int | None = None
        self.looks_at_target = 0
        self.fall: int | None = None
        self.scores: list[tuple[int, float]] = []
        self.spent: list[float] = []
        self.diverged, self.reason = False, ""
        # An accelerator would wait for every loss that is read, so that it reads several at once.
        self._patience = 1 if device == "cpu" else REPORT_EVERY
        self._unread: list[Tensor] = []
        self.losses: list[list[float]] = []
        self.values: list[list[float]] = []

    @contextmanager
    def _timed(self) -> Iterator[None]:
        start, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds += time.perf_counter() - start
        self.cpu_seconds += time.process_time() - cpu

    def advance(self) -> None:
        """Takes one step; marks the learner as diverged when the loss is not a number."""
        with self._timed():
            for group in self.optimizer.param_groups:
                group["lr"] = self.config.rate_at(self.lr, self.step, self.fall)
            batch = self.task.sample(self.config.batch_size, self.generator, self.device)
            self.mark("data")
            loss = self._loss(batch)
            self.mark("loss")
            self.step += 1
            self._unread.append(loss.detach())
            if self.step == 1 or self.step % self._patience == 0 or not loss.requires_grad:
                self.read()
                if self.diverged:
                    self._explain(lambda: self.task.loss(self.model, batch))
                    return
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.mark("back_embedding")
            if self.step == 1 and not self._starts():
                return
            if self.config.clip:
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
            self.optimizer.step()
            self.mark("optimizer")

    def read(self) -> None:
        """Reads the losses back; the first that is not finite is the step that counts."""
        if not self._unread:
            return
        first = self.step - len(self._unread) + 1
        for step, loss in enumerate(torch.stack(self._unread).tolist(), first):
            self.step, self.loss = step, loss
            if not math.isfinite(loss):
                self.diverged = True
                break
            if step % REPORT_EVERY == 0 or step == 1:
                self.losses.append([step, loss])
        self._unread.clear()

    def _loss(self, batch: Batch) -> Tensor:
        """Returns the mean loss; not a number where a layer's equations have no solution."""
        try:
            return self.task.loss(self.model, batch)
        except (Singular, torch.linalg.LinAlgError) as error:  # type: ignore[attr-defined]  # it is
            self.reason = str(error)
            return torch.tensor(math.nan, device=self.device)

    def _explain(self, again: Callable[[], object]) -> None:
        """Names the tensor that is not finite at the first step; later ones all are."""
        if self.step == 1 and not self.reason:
            self.reason = loss_fault(self.model, again)

    def _starts(self) -> bool:
        """Whether the first gradient is finite: no step mends one that is not."""
        self.reason = gradient_fault(self.model)
        self.diverged = bool(self.reason)
        return not self.diverged

    def look(self, batch: Batch) -> Evaluated:
        """Evaluates on the validation set and notes when the target is reached."""
        metric = self.task.main()
        with self._timed():
            found = means(self.task, self.model, batch)
            self.value = found[metric.name]
            self.values.append([self.step, self.value])
        self.scores.append((self.step, metric.score(self.value) or 0.0))
        self.spent.append(self.cpu_seconds)
        reached = self.config.reached(metric, self.value)
        self.looks_at_target = self.looks_at_target + 1 if reached else 0
        if reached and self.seconds_to_target is None:
            self.seconds_to_target, self.steps_to_target = self.seconds, self.step
        return Evaluated(self.step, found)

    def rest(self) -> None:
        """Lets the rate fall from here on, once the curve is flat or the steps run out."""
        if self.fall is None and (self.step >= self.config.latest_fall or self.is_flat):
            self.fall = self.step

    @property
    def is_flat(self) -> bool:
        """Whether its curve is up and rises no more."""
        return flat(self.scores, self.step)

    @property
    def ends(self) -> int:
        """The step at which the training is over, as far as it is known."""
        return self.config.steps if self.fall is None else self.config.rest_at(self.fall)

    @property
    def rested(self) -> bool:
        """Whether it was trained to the end, its rate to zero."""
        return self.fall is not None and self.step >= self.ends and not self.diverged

    def pace(self) -> dict[str, float | None]:
        """Returns steps and processor seconds until each of `MARKS`; None where it was not met."""
        places = {mark: first_reached(self.scores, mark) for mark in MARKS}
        steps = {
            f"steps_to_{m}": None if i is None else self.scores[i][0] for m, i in places.items()
        }
        spent = {
            f"cpu_seconds_to_{m}": None if i is None else self.spent[i] for m, i in places.items()
        }
        return {**steps, **spent}

    @property
    def still_rising(self) -> float | None:
        """1 where the curve still rose when the rate fell, else 0; None where nothing tells."""
        found = self.rise_at_fall
        return None if found is None else float(found > RISE)

    @property
    def rise_at_fall(self) -> float | None:
        """By how much the curve rose when the rate fell; None where there were too few looks."""
        at = self.step if self.fall is None else self.fall
        return rise([look for look in self.scores if look[0] <= at], at)

    @property
    def settled(self) -> bool:
        """Whether the target was reached and held: one look alone may be luck."""
        return self.looks_at_target >= LOOKS_TO_SETTLE

    @property
    def score(self) -> float:
        """Its last look, as a share of the way from the worst to the best value."""
        return -math.inf if self.diverged or not self.scores else self.scores[-1][1]

    @property
    def merit(self) -> tuple[float, float]:
        """What learners are compared by: the main metric on validation, then the last loss."""
        if self.diverged or self.value is None:
            return (-math.inf, -math.inf)
        return (self.task.main().merit(self.value), -self.loss)


def ranked(learners: Sequence[Learner]) -> list[Learner]:
    """Returns learners, best first; among those as good as the best, the one that came first.

    Rates that end within `RISE` of each other differ by luck, not by what they can reach, but one
    may take four times the steps of another to get there.
    """
    best = max((one.score for one in learners), default=-math.inf)

    def place(one: Learner) -> tuple[float, ...]:
        came = next((step for step, score in one.scores if score >= best - RISE), math.inf)
        return (-came, *one.merit) if one.score >= best - RISE else (-math.inf, *one.merit)

    return sorted(learners, key=place, reverse=True)
