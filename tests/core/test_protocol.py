"""The protocol: a number is not taken at a transition, and how the curve arrived is kept."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttr_core.lab import (
    MQAR,
    PACE,
    RATES,
    STILL_RISING,
    TASKS,
    Evaluated,
    Finished,
    TrainConfig,
    metrics,
    train,
)
from ttr_core.lab.curve import MARKS, RISE, first_reached, flat, rise
from ttr_core.lab.learner import Learner
from ttr_core.lab.metric import TAKEN
from ttr_core.lab.tasks import Batch
from ttr_core.layers.model import ModelConfig

TINY = MQAR(vocab_size=64, pairs=3, seq_len=16)
MODEL = ModelConfig(layers=("qknorm-attention",), d_model=8)
CONFIG = TrainConfig(
    steps=600, batch_size=1, warmup=0, eval_every=10, eval_examples=1, target=None, lr=0.01
)

HALVED = dataclasses.replace(CONFIG, lr="auto")

Curve = Callable[[int], float]
ByRate = Callable[[int, float], float]


def learned(step: int, at: int = 150) -> float:
    """A curve that stands still, crosses within some 60 steps, and stands still again."""
    return 0.03 + 0.95 / (1 + math.exp(-(step - at) / 10))


def run(monkeypatch: pytest.MonkeyPatch, curve: Curve, config: TrainConfig = CONFIG) -> Finished:
    """Runs the protocol over a given curve: nothing is trained."""
    return run_by_rate(monkeypatch, lambda step, rate: curve(step), config)


def run_by_rate(monkeypatch: pytest.MonkeyPatch, curve: ByRate, config: TrainConfig) -> Finished:
    peaks: dict[int, list[float]] = {}

    def advance(self: Learner) -> None:
        peaks.setdefault(id(self), []).append(config.rate_at(self.lr, self.step, self.fall))
        self.step, self.loss = self.step + 1, 1.0
        self.cpu_seconds += 0.5

    def look(self: Learner, batch: Batch) -> Evaluated:
        self.value = curve(self.step, self.lr)
        self.values.append([self.step, self.value])
        self.scores.append((self.step, self.value))
        self.spent.append(self.cpu_seconds)
        return Evaluated(self.step, {"accuracy": self.value})

    monkeypatch.setattr(Learner, "advance", advance)
    monkeypatch.setattr(Learner, "look", look)
    *_, last = train(TINY, MODEL, config)
    assert isinstance(last, Finished)
    for rates in peaks.values():
        assert rates == sorted(rates, reverse=True), "the rate stays, then falls"
    return last


def test_a_training_ends_where_its_curve_is_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    last = run(monkeypatch, learned)
    assert 300 <= last.steps < 600
    assert last.metrics[STILL_RISING] == 0.0
    reached = {mark: last.metrics[f"steps_to_{mark}"] for mark in MARKS}
    assert reached == {50: 150, 90: 180, 99: None}
    assert last.metrics["cpu_seconds_to_90"] == 0.5 * 180


def test_a_slow_start_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A curve that has not risen is flat, too: it may be ahead of its transition."""
    late = run(monkeypatch, lambda step: learned(step, 420))
    assert late.steps == 600 and late.metrics["accuracy"] is not None
    never = run(monkeypatch, lambda step: 1 / 3)
    assert never.steps == 600 and never.metrics[STILL_RISING] == 0.0


@pytest.mark.parametrize("lr", [0.01, "auto"])
def test_a_number_below_nine_tenths_has_had_all_steps(
    monkeypatch: pytest.MonkeyPatch, lr: float | str
) -> None:
    """Half the way is no end: t2r-relu stands at .69 to .88 for 300 steps, and goes on to .99."""

    def curve(step: int, rate: float = 0.01) -> float:
        return 0.7 * learned(step, 40) + 0.3 * learned(step, 400)

    last = run_by_rate(monkeypatch, curve, dataclasses.replace(CONFIG, lr=lr))
    assert last.steps > 480 and last.metrics["accuracy"] is not None
    assert last.metrics["steps_to_90"] is not None, "it was ended at .69"
    stays = run(monkeypatch, lambda step: 0.89 * learned(step, 40))
    assert stays.steps == 600 and stays.metrics[STILL_RISING] == 0.0


def test_a_run_that_ends_on_the_way_up_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    last = run(monkeypatch, lambda step: learned(step, 480))
    assert last.steps == 600 and last.metrics[STILL_RISING] == 1.0


def test_too_few_looks_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(CONFIG, steps=60, eval_every=20)
    assert run(monkeypatch, learned, config).metrics[STILL_RISING] is None


