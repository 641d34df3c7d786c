"""Continuous settings of the finals: sampled alike on both sides, in order, by the store alone."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import pytest

import ttr_core as ttr
from experiments_db.atlas import charted
from experiments_db.search import SearchPlan, Space, checked_search, space_of
from experiments_db.search.candidates import Candidate
from experiments_db.search.continuous import sampled, sampled_options, with_values
from experiments_db.search.finals import Finals
from experiments_db.search.ledger import Reached
from experiments_db.search.sampler import OptunaSampler, SampledOption, optuna_module
from experiments_db.search.telling import samplings_told
from experiments_db.search.trainings import Training
from experiments_db.sweeps import plan_file
from tests.batch.test_halving import Told

PLAN = """
task: {name: mqar, pairs: 2, seq_len: 16, vocab_size: 64}
weights: [Importance, Uniform]
functions: [Linear]
optimizers: [SGD, Exact]
published: [deltanet, mesa-layer]
model: {d_model: 8}
rungs: [2, 4]
seeds: [3, 4]
"""
RIDGE = "optimizer.ridge"


@lru_cache
def made() -> tuple[SearchPlan, Space]:
    plan, source = checked_search(*plan_file.plan_of(PLAN))
    return plan.model_copy(update={"trials": 3}), space_of(plan, source, charted())


def cell(text: str) -> Candidate:
    return next(one for one in made()[1].candidates if one.spec == text)


@dataclass
class InOrder:
    """Draws .04, .4, 4 and keeps what it was told."""

    seed: int
    told: list[float] = field(default_factory=list)

    def ask(self, options: Iterable[SampledOption]) -> Mapping[str, float]:
        return {str(one): 10.0 ** (len(self.told) - 1) * 0.4 for one in options}

    def tell(self, score: float) -> None:
        self.told.append(score)


def ridge_of(one: Training) -> float:
    return float(getattr(ttr.Spec.parse(one.candidate.spec).optimizer, "ridge", math.nan))


def best_at(ridge: float) -> Told:
    """Trainings that do best at a ridge."""
    ends = {True: 0.9, False: 0.6}
    return Told(lambda one: Reached("finished", ends[ridge_of(one) == ridge], steps=one.steps))


def test_what_says_what_tuning_tries_is_sampled_and_reads_back() -> None:
    assert [str(one) for one in sampled_options("Importance | Linear | Exact")] == [RIDGE]
    assert [str(one) for one in sampled_options("ExpKernel | Constant | Exact")] == [
        "weights.scale", RIDGE,
    ]  # fmt: skip
    assert sampled_options("Uniform | Linear | SGD") == ()
    text = with_values("Importance | Linear | Exact", {RIDGE: 0.0123456})
    assert text == "Importance | Linear | Exact(ridge=0.0123)"
    assert str(ttr.Spec.parse(text)) == text


def test_both_sides_get_equally_many_trials_and_each_keeps_its_best() -> None:
    plan, _ = made()
    sides = {cell("Importance | Linear | Exact"): (0.01, 0.7),
             cell("Uniform | Linear | Exact"): (0.03, 0.95),
             cell("Uniform | Linear | SGD"): (0.03, 0.5)}  # fmt: skip
    told = best_at(4.0)
    found = sampled(plan, sides, told, InOrder)
    assert found.missing == () and list(found.tried.values()) == [3, 3, 0]
    assert [one.spec for one in found.best.values()] == [
        "Importance | Linear | Exact(ridge=4.0)", "Uniform | Linear | Exact",
        "Uniform | Linear | SGD",
    ]  # fmt: skip
    (said,) = samplings_told(Finals(turned=found))[2:]
    assert said.count("| 3 |") == 2 and "`Importance \\| Linear \\| Exact(ridge=4.0)`" in said
    assert samplings_told(Finals()) == []
    (own, *_) = sides
    kept = found.best[own]
    assert (kept.state, kept.key_dim, kept.names) == (own.state, own.key_dim, own.names)
    assert {one.seed for one in told.asked} == {3, 4} and {one.steps for one in told.asked} == {4}
    by_weights = {one.candidate.place[0]: one.lr for one in told.asked}
    assert by_weights == {"Importance": 0.01, "Uniform": 0.03}, "each at its own rate"


def test_one_trial_after_another_is_asked_for_and_the_same_come_again() -> None:
    plan, _ = made()
    sides = {cell("Importance | Linear | Exact"): (0.01, 0.7)}
    told = best_at(0.4)
    told.held = set()
    ridges = []
    while (found := sampled(plan, sides, told, InOrder)).missing:
        assert len(found.missing) == 2, "a setting on both seeds"
        ridges.append(ridge_of(found.missing[0]))
        told.held |= set(found.missing)
    assert ridges == [0.04, 0.4, 4.0] and set(found.tried.values()) == {3}
    assert sampled(plan, sides, told, InOrder) == found


def test_without_trials_nothing_is_sampled_and_no_library_is_needed() -> None:
    plan, _ = made()
    one = cell("Importance | Linear | Exact")
    none = plan.model_copy(update={"trials": 0})
    assert sampled(none, {one: (0.01, 0.7)}, best_at(1.0), OptunaSampler).best == {one: one}


def test_a_plan_with_trials_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        ttr.RequestError,
        match=r"line 12: This needs optuna.*pip install 'test-time-regression\[sea",
    ):
        checked_search(*plan_file.plan_of(f"{PLAN}\n\ntrials: 4"))
    with pytest.raises(ttr.RequestError, match="or leave `trials` out"):
        optuna_module()


def test_optuna_draws_the_same_again_within_bounds_and_learns() -> None:
    own = sampled_options("ExpKernel | Constant | Exact")

    def drawn(seed: int) -> list[Mapping[str, float]]:
        sampler, found = OptunaSampler(seed), []
        for _ in range(30):
            values = sampler.ask(own)
            assert all(one.low <= values[str(one)] <= one.high for one in own)
            sampler.tell(-abs(math.log(values[RIDGE] / 0.1)))
            found.append(values)
        return found

    first = drawn(0)
    assert first == drawn(0) != drawn(1)
    late = [abs(math.log(one[RIDGE] / 0.1)) for one in first[-10:]]
    assert sum(late) / 10 < 1.5, "a third of what draws at random are away"
