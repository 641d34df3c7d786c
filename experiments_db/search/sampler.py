"""What draws continuous settings: Optuna, which is an extra, or whatever does as it does."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ttr_core import RequestError

from ..installation import lacking


@dataclass(frozen=True)
class SampledOption:
    """A continuous setting of a cell.

    Args:
        axis: the ingredient it belongs to.
        name: its keyword.
        low: the least value that tuning tries, above 0.
        high: the largest.

    Example:
        >>> str(SampledOption("optimizer", "ridge", 0.001, 10.0))
        'optimizer.ridge'
    """

    axis: str
    name: str
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.axis}.{self.name}"


class Sampler(Protocol):
    """Draws values, and is told what they came to."""

    def ask(self, options: Iterable[SampledOption]) -> Mapping[str, float]:
        """Returns a value for each option, by its text."""

    def tell(self, score: float) -> None:
        """Takes what the latest values came to."""


class OptunaSampler:
    """Optuna's tree-structured Parzen estimator, on logarithmic scales.

    Reference: Optuna: A Next-generation Hyperparameter Optimization Framework (Akiba et al., 2019)
    https://arxiv.org/abs/1907.10902

    Args:
        seed: decides its draws, with what it is told.

    Raises:
        RequestError: Optuna is not installed.
    """

    def __init__(self, seed: int) -> None:
        self._optuna = optuna_module()
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        sampler = self._optuna.samplers.TPESampler(seed=seed)
        self._study = self._optuna.create_study(direction="maximize", sampler=sampler)
        self._trial: Any = None

    def ask(self, options: Iterable[SampledOption]) -> Mapping[str, float]:
        """Returns a value for each option, by its text."""
        of = self._optuna.distributions.FloatDistribution
        self._trial = self._study.ask(
            {str(one): of(one.low, one.high, log=True) for one in options}
        )
        return dict(self._trial.params)

    def tell(self, score: float) -> None:
        """Takes what the latest values came to."""
        self._study.tell(self._trial, score)


def optuna_module() -> Any:
    """Returns the library, or says in words that it is not there.

    Raises:
        RequestError: it is not installed.
    """
    try:
        return importlib.import_module("optuna")
    except ModuleNotFoundError as error:
        raise RequestError(f"{lacking(error)}, or leave `trials` out.") from None
