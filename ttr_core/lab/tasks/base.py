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
from ...layers.adapter import Adapter
from ...layers.model import ModelConfig, SequenceModel
from ...space.option import Option, check_options, from_settings, options_of
from ..metric import Metric

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
        tokens: [B, T], integers below the vocabulary size, or what the task's adapter reads.
        positions: [B, P], where an answer is asked.
        labels: [B, P], the answers.
        groups: name -> [B, P], integers by which the main metric is split, such as ``gap``.
        asked: [B, P], which places count, where sequences have unequally many; None for all.

    Example:
        >>> import ttr_core as ttr
        >>> from ttr_core.lab.tasks import generator
        >>> batch = ttr.task("mqar", {"pairs": 2, "seq_len": 8}).sample(3, generator(0, "test"))
        >>> batch.tokens.shape, batch.labels.shape
        (torch.Size([3, 8]), torch.Size([3, 2]))
    """

    tokens: Tensor
    positions: Tensor
    labels: Tensor
    groups: Mapping[str, Tensor] = field(default_factory=dict)
    asked: Tensor | None = None

    def to(self, device: str) -> Batch:
        """Returns the batch on ``device``."""
        return self._each(lambda x: x.to(device))

    def split(self, size: int) -> list[Batch]:
        """Cuts the batch into pieces of at most ``size`` sequences."""
        starts = range(0, len(self.tokens), size)
        return [self.rows(slice(start, start + size)) for start in starts]

    def rows(self, which: slice | Tensor) -> Batch:
        """Returns some of the sequences."""
        return self._each(lambda x: x[which])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(
            change(self.tokens),
            change(self.positions),
            change(self.labels),
            {name: change(x) for name, x in self.groups.items()},
            None if self.asked is None else change(self.asked),
        )


@dataclass(frozen=True)
class Evaluation:
    """What a task without training reports about one layer.

    Args:
        metrics: name -> number: what the task declares, and what else there is to say.
        curves: name -> one number per step.
        tables: name -> rows.

    Example:
        >>> Evaluation({"error": 0.25}, curves={}, tables={}).metrics["error"]
        0.25
    """

    metrics: dict[str, float]
    curves: dict[str, list[float]]
    tables: dict[str, Table]


@dataclass(frozen=True)
class Task(abc.ABC):
    """A question put to sequence layers; its fields, made with `option`, are its settings.

    A final class has a name and declares its metrics, the one that counts first. In a module of
    ``ttr_core`` it appears in the command line, the app and the store by itself; elsewhere pass
    ``register=True``.

    Example:
        >>> import ttr_core as ttr
        >>> task = ttr.task("mqar", {"pairs": "16"})
        >>> task.name, task.pairs, task.metrics[0].name
        ('mqar', 16, 'accuracy')
    """

    name: ClassVar[str] = ""
    trained: ClassVar[bool] = True
    metrics: ClassVar[tuple[Metric, ...]] = ()
    decides: ClassVar[tuple[str, ...]] = ("layer", "model", "frame", "train")  # beside itself
    protocol: ClassVar[str] = ""  # of its comparisons; without one, that of the training
    revision: ClassVar[int] = 1  # raised when it computes otherwise under the same settings

    def __init_subclass__(cls, register: bool = False) -> None:
        super().__init_subclass__()
        if not cls.name:
            return
        if wrong := _undeclared(cls):
            raise TypeError(f"Task {cls.name} ({cls.__qualname__}) {wrong}")
        if register or cls.__module__.startswith("ttr_core."):
            known = TASKS.get(cls.name, cls)
            if _home(known) != _home(cls):
                raise TypeError(
                    f"Task {cls.name} is defined twice, as {'.'.join(_home(known))} and as "
                    f"{'.'.join(_home(cls))}: a name means one thing, call one of them otherwise."
                )
            TASKS[cls.name] = cls

    @classmethod
    def main(cls) -> Metric:
        """Returns the metric that layers are compared by."""
        return cls.metrics[0]

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
    """A task whose batches train a model that answers at labeled positions.

    Example:
        >>> import ttr_core as ttr
        >>> from ttr_core.lab.tasks import generator
        >>> task = ttr.task("mqar", {"pairs": 2, "seq_len": 8})
        >>> task.sample(3, generator(0, "train")).tokens.shape
        torch.Size([3, 8])
    """

    trained: ClassVar[bool] = True

    @property
    @abc.abstractmethod
    def vocab_size(self) -> int:
        """Number of tokens; a setting."""

    @property
    @abc.abstractmethod
    def seq_len(self) -> int:
        """T, the length of a sequence; a setting."""

    def adapter(self, d_model: int, generator: torch.Generator | None = None) -> Adapter | None:
        """Returns what reads the sequences and readies the answers, if tokens are not embedded."""
        return None

    def model(self, config: ModelConfig, generator: torch.Generator | None = None) -> SequenceModel:
        """Returns a fresh model for the task; the generator decides every parameter."""
        own = self.adapter(config.d_model, generator)
        return SequenceModel(config, self.vocab_size, generator, self.seq_len, own)

    @abc.abstractmethod
    def loss(self, model: SequenceModel, batch: Batch) -> Tensor:
        """Returns the mean loss over the answers of a batch, a scalar that training lowers."""

    @abc.abstractmethod
    def measure(self, model: SequenceModel, batch: Batch) -> dict[str, Tensor]:
        """Returns each declared metric, one number for each answer [B, P]; its mean is reported."""

    @abc.abstractmethod
    def sample(self, batch_size: int, generator: torch.Generator, device: str = "cpu") -> Batch:
        """Draws a batch on ``device``; the generator alone decides it."""

    def guess(self) -> float:
        """Returns the score, from 0 to 1, of who has bound nothing; 0 where nobody knows."""
        return 0.0

    def variants(self) -> tuple[TrainedTask, ...]:
        """Returns the same task at other lengths and loads, to test without retraining."""
        return ()

    def held_out(self, split: str, count: int, device: str = "cpu") -> Batch:
        """Returns the fixed ``validation`` or ``test`` set: the same on every device and seed."""
        return self.sample(count, generator(0, split)).to(device)


@dataclass(frozen=True)
class EvaluatedTask(Task):
    """A task without learnable parameters: a layer's memory is asked as it is.

    Example:
        >>> import ttr_core as ttr
        >>> task = ttr.task("regression", {"seq_len": 8, "dim": 2, "sequences": 2})
        >>> "error" in task.evaluate(ttr.Spec.parse("Uniform | Linear | SGD")).metrics
        True
    """

    trained: ClassVar[bool] = False
    decides: ClassVar[tuple[str, ...]] = ("layer",)
    revision: ClassVar[int] = 2  # states were counted as the solver holds them

    @property
    @abc.abstractmethod
    def dim(self) -> int:
        """Size of keys and values; a setting."""

    @property
    @abc.abstractmethod
    def seq_len(self) -> int:
        """T, the length of a sequence; a setting."""

    @property
    def sequences(self) -> int:
        """How many sequences are solved at once; a setting where there are several."""
        return 1

    @abc.abstractmethod
    def evaluate(
        self,
        spec: Spec,
        seed: int = 0,
        device: str = "cpu",
        progress: Callable[[int, int], None] = quiet,
    ) -> Evaluation:
        """Evaluates a layer; ``progress(done, total)`` is called between solves."""


def metrics() -> dict[str, Metric]:
    """Returns every metric that a task declares, by name; those that compare layers first.

    Example:
        >>> metrics()["error"].better
        'lower'
    """
    declared = [(rank, one) for cls in TASKS.values() for rank, one in enumerate(cls.metrics)]
    ranked = sorted(declared, key=lambda pair: pair[0])  # stable: tasks stay in their order
    found: dict[str, Metric] = {}
    for _, one in ranked:
        found.setdefault(one.name, one)
    return found


def _home(cls: type[Task]) -> tuple[str, str]:
    """Returns where a task is defined; a dataclass made with slots is defined there twice."""
    return cls.__module__, cls.__qualname__


def _undeclared(cls: type[Task]) -> str | None:
    """Says what a named task lacks, or None."""
    parts = {name: getattr(cls, name) for name in dir(cls) if not name.startswith("__")}
    missing = [n for n, part in parts.items() if getattr(part, "__isabstractmethod__", False)]
    if missing:
        return f"has a name but not what a task needs: define {', '.join(missing)}."
    names = [metric.name for metric in cls.metrics]
    if not names or len(set(names)) < len(names):
        return f"declares the metrics {names}; declare at least one, each once."
    if cls.trained and cls.metrics[0].bounds is None:
        return f"is trained: its main metric {names[0]} needs low and high, for targets."
    known = {name: metric for name, metric in metrics().items() if name in names}
    for metric in cls.metrics:
        other = known.get(metric.name, metric)
        if (metric.better, metric.unit) != (other.better, other.unit):
            return (
                f"declares {metric.name} as {metric.better} is better in {metric.unit!r}; another "
                f"task has it as {other.better} in {other.unit!r}: a name means one thing."
            )
    return None


def generator(seed: int, split: str, device: str = "cpu") -> torch.Generator:
    """Returns the source of randomness of one split.

    Training and initial weights draw their 32-bit seeds below 2^31, validation and test from
    2^31 on, so that no run, whatever its seed, draws from the stream it is tested on. Where few
    sequences exist at all, the same one may still come from both.

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

    Raises:
        UnknownName: there is no such task, or it has no such setting.
        RequestError: a setting has a value that it may not have.

    Example:
        >>> task("mqar", {"pairs": "4"}).pairs
        4
    """
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return from_settings(TASKS[name], settings or {}, f"setting of task {name}")
