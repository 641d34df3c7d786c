"""Training a model on a task: a generator of events, with nothing printed and nothing stored."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import RequestError, Singular
from ..layers.model import ModelConfig, SequenceModel
from ..space.ingredient import check_options, option
from .events import Evaluated, Event, Finished, Progress, Started
from .tasks import Batch, TrainedTask, generator

RATES = tuple(round(10 ** (-4 + i * (math.log10(3e-2) + 4) / 5), 7) for i in range(6))
"""The learning rates that ``lr="auto"`` and the standard protocol try."""

SEEDS = 3
"""The seeds that the standard protocol demands."""

EVAL_ROWS = 64  # sequences evaluated at once, which bounds the memory of the logits
TEST_SETS = 4  # the test set is this many times as large as the validation set
LOOKS_TO_SETTLE = 3  # looks in a row at the target before a run stops there
REPORT_EVERY = 5  # steps between two points of the loss curve


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained.

    Args:
        lr: the peak learning rate, or ``auto``: successive halving over `RATES` (protocol
            ``quick``), or every one of them trained in full (protocol ``standard``).
        protocol: ``quick`` stops at the target accuracy; ``standard`` never does, chooses the
            rate on the validation set and reports on the test set, for comparisons.
    """

    lr: str | float = option(0.01, "Peak learning rate, from 1e-6 to 1, or auto.")
    steps: int = option(600, "Steps at most.", low=1, high=1_000_000)
    batch_size: int = option(32, "Sequences per step.", low=1, high=65536)
    warmup: int = option(20, "Steps until the learning rate has grown to its peak.", low=0)
    weight_decay: float = option(0.1, "AdamW's decay of matrices.", low=0.0, high=10.0)
    clip: float = option(1.0, "Largest gradient norm; 0 does not clip.", low=0.0)
    target: float | None = option(
        0.99, "Accuracy whose time is taken (none: no target).", low=0.0, high=1.0
    )
    seconds: float | None = option(None, "Seconds at most (none: no limit).", low=0.0)
    eval_every: int = option(20, "Steps between looks at the validation set.", low=1)
    eval_examples: int = option(128, "Sequences in the validation set.", low=1, high=65536)
    protocol: str = option("quick", "Rules of the run.", choices=("quick", "standard"))

    def __post_init__(self) -> None:
        check_options(self)
        object.__setattr__(self, "lr", _checked_rate(self.lr))

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates to try."""
        return RATES if self.lr == "auto" else (float(self.lr),)

    @property
    def stops_at_target(self) -> bool:
        """Whether the run ends when the target accuracy is reached."""
        return self.protocol == "quick" and self.target is not None


def _checked_rate(lr: str | float) -> str | float:
    if lr == "auto":
        return lr
    wrong = RequestError(f"train.lr is {lr!r}; it must be auto or a number from 1e-6 to 1.")
    try:
        rate = float(lr)
    except (TypeError, ValueError):
        raise wrong from None
    if not 1e-6 <= rate <= 1:
        raise wrong
    return rate


def train(
    task: TrainedTask,
    model: ModelConfig,
    config: TrainConfig,
    seed: int = 0,
    device: str = "cpu",
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Trains a model on a task: the same seed gives the same curve on the same device.

    Args:
        task: where the batches come from.
        model: what is trained.
        config: how.
        seed: decides initial weights and training batches; validation and test sets are fixed.
        device: ``cpu`` or ``cuda``.
        stop: asked between steps; True ends the run as ``cancelled``.

    Yields:
        `Started`, then `Progress` and `Evaluated` events, then one `Finished`.
    """
    run = _Run(task, model, config, seed, device, stop)
    yield Started(run.parameters, run.state_size, run.flops_per_token, config.steps)
    if len(run.learners) == 1:
        yield from run.fit(run.learners[0], config.steps)
    elif config.protocol == "standard":
        for learner in run.learners:
            yield from run.fit(learner, config.steps)
    else:
        yield from run.halve()
    yield run.finished()


