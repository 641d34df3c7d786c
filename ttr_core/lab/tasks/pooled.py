"""Tasks whose training sequences may be few: what a model learns by heart shows on the test set."""

from __future__ import annotations

import abc
import functools
from dataclasses import dataclass

import torch

from .base import Batch, generator
from .labeled import LabeledTask


@dataclass(frozen=True)
class PooledTask(LabeledTask):
    """A task that trains on so many distinct ``examples``, the same for every seed; 0: fresh ones.

    Validation and test sets are fresh, whatever the training is.

    Example:
        >>> import ttr_core as ttr
        >>> from ttr_core.lab.tasks import generator
        >>> task = ttr.task("compression", {"examples": 3, "seq_len": 8})
        >>> len(task.sample(64, generator(0, "train")).tokens.unique(dim=0))
        3
    """

    @property
    @abc.abstractmethod
    def examples(self) -> int:
        """Distinct training sequences; 0 for fresh ones at every step; a setting."""

    @abc.abstractmethod
    def drawn(self, count: int, generator: torch.Generator, device: str = "cpu") -> Batch:
        """Draws fresh sequences with the questions of the test set."""

    @abc.abstractmethod
    def lessons(self, count: int, generator: torch.Generator, device: str = "cpu") -> Batch:
        """Draws fresh sequences with the questions that training asks."""

    def sample(self, batch_size: int, generator: torch.Generator, device: str = "cpu") -> Batch:
        """Draws training sequences, fresh or of the pool, each as likely."""
        if not self.examples:
            return self.lessons(batch_size, generator, device)
        rows = torch.randint(self.examples, (batch_size,), generator=generator, device=device)
        return pool_of(self, device).rows(rows)

    def held_out(self, split: str, count: int, device: str = "cpu") -> Batch:
        """Returns the fixed ``validation`` or ``test`` set: the same on every device and seed."""
        return self.drawn(count, generator(0, split)).to(device)


@functools.lru_cache(maxsize=1)
def pool_of(task: PooledTask, device: str) -> Batch:
    """Returns the training sequences of a task, the same on every device and seed."""
    return task.lessons(task.examples, generator(-1, "train")).to(device)