def test_halving_keeps_a_rate_that_is_slow_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest rate is ahead early and ends lower; the others cross later and higher."""

    def curve(step: int, rate: float) -> float:
        return learned(step, 130) if rate < 0.02 else 0.94 * learned(step, 30)

    last = run_by_rate(monkeypatch, curve, HALVED)
    assert last.lr < 0.02, "the one that was ahead early was chosen"
    rows = {row["lr"]: row["steps"] for row in last.tables["learning_rates"]}
    assert list(rows) == list(RATES)
    flat_at = rows.pop(RATES[-1])
    assert flat_at < 150, "it had come to rest before the others crossed"
    assert sorted(rows.values())[:4] == [150, 150, 150, 300], "it leads, and the next two go on"


def test_a_rate_of_halving_is_trained_as_it_would_be_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It waits for slower ones where it is flat, and rests from there."""

    def curve(step: int, rate: float) -> float:
        return learned(step, 30) * (1 - rate) if rate > 0.005 else 0.0

    last = run_by_rate(monkeypatch, curve, HALVED)
    alone = run(monkeypatch, lambda step: curve(step, last.lr), CONFIG)
    rows = {row["lr"]: row["steps"] for row in last.tables["learning_rates"]}
    assert last.steps == alone.steps == rows[last.lr] and last.curves == alone.curves
    assert alone.steps < HALVED.round_ends(0, len(RATES)), "it never waited"
    assert sorted(rows.values())[2:] == [150, 150, 150, 300]


@pytest.mark.parametrize("protocol", ["quick", "standard"])
def test_of_rates_that_end_alike_the_first_to_arrive_is_kept(
    monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """A slow rate that ends a thousandth higher is ahead by luck; one two points higher is not."""

    def curve(step: int, rate: float) -> float:
        return learned(step, 30 if rate == RATES[-2] else 70) + (0.001 if rate < 0.001 else 0.0)

    def ahead(step: int, rate: float) -> float:
        return curve(step, rate) - (0.02 if rate > 0.001 else 0.0)

    asked = dataclasses.replace(HALVED, protocol=protocol)
    assert run_by_rate(monkeypatch, curve, asked).lr == RATES[-2]
    assert run_by_rate(monkeypatch, ahead, asked).lr < 0.001


@given(steps=st.integers(1, 5000), fall=st.integers(0, 5000), warmup=st.integers(0, 200))
@settings(max_examples=200, deadline=None)
def test_the_rate_rests_at_the_end(steps: int, fall: int, warmup: int) -> None:
    config = TrainConfig(steps=steps, warmup=warmup)
    fall = min(fall, config.latest_fall)
    end = config.rest_at(fall)
    assert fall <= end <= steps and (config.rest_at(config.latest_fall) >= steps - 1)
    assert config.rate_at(1.0, end, fall) == pytest.approx(0.0, abs=1e-12) or end == fall
    before = [config.rate_at(0.5, step) for step in range(0, fall + 1, max(1, fall // 7))]
    assert before == sorted(before) and all(0 < rate <= 0.5 for rate in before)
    after = [config.rate_at(0.5, s, fall) for s in range(fall, end + 1) if s >= warmup]
    assert after == sorted(after, reverse=True)


@given(st.lists(st.floats(0, 1), min_size=24, max_size=60), st.floats(0, 0.5))
@settings(max_examples=100, deadline=None)
def test_a_rise_does_not_hang_on_where_the_curve_stands(scores: list[float], up: float) -> None:
    low = [(10 * i, s / 2) for i, s in enumerate(scores, 1)]
    high = [(step, score + up) for step, score in low]
    step = low[-1][0]
    assert rise(high, step) == pytest.approx(rise(low, step), abs=1e-9)
    assert not flat(low, step) or (rise(low, step) or 0.0) <= RISE


def test_what_is_reached_is_reached_first() -> None:
    curve = [(20, 0.4), (40, 0.92), (60, 0.3), (80, 0.99)]
    assert [first_reached(curve, mark) for mark in MARKS] == [1, 1, 3]
    assert first_reached(curve[:1], 50) is None and first_reached([], 50) is None


def test_no_task_calls_a_metric_as_the_pace_is_called() -> None:
    names = {one.name for one in PACE}
    assert not names & set(metrics()) and STILL_RISING in TAKEN
    assert all(names.isdisjoint(m.name for m in cls.metrics) for cls in TASKS.values())


def test_a_run_ends_when_its_time_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that counts a second per step: in real ones, a fast machine's curve is flat."""
    advance, clock = Learner.advance, [0.0]

    def a_second_later(self: Learner) -> None:
        advance(self)
        clock[0] += 1

    monkeypatch.setattr(Learner, "advance", a_second_later)
    now = SimpleNamespace(perf_counter=lambda: clock[0])
    monkeypatch.setattr("ttr_core.lab.training.time", now)
    *_, last = train(TINY, MODEL, dataclasses.replace(CONFIG, seconds=7.0))
    assert isinstance(last, Finished) and last.status == "finished"
    assert last.steps == last.seconds == 7
    assert last.message == "The time of 7 s was used up after 7 steps."
    assert last.metrics["accuracy"] is not None


@pytest.mark.parametrize(("steps", "every", "told"), [(100, 20, False), (300, 20, True),
                                                      (100, 5, True), (4, 1, False)])  # fmt: skip
def test_whether_a_curve_rises_takes_looks(steps: int, every: int, told: bool) -> None:
    assert TrainConfig(steps=steps, eval_every=every).can_tell is told