class _Learner:
    """A model with its optimizer, its stream of batches and its curves."""

    def __init__(
        self, task: TrainedTask, model: ModelConfig, config: TrainConfig, lr: float, seed: int,
        device: str,
    ) -> None:  # fmt: skip
        self.task, self.config, self.lr, self.device = task, config, lr, device
        source = generator(seed, "init")
        built = SequenceModel(model, task.vocab_size, source, task.seq_len)
        self.model = built.to(device)
        self.optimizer = _adamw(self.model, lr, config.weight_decay, device)
        self.generator = generator(seed, "train", device)
        self.step, self.loss, self.seconds, self.cpu_seconds = 0, math.nan, 0.0, 0.0
        self.accuracy: float | None = None
        self.seconds_to_target: float | None = None
        self.steps_to_target: int | None = None
        self.looks_at_target = 0
        self.diverged = False
        self.losses: list[list[float]] = []
        self.accuracies: list[list[float]] = []

    def advance(self) -> None:
        """Takes one step; marks the learner as diverged when the loss is not a number."""
        start, cpu = time.perf_counter(), time.process_time()
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * _schedule(self.step, self.config)
        batch = self.task.sample(self.config.batch_size, self.generator, self.device)
        loss = self._loss(batch)
        self.loss = loss.item()
        self.step += 1
        if not math.isfinite(self.loss):
            self.diverged = True
            return
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimizer.step()
        if self.step % REPORT_EVERY == 0 or self.step == 1:
            self.losses.append([self.step, self.loss])
        self.seconds += time.perf_counter() - start
        self.cpu_seconds += time.process_time() - cpu

    def _loss(self, batch: Batch) -> Tensor:
        """Returns the mean loss; not a number where a layer's equations have no solution."""
        try:
            logits = self.model(batch.tokens, batch.positions)
        except (Singular, torch.linalg.LinAlgError):
            return torch.tensor(math.nan)
        return F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten())

    def look(self, batch: Batch) -> Evaluated:
        """Evaluates on the validation set and notes when the target is reached."""
        start, cpu = time.perf_counter(), time.process_time()
        loss, right = _evaluate(self.model, batch)
        self.accuracy = right.float().mean().item()
        self.accuracies.append([self.step, self.accuracy])
        self.seconds += time.perf_counter() - start
        self.cpu_seconds += time.process_time() - cpu
        target = self.config.target
        reached = target is not None and self.accuracy >= target
        self.looks_at_target = self.looks_at_target + 1 if reached else 0
        if reached and self.seconds_to_target is None:
            self.seconds_to_target, self.steps_to_target = self.seconds, self.step
        return Evaluated(self.step, loss, self.accuracy)

    @property
    def settled(self) -> bool:
        """Whether the target was reached and held: one look alone may be luck."""
        return self.looks_at_target >= LOOKS_TO_SETTLE

    @property
    def merit(self) -> tuple[float, float]:
        """What learners are compared by: validation accuracy, then the last loss."""
        if self.diverged or self.accuracy is None:
            return (-1.0, -math.inf)
        return (self.accuracy, -self.loss)


