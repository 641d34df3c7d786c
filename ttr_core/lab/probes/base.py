"""What a probe is: a task without training whose every number has an interval."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ...space.option import option
from ...space.spec import Spec
from ..tasks.base import EvaluatedTask, Evaluation, quiet
from ..tasks.constants import Constants, knobs, tuned
from .measured import Measured

PROBES: dict[str, type[Probe]] = {}
"""name -> class, filled as classes are defined."""

Curves = dict[str, list[float]]
LOW, HIGH = "_low", "_high"
"""Behind the name of a metric: the ends of its interval."""


@dataclass(frozen=True)
class Probe(EvaluatedTask):
    """A question put to a cell that is answered without training, with an interval.

    Signals, temperature and ridge are constants, tuned on sequences that are not measured on.

    Example:
        >>> import ttr_core as ttr
        >>> probe = ttr.task("overwriting", {"dim": 8, "sequences": 4})
        >>> found = probe.evaluate(ttr.Spec.parse("Uniform | Linear | SGD"))
        >>> sorted(found.metrics)[-3:]
        ['overwritten', 'overwritten_high', 'overwritten_low']
    """

    protocol: ClassVar[str] = "atlas"
    revision: ClassVar[int] = 1

    dim: int = option(16, "Size of keys and values.", low=2, high=256)
    seq_len: int = option(128, "Length of a sequence in tokens.", low=8, high=4096)
    sequences: int = option(32, "Sequences that are measured on.", low=2, high=1024)

    def __init_subclass__(cls, register: bool = False) -> None:
        super().__init_subclass__(register)
        if cls.name and (register or cls.__module__.startswith("ttr_core.")):
            PROBES[cls.name] = cls

    def check(self) -> None:
        """Every valid setting fits the others."""

    @abc.abstractmethod
    def found(
        self, constants: Constants, spec: Spec, seed: int, device: str
    ) -> tuple[dict[str, Measured], Curves]:
        """Returns an estimate of each metric, and curves behind them.

        Args:
            constants: of the cell, as `constants_of` found them.
            spec: the cell.
            seed: decides the sequences.
            device: where the cell is solved.
        """

    def loss(self, seed: int, device: str) -> Callable[[Constants], float] | None:
        """Returns what tuning makes small, on held-out sequences; None where nothing is tuned."""
        return None

    def constants_of(
        self,
        spec: Spec,
        seed: int = 0,
        device: str = "cpu",
        progress: Callable[[int, int], None] = quiet,
    ) -> Constants:
        """Returns the cell with its constants, tuned on held-out sequences."""
        loss = self.loss(seed, device)
        if loss is not None:
            return tuned(spec, loss, progress)
        progress(0, 1)
        return Constants.fresh(spec)

    def evaluate(
        self,
        spec: Spec,
        seed: int = 0,
        device: str = "cpu",
        progress: Callable[[int, int], None] = quiet,
    ) -> Evaluation:
        """Evaluates a cell.

        Returns:
            Each declared metric with the ends of its 95 % interval, ``NAME_low`` and ``NAME_high``;
            tables ``intervals`` and ``constants``.
        """
        spec.check()
        constants = self.constants_of(spec, seed, device, progress)
        estimates, curves = self.found(constants, spec, seed, device)
        return Evaluation(_flat(estimates), curves, {
            "intervals": [one.row(name) for name, one in estimates.items()],
            "constants": [
                {"axis": knob.axis, "name": knob.name, "value": knob.value(constants)}
                for knob in knobs(spec)
            ],
        })  # fmt: skip


def _flat(estimates: Mapping[str, Measured]) -> dict[str, Any]:
    return {
        name + end: side
        for name, one in estimates.items()
        for end, side in (("", one.value), (LOW, one.low), (HIGH, one.high))
    }
