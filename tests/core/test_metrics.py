"""What tasks declare and report, and what they may not: names that are taken, no numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch

import ttr_core as ttr
from ttr_core.lab import Experiment, Metric
from ttr_core.lab.tasks import TASKS, EvaluatedTask, Evaluation


@pytest.fixture(autouse=True)
def _tasks_as_they_were() -> Iterator[None]:
    before = dict(TASKS)
    yield
    TASKS.clear()
    TASKS.update(before)


def toy(value: Any, metric: str = "toy") -> EvaluatedTask:
    """A task that reports a value."""

    @dataclass(frozen=True)
    class Toy(EvaluatedTask):
        """Report a value."""

        name: ClassVar[str] = "toy"
        metrics: ClassVar[tuple[Metric, ...]] = (Metric(metric),)
        dim = seq_len = 4

        def check(self) -> None: ...

        def evaluate(self, *_: Any, **__: Any) -> Evaluation:
            return Evaluation({metric: value}, {}, {})

    return Toy()


def ended(value: Any) -> Any:
    *_, last = Experiment(toy(value), ttr.ModelConfig(layers=("deltanet",))).run()
    return last


@pytest.mark.parametrize("value", [1, True, torch.tensor(1), torch.tensor([[1.0]])])
def test_what_holds_one_number_is_reported_as_one(value: Any) -> None:
    last = ended(value)
    assert last.status == "finished" and type(last.metrics["toy"]) is float
    assert last.metrics["toy"] == 1.0


def test_a_metric_that_is_no_number_diverges() -> None:
    assert ended(torch.tensor(math.nan)).status == "diverged"


@pytest.mark.parametrize("value", [None, "0.5", [0.5], torch.zeros(2)])
def test_what_is_not_one_number_is_refused_in_words(value: Any) -> None:
    with pytest.raises(ttr.RequestError, match=r"Task toy reports toy as .* report NaN"):
        ended(value)


@pytest.mark.parametrize("taken", ["order", "limit", "host", "superseded", "validation_toy"])
def test_a_metric_is_no_name_that_is_taken(taken: str) -> None:
    with pytest.raises(ValueError, match=f"A metric is called '{taken}'"):
        Metric(taken)


def test_two_tasks_of_one_name_are_refused() -> None:
    with pytest.raises(TypeError, match=r"mqar is defined twice, as ttr_core\.lab\.tasks\.mqar"):

        class Other(ttr.lab.LabeledTask, register=True):
            name = "mqar"
            metrics = TASKS["mqar"].metrics
            check = vocab_size = seq_len = sample = None

    assert TASKS["mqar"] is ttr.lab.MQAR