class _Run:
    """One run: its learners (one per learning rate), its clock and its end."""

    def __init__(
        self, task: TrainedTask, model: ModelConfig, config: TrainConfig, seed: int, device: str,
        stop: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.start, self.task, self.config, self.device = time.perf_counter(), task, config, device
        self.stop = stop
        rates = config.rates
        self.learners = [_Learner(task, model, config, lr, seed, device) for lr in rates]
        self.validation = task.held_out("validation", config.eval_examples, device)
        self.cancelled = self.out_of_time = False
        built = self.learners[0].model
        self.parameters = int(built.parameter_count())
        self.state_size = int(built.state_size(task.seq_len))
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

    def done(self, learner: _Learner) -> bool:
        """Whether nothing more is to be gained from a learner."""
        return learner.diverged or (self.config.stops_at_target and learner.settled)

    def fit(self, learner: _Learner, until: int) -> Iterator[Event]:
        """Trains a learner up to a step."""
        while learner.step < until and not self.done(learner) and not self.interrupted():
            learner.advance()
            if learner.step % REPORT_EVERY == 0 or learner.diverged:
                yield self.progress(learner)
            if not learner.diverged and (
                learner.step % self.config.eval_every == 0 or learner.step == until
            ):
                yield learner.look(self.validation)

    def halve(self) -> Iterator[Event]:
        """Successive halving: all rates for a while, then the better half for twice as long."""
        rivals, until = list(self.learners), max(self.config.eval_every, self.config.steps // 12)
        while True:
            until = self.config.steps if len(rivals) == 1 else min(until, self.config.steps)
            for learner in rivals:
                yield from self.fit(learner, until)
                if self.config.stops_at_target and learner.settled:
                    return
            if len(rivals) == 1 or self.interrupted():
                return
            rivals = sorted(rivals, key=lambda one: one.merit, reverse=True)
            rivals, until = rivals[: len(rivals) // 2], 2 * until

    def progress(self, learner: _Learner) -> Progress:
        read = learner.step * self.config.batch_size * self.task.seq_len
        speed = read / max(learner.seconds, 1e-9)
        loss = learner.loss if math.isfinite(learner.loss) else None
        return Progress(learner.step, self.config.steps, loss, learner.lr, speed, self.seconds)

    def chosen(self) -> _Learner:
        """The learner that counts: the first at the target, else the best on validation."""
        if self.config.stops_at_target:
            for learner in self.learners:
                if learner.settled:
                    return learner
        return max(self.learners, key=lambda one: (one.merit, one.step))

    def finished(self) -> Finished:
        best = self.chosen()
        status = "cancelled" if self.cancelled else "diverged" if best.diverged else "finished"
        metrics, accuracy_by, tables = _tested(best, self) if status == "finished" else ({}, {}, {})
        tried = [learner for learner in self.learners if learner.step]
        if len(tried) > 1:
            tables["learning_rates"] = [_row(learner) for learner in tried]
        return Finished(
            status=status,
            metrics={**_validated(best), **_speed(best, self), **metrics},
            accuracy_by=accuracy_by,
            steps=best.step,
            seconds=self.seconds,
            seconds_to_target=best.seconds_to_target,
            parameters=self.parameters,
            state_size=self.state_size,
            lr=best.lr,
            lrs_tried=[learner.lr for learner in tried],
            curves={"train_loss": best.losses, "accuracy": best.accuracies},
            tables=tables,
            message=self.message(best),
        )

    def message(self, best: _Learner) -> str:
        if self.cancelled:
            return f"Cancelled after {best.step} steps."
        if best.diverged:
            return f"The loss was {best.loss} at step {best.step} (learning rate {best.lr:g})."
        if self.out_of_time:
            return f"The time of {self.config.seconds:g} s was used up after {best.step} steps."
        return ""


def _adamw(
    model: torch.nn.Module, lr: float, weight_decay: float, device: str
) -> torch.optim.Optimizer:
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=lr, fused=device in ("cpu", "cuda"))


def _schedule(step: int, config: TrainConfig) -> float:
    """Returns the share of the peak rate at a step: linear warmup, then a cosine to a tenth."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    share = (step - config.warmup) / max(1, config.steps - config.warmup)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * share))


@torch.no_grad()
def _evaluate(model: SequenceModel, batch: Batch) -> tuple[float, Tensor]:
    """Returns the mean loss and which answers are right [B, P]."""
    losses, right = [], []
    for part in batch.split(EVAL_ROWS):
        logits = model(part.tokens, part.positions)
        losses.append(F.cross_entropy(logits.flatten(0, 1), part.labels.flatten(), reduction="sum"))
        right.append(logits.argmax(-1) == part.labels)
    return (torch.stack(losses).sum() / batch.labels.numel()).item(), torch.cat(right)


def _tested(
    learner: _Learner, run: _Run
) -> tuple[dict[str, float | None], dict[str, dict[str, float]], dict[str, list[dict[str, Any]]]]:
    """Evaluates on the test set, by group, and on the task's other lengths and loads."""
    batch = run.task.held_out("test", TEST_SETS * run.config.eval_examples, run.device)
    loss, right = _evaluate(learner.model, batch)
    metrics: dict[str, float | None] = {"accuracy": right.float().mean().item(), "loss": loss}
    accuracy_by = {name: _by_value(right, x) for name, x in batch.groups.items()}
    return metrics, accuracy_by, {"generalization": _generalization(learner, run)}


def _generalization(learner: _Learner, run: _Run) -> list[dict[str, Any]]:
    """Returns the accuracy of the trained model on the variants of its task."""
    rows = []
    base = run.task.settings()
    variants = run.task.variants()
    shown = [n for n in base if any(v.settings()[n] != base[n] for v in variants)]
    for variant in (run.task, *variants):
        if run.stop():
            break
        # the longer, the fewer: some layers take time in the square of the length or worse
        count = max(1, EVAL_ROWS * run.task.seq_len // max(run.task.seq_len, variant.seq_len))
        batch = variant.held_out("test", count, run.device)
        loss, right = _evaluate(learner.model, batch)
        row = {name: variant.settings()[name] for name in shown}
        scores = {"accuracy": right.float().mean().item(), "loss": loss}
        rows.append({**row, **scores, "answers": right.numel()})
    return rows


def _by_value(right: Tensor, group: Tensor) -> dict[str, float]:
    """Returns accuracy by the value of a group; large values share bins of a power of two."""
    values = group.flatten().tolist()
    bins: dict[tuple[int, int], list[float]] = {}
    for value, hit in zip(values, right.flatten().tolist(), strict=True):
        low = 1 << max(value.bit_length() - 1, 0) if value else 0
        key = (low, max(2 * low - 1, low))
        bins.setdefault(key, []).append(float(hit))
    named = {f"{a}-{b}" if a != b else str(a): bins[a, b] for a, b in sorted(bins)}
    return {name: sum(hits) / len(hits) for name, hits in named.items()}


def _validated(learner: _Learner) -> dict[str, float | None]:
    return {"validation_accuracy": learner.accuracy, "steps_to_target": learner.steps_to_target}


def _speed(learner: _Learner, run: _Run) -> dict[str, float | None]:
    read = learner.step * run.config.batch_size * run.task.seq_len
    return {
        "tokens_per_second": read / max(learner.seconds, 1e-9),
        "cpu_seconds": learner.cpu_seconds,
        "train_seconds": learner.seconds,
    }


def _row(learner: _Learner) -> dict[str, Any]:
    return {
        "lr": learner.lr,
        "steps": learner.step,
        "accuracy": learner.accuracy,
        "loss": learner.loss if math.isfinite(learner.loss) else None,
        "diverged": learner.diverged,
    }
