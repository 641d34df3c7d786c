"""What a task is: settings, batches of labeled positions, or an evaluation without training."""

from __future__ import annotations

import abc
import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ...errors import unknown
from ...space.ingredient import Option, check_options, from_settings, options_of

if TYPE_CHECKING:
    from ...space.spec import Spec

TASKS: dict[str, type[Task]] = {}
"""name -> class, filled as classes are defined."""

SPLITS = ("init", "train", "validation", "test")

Table = list[dict[str, Any]]


def quiet(done: int, total: int) -> None:
    """Reports no progress."""


@dataclass(frozen=True)
class Batch:
    """Sequences and the positions at which they are asked.

    Args:
        tokens: [B, T], integers below the vocabulary size.
        positions: [B, P], where an answer is asked.
        labels: [B, P], the answers.
        groups: name -> [B, P], integers by which accuracy is split, such as ``gap``.
    """

    tokens: Tensor
    positions: Tensor
    labels: Tensor
    groups: Mapping[str, Tensor] = field(default_factory=dict)

    def to(self, device: str) -> Batch:
        """Returns the batch on ``device``."""
        groups = {name: x.to(device) for name, x in self.groups.items()}
        return Batch(
            self.tokens.to(device), self.positions.to(device), self.labels.to(device), groups
        )

    def split(self, size: int) -> list[Batch]:
        """Cuts the batch into pieces of at most ``size`` sequences."""
        return [self._rows(slice(i, i + size)) for i in range(0, len(self.tokens), size)]

    def _rows(self, rows: slice) -> Batch:
        groups = {name: x[rows] for name, x in self.groups.items()}
        return Batch(self.tokens[rows], self.positions[rows], self.labels[rows], groups)


@dataclass(frozen=True)
class Evaluation:
    """What a task without training reports about one layer.

    Args:
        metrics: name -> number; ``error`` or ``accuracy`` is always there.
        curves: name -> one number per step.
        tables: name -> rows.
    """

    metrics: dict[str, float]
    curves: dict[str, list[float]]
    tables: dict[str, Table]


@dataclass(frozen=True)
class Task(abc.ABC):
    """A question put to sequence layers; its fields, made with `option`, are its settings.

    A final class stands in a module of ``ttr_core``; it then appears in the command line and the
    app by itself.
    """

    name: ClassVar[str] = ""
    trained: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__module__.startswith("ttr_core.") and cls.name and not inspect.isabstract(cls):
            TASKS[cls.name] = cls

    def __post_init__(self) -> None:
        check_options(self)
        self.check()

    @classmethod
    def options(cls) -> tuple[Option, ...]:
        """Returns the settings with their ranges and help texts."""
        return options_of(cls)

    @classmethod
    def summary(cls) -> str:
        """Returns the first line of the docstring."""
        return (inspect.getdoc(cls) or cls.name).splitlines()[0]

    @abc.abstractmethod
    def check(self) -> None:
        """Checks the settings against each other.

        Raises:
            RequestError: settings that no sequence can meet, with what to change.
        """

    def settings(self) -> dict[str, Any]:
        """Returns every setting by name, as `task` takes them."""
        return {opt.name: getattr(self, opt.name) for opt in self.options()}


@dataclass(frozen=True)
class TrainedTask(Task):
    """A task whose batches train a model that answers at labeled positions."""

    trained: ClassVar[bool] = True

    @property
    @abc.abstractmethod
    def vocab_size(self) -> int:
        """Number of tokens; a setting."""

    @property
    @abc.abstractmethod
    def seq_len(self) -> int:
        """T, the length of a sequence; a setting."""

    @abc.abstractmethod
    def sample(self, batch_size: int, generator: torch.Generator, device: str = "cpu") -> Batch:
        """Draws a batch on ``device``; the generator alone decides it."""

    def variants(self) -> tuple[TrainedTask, ...]:
        """Returns the same task at other lengths and loads, to test without retraining."""
        return ()

    def held_out(self, split: str, count: int, device: str = "cpu") -> Batch:
        """Returns the fixed ``validation`` or ``test`` set: the same on every device and seed."""
        return self.sample(count, generator(0, split)).to(device)


@dataclass(frozen=True)
class EvaluatedTask(Task):
    """A task without learnable parameters: a layer's memory is asked as it is."""

    trained: ClassVar[bool] = False

    @property
    @abc.abstractmethod
    def dim(self) -> int:
        """Size of keys and values; a setting."""

    @property
    @abc.abstractmethod
    def seq_len(self) -> int:
        """T, the length of a sequence; a setting."""

    @abc.abstractmethod
    def evaluate(
        self,
        spec: Spec,
        seed: int = 0,
        device: str = "cpu",
        progress: Callable[[int, int], None] = quiet,
    ) -> Evaluation:
        """Evaluates a layer; ``progress(done, total)`` is called between solves."""


def generator(seed: int, split: str, device: str = "cpu") -> torch.Generator:
    """Returns the source of randomness of one split.

    Training and initial weights draw their 32-bit seeds below 2^31, validation and test from
    2^31 on, so that no run, whatever its seed, trains on the sequences it is tested on.

    Args:
        seed: the seed of the run.
        split: ``init``, ``train``, ``validation`` or ``test``.
        device: where the numbers are drawn.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    digest = hashlib.sha256(f"{seed}/{split}".encode()).digest()
    number = int.from_bytes(digest[:4], "big") % 2**31
    held_out = split in ("validation", "test")
    return torch.Generator(device).manual_seed(number + 2**31 * held_out)


def task(name: str, settings: Mapping[str, Any] | None = None) -> Task:
    """Builds a task by its name.

    Args:
        name: a key of `TASKS`.
        settings: setting -> value; text is cast.

    Example:
        >>> task("mqar", {"pairs": "4"}).pairs
        4
    """
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return from_settings(TASKS[name], settings or {}, f"setting of task {name}")
