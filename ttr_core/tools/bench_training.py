"""A training step and its parts, in processor time: where the time of a run goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from torch import Tensor, nn

from ..lab import MQAR, TrainConfig
from ..lab.devices import one_thread
from ..lab.evaluate import means
from ..lab.learner import Learner
from ..layers.model import ModelConfig
from .bench import machine
from .rates import product_count, product_rate

PARTS = (
    "data", "embedding", "mixer", "loss", "back_loss", "back_mixer", "back_embedding", "optimizer",
)  # fmt: skip
"""A step in order: the batch, the forward pass in three parts, its backward pass, the update."""

STEPS, WARMING = 24, 4


@dataclass(frozen=True)
class Trained:
    """What is trained in one row.

    Args:
        layer: a name of the catalog.
        frame: its surroundings.
        seq_len: T, tokens of a sequence.
        pairs: of associative recall.
        vocab_size: words.
    """

    layer: str
    frame: str
    seq_len: int
    pairs: int
    vocab_size: int


TRAINED = (
    *(Trained("linear-attention", "published", 64, 8, vocab) for vocab in (256, 8192)),
    Trained("linear-attention", "published", 256, 64, 8192),
    *(
        Trained(name, "standard", 64, 8, 256)
        for name in ("linear-attention", "mesa-layer", "deltanet", "gated-deltanet", "mamba2")
    ),
)


def training_benchmark(
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
    work: Sequence[Trained] = TRAINED,
    steps: int = STEPS,
) -> dict[str, Any]:
    """Times the steps of trainings, each split into `PARTS`, on one thread of the processor.

    Args:
        progress: called with (done, total, what) before each training.
        work: what is trained.
        steps: how many are timed; the median of each part counts.

    Returns:
        ``{"machine": {...}, "rows": [...]}``; the times of a row are milliseconds of processor
        time: ``step``, its parts, and ``evaluation``, the part of a look at the validation set that
        falls to a step. ``products`` is the share of the step that its matrix products would take
        at the machine's rate, ``flops_per_second`` of the machine.

    Example:
        >>> small = (Trained("linear-attention", "standard", 8, 2, 16),)
        >>> training_benchmark(work=small, steps=1)["rows"][0]["layer"]
        'linear-attention'
    """
    rows = []
    with one_thread():
        rate = product_rate()
        for done, one in enumerate(work):
            progress(done, len(work), f"{one.layer}, {one.seq_len} tokens, {one.vocab_size} words")
            rows.append(_row(one, steps, rate))
        progress(len(work), len(work), "done")
        about = {**machine(), "flops_per_second": rate}
    return {"machine": about, "rows": rows}


def _row(one: Trained, steps: int, rate: float) -> dict[str, Any]:
    learner = _learner(one)
    clock = _Clock(learner)
    for _ in range(WARMING):
        learner.advance()
    found = [clock.step() for _ in range(steps)]
    parts = {name: median(each[name] for each in found) for name in PARTS}
    step = median(sum(each.values()) for each in found)
    products = product_count(learner.advance)
    times = {"step": step, **parts, "evaluation": _look(learner)}
    return {
        **vars(one),
        **{name: 1e3 * seconds for name, seconds in times.items()},
        "products": products / rate / step if step else None,  # a clock may tick more slowly
    }


def _learner(one: Trained) -> Learner:
    task = MQAR(seq_len=one.seq_len, pairs=one.pairs, vocab_size=one.vocab_size)
    model = ModelConfig(layers=(one.layer,), frame=one.frame)
    return Learner(task, model, TrainConfig(), 0.003, 0, "cpu")


def _look(learner: Learner) -> float:
    """Returns the seconds of a look at the validation set that fall to one step."""
    config = learner.config
    batch = learner.task.held_out("validation", config.eval_examples, "cpu")
    start = time.process_time()
    means(learner.task, learner.model, batch)
    return (time.process_time() - start) / config.eval_every


class _Clock:
    """Notes when each part of a step ends, from inside the step."""

    def __init__(self, learner: Learner) -> None:
        self._learner, self._last = learner, 0.0
        self._spent: dict[str, float] = {}
        learner.mark = self._mark
        blocks = learner.model.blocks
        blocks[0].register_forward_pre_hook(self._enter)
        blocks[-1].register_forward_hook(self._leave)

    def step(self) -> dict[str, float]:
        """Takes a step and returns the processor seconds of its parts."""
        self._spent, self._last = {}, time.process_time()
        self._learner.advance()
        return self._spent

    def _mark(self, part: str) -> None:
        now = time.process_time()
        self._spent[part] = now - self._last
        self._last = now

    def _enter(self, module: nn.Module, given: tuple[Tensor, ...]) -> None:
        self._mark("embedding")
        if given[0].requires_grad:
            given[0].register_hook(lambda grad: self._mark("back_mixer"))

    def _leave(self, module: nn.Module, given: tuple[Tensor, ...], y: Tensor) -> None:
        self._mark("mixer")
        if y.requires_grad:
            y.register_hook(lambda grad: self._mark("back_loss"))
