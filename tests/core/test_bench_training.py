"""The parts of a training step: all of it, each noted, and the training as without the clock."""

from __future__ import annotations

import pytest

from ttr_core.lab.learner import Learner
from ttr_core.tools import bench_training, rates
from ttr_core.tools.bench_training import PARTS, Trained, training_benchmark

SMALL = Trained("gated-deltanet", "standard", 8, 2, 16)


def test_a_step_is_the_sum_of_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rates.SQUARE, "cpu", 8)
    ticks = iter(range(10**6))
    monkeypatch.setattr(bench_training.time, "process_time", lambda: float(next(ticks)))
    report = training_benchmark(work=(SMALL,), steps=2)
    (row,) = report["rows"]
    assert row["layer"] == SMALL.layer and row["pairs"] == 2
    assert all(row[part] > 0 for part in PARTS) and row["evaluation"] > 0
    assert row["step"] == sum(row[part] for part in PARTS)
    assert row["products"] > 0 and report["machine"]["flops_per_second"] > 0


def test_the_clock_hears_the_parts_in_order_and_changes_nothing() -> None:
    plain, timed = (bench_training._learner(SMALL) for _ in range(2))
    clock = bench_training._Clock(timed)
    for _ in range(3):
        plain.advance()
        assert list(clock.step()) == list(PARTS)
        assert timed.loss == plain.loss
    assert isinstance(plain, Learner)
