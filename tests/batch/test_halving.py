"""A search on its way: halving over cells and rates, finals on fresh seeds, claims."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

import ttr_core as ttr
from experiments_db.atlas import charted
from experiments_db.search import SearchPlan, Space, checked_search, space_of
from experiments_db.search.finals import (
    Bout,
    Finals,
    finals,
    judged_finals,
)
from experiments_db.search.halving import (
    BEST,
    CHANCE,
    DROPPED,
    FRONT,
    RISING,
    WAITING,
    Climb,
    Climber,
    Rung,
    climb,
    false_drops,
    halved,
)
from experiments_db.search.ledger import Reached
from experiments_db.search.trainings import Training
from experiments_db.sweeps import plan_file
from ttr_core.lab import Experiment, TrainConfig

ROOT = Path(__file__).resolve().parents[2]
PLAN = """
task: {name: mqar, pairs: 2, seq_len: 16, vocab_size: 64}
weights: [Uniform, Importance, Gate]
functions: [Linear]
optimizers: [OneStep, SGD, Implicit, GradientFlow]
published: [deltanet]
model: {d_model: 8}
rates: [0.01, 0.03]
rungs: [2, 4, 8]
seeds: [0, 1]
survivors: 0
finalists: 2
"""


@lru_cache
def made(more: str = "") -> tuple[SearchPlan, Space]:
    plan, source = checked_search(*plan_file.plan_of(PLAN + more))
    return plan, space_of(plan, source, charted())


@dataclasses.dataclass
class Told:
    """Trainings that end as they are told to; what was asked is kept."""

    ends: Callable[[Training], Reached]
    asked: list[Training] = dataclasses.field(default_factory=list)
    held: set[Training] | None = None

    def known(self, asked: Iterable[Training]) -> dict[Training, Reached]:
        found = {one: self.ends(one) for one in asked if self.held is None or one in self.held}
        self.asked += [one for one in found if one not in self.asked]
        return found

    def seen(self, asked: Iterable[Training]) -> dict[Training, Reached]:
        return {one: self.ends(one) for one in asked if self.held is None or one in self.held}


def by_place(rising: Iterable[int] = ()) -> Callable[[Training], Reached]:
    """The later a cell stands in the space, the better it is; the second rate is better."""
    order = [one.spec for one in made()[1].candidates]

    def ends(one: Training) -> Reached:
        place = order.index(one.candidate.spec)
        score = 0.6 + 0.02 * place + (0.01 if one.lr == 0.03 else 0.0)
        noise = 0.001 * (one.seed % 4)
        return Reached("finished", score, score + noise, place in rising, 0.0, one.steps,
                       cpu_seconds=1.0)  # fmt: skip

    return ends


def climber(score: float, **more: Any) -> Climber:
    (first, *_) = made()[1].candidates
    about = {"names": (), "state": 64, "packed": 64}
    about |= {key: more.pop(key) for key in about if key in more}
    own = dataclasses.replace(first, spec=f"cell {score}", **about)
    return Climber(own, {0.01: score}, **more)


# --- halving -------------------------------------------------------------------------------------


def test_half_of_the_cells_go_on_and_all_are_tried_at_equally_many_rates() -> None:
    plan, space = made()
    told = Told(by_place())
    found = climb(plan, space, told)
    n = len(space.candidates)
    assert found.missing == () and [rung.steps for rung in found.rungs] == [2, 4, 8]
    assert n == 12 and [len(rung.climbers) for rung in found.rungs] == [12, 7, 5]
    for rung, rates in zip(found.rungs, (2, 1, 1), strict=True):
        assert {len(one.scores) for one in rung.climbers} == {rates}
        scores = [one.score for one in rung.climbers]
        assert scores == sorted(scores, reverse=True)
        assert Counter(one.steps for one in told.asked)[rung.steps] == 2 * rates * len(scores)
    assert {one.rate for one in found.rungs[1].climbers} == {0.03}, "the better rate goes on"
    kept = {one.candidate.spec for one in found.rungs[0].climbers if one.fate != DROPPED}
    assert kept == {one.candidate.spec for one in found.rungs[1].climbers}


def test_what_is_missing_is_asked_before_anything_is_judged() -> None:
    plan, space = made()
    nothing = climb(plan, space, Told(by_place(), held=set()))
    assert nothing.rungs == () and len(nothing.missing) == 12 * 2 * 2
    assert [one.seed for one in nothing.missing] == [0] * 24 + [1] * 24
    told = Told(by_place())
    climb(plan, space, told)
    told.held = {one for one in told.asked if one.steps < 8} | {told.asked[-1]}
    found = climb(plan, space, told)
    assert len(found.rungs) == 2 and {one.steps for one in found.missing} == {8}
    assert len(found.missing) == 5 * 2 - 1


def test_a_rising_curve_is_never_dropped() -> None:
    plan, space = made()
    found = climb(plan, space, Told(by_place(rising={0, 3})))
    fates = [{one.candidate.spec: one.fate for one in rung.climbers} for rung in found.rungs]
    slow = [space.candidates[place].spec for place in (0, 3)]
    assert [fates[0][spec] for spec in slow] == [RISING, RISING]
    assert all(spec in fates[2] for spec in slow)


def test_a_curve_that_rises_at_a_rate_which_ends_does_not_count() -> None:
    def ends(one: Training) -> Reached:
        found = by_place()(one)
        return dataclasses.replace(found, rising=one.lr == 0.01)

    plan, space = made()
    assert not any(one.rising for one in climb(plan, space, Told(ends)).rungs[0].climbers)


def test_what_has_not_begun_is_never_dropped_and_keeps_all_its_rates() -> None:
    """Whatever rung it is on, and at whatever rate it begins in the end."""
    plan, space = made()
    slow = space.candidates[0].spec
    assert space.guess == 0.5, "two pairs"

    def ends(one: Training) -> Reached:
        found = by_place()(one)
        if one.candidate.spec != slow:
            return dataclasses.replace(found, validation=found.validation + 0.2)
        begun = one.steps == 8 and one.lr == 0.01
        return dataclasses.replace(found, validation=0.9 if begun else 0.53)

    first, second, last = climb(plan, space, Told(ends)).rungs
    fates = [{one.candidate.spec: one for one in rung.climbers} for rung in (first, second, last)]
    assert [found[slow].fate for found in fates[:2]] == [WAITING, WAITING]
    assert [len(found[slow].scores) for found in fates] == [2, 2, 2]
    assert fates[2][slow].rate == 0.01 and fates[2][slow].score == 0.9
    assert not any(one.waiting for one in last.climbers)


def test_a_seed_that_has_not_begun_suffices_and_one_that_diverged_does_not_wait() -> None:
    def ends(one: Training) -> Reached:
        found = dataclasses.replace(by_place()(one), validation=0.9)
        if one.candidate.spec == space.candidates[0].spec and one.seed == 1:
            return dataclasses.replace(found, validation=0.5)
        if one.candidate.spec == space.candidates[1].spec:
            return Reached("diverged")
        return found

    plan, space = made()
    (first, *_) = climb(plan, space, Told(ends)).rungs
    waits = {one.candidate.spec: one.waiting for one in first.climbers}
    assert [spec for spec, waiting in waits.items() if waiting] == [space.candidates[0].spec]


def test_what_came_to_rest_is_not_trained_again() -> None:
    def ends(one: Training) -> Reached:
        found = by_place()(one)
        return dataclasses.replace(found, steps=min(one.steps, 1)) if one.seed == 0 else found

    plan, space = made()
    told = Told(ends)
    found = climb(plan, space, told)
    assert [len(rung.climbers) for rung in found.rungs] == [12, 7, 5]
    assert {one.seed for one in told.asked if one.steps > 2} == {1}


def test_what_failed_or_diverged_has_reached_nothing_and_is_not_asked_again() -> None:
    def ends(one: Training) -> Reached:
        place = [c.spec for c in space.candidates].index(one.candidate.spec)
        status = {11: "failed", 10: "diverged"}.get(place)
        return Reached(status, message="out of memory") if status else by_place()(one)

    plan, space = made()
    (first, *_) = climb(plan, space, Told(ends)).rungs
    lost = {one.candidate.spec: one for one in first.climbers[-2:]}
    assert [lost[c.spec].score for c in space.candidates[10:]] == [0.0, 0.0]
    assert lost[space.candidates[11].spec].failed == "out of memory"
    assert {one.fate for one in lost.values()} == {DROPPED}


def test_the_best_published_cell_of_each_state_goes_on() -> None:
    cells = [climber(0.9), climber(0.8), climber(0.7), climber(0.6)]
    cells += [climber(0.5, names=("a",)), climber(0.4, names=("b",), state=32, packed=32),
              climber(0.3, names=("c",), state=32, packed=32), climber(0.2)]  # fmt: skip
    fates = [one.fate for one in halved(cells, 0, "draw")]
    assert fates == [BEST] * 4 + [FRONT, FRONT, DROPPED, DROPPED]


def test_what_goes_on_by_chance_stays_and_tells_what_was_dropped_wrongly() -> None:
    cells = [climber(1 - place / 100) for place in range(80)]
    after = halved(cells, 0.05, "rung 1")
    assert Counter(one.fate for one in after) == {BEST: 40, DROPPED: 38, CHANCE: 2}
    again = halved([one for one in after if one.fate != DROPPED], 0.05, "rung 2")
    assert Counter(one.fate for one in again) == {BEST: 20, DROPPED: 19, CHANCE: 3}
    assert Counter(one.spared for one in again if one.spared) == {"rung 1": 2, "rung 2": 1}
    ends = (climber(0.9), climber(0.5), climber(0.1), climber(0.7, spared="rung 1"),
            climber(0.2, spared="rung 1"), climber(0.3, spared="holds nothing"))  # fmt: skip
    told = {one.dropped_by: (one.spared, one.above) for one in false_drops(Rung(8, ends))}
    assert told == {"rung 1": (2, 1), "holds nothing": (1, 0)}


def test_a_rung_is_the_beginning_of_the_next_one() -> None:
    """Up to where its rate begins to fall: so that each end is branched off one training."""
    task = ttr.task("mqar", {"pairs": 2, "seq_len": 16, "vocab_size": 64})
    model = ttr.ModelConfig(layers=("deltanet",), d_model=8, frame="paper")

    def curve(steps: int) -> dict[int, float]:
        train = TrainConfig(lr=0.03, steps=steps, batch_size=4, eval_examples=4, target=None,
                            protocol="search")  # fmt: skip
        *_, last = Experiment(task, model, train).run()
        return {int(step): loss for step, loss in last.curves["train_loss"]}

    short, long = curve(30), curve(60)
    same = [step for step in short if step <= TrainConfig(steps=30).latest_fall]
    assert len(same) > 4 and [short[step] for step in same] == [long[step] for step in same]
    assert short[30] != long[30]


# --- finals --------------------------------------------------------------------------------------


def fought(ends: Callable[[Training], Reached], more: str = "") -> tuple[Climb, Finals, Told]:
    plan, space = made(more)
    told = Told(ends)
    climbed = climb(plan, space, told)
    told.asked.clear()
    return climbed, finals(plan, climbed.rungs[-1], told), told


def test_finalists_and_the_best_published_cell_meet_on_fresh_seeds_in_every_frame() -> None:
    plan, _ = made()
    _, found, told = fought(by_place())
    fresh = [one for one in told.asked if one.seed >= 100]
    assert {one.frame for one in fresh} == {"paper", "standard"}
    assert {one.steps for one in fresh} == {8} and {one.lr for one in fresh} == {0.03}
    longest = [one for one in told.asked if one.steps == 8 and one.seed < 100]
    tuned = Counter((one.candidate, one.frame) for one in longest)
    assert set(tuned.values()) == {2 * 2}, "all rates on all seeds, of both sides alike"
    sides = {one.candidate for one in fresh}
    assert set(tuned) >= {(one, frame) for one in sides for frame in plan.frames}
    assert len(found.finalists) == 2
    for one in found.finalists:
        assert [duel.frame for duel in one.duels] == ["paper", "standard"]
        assert all(len(duel.ours) == len(duel.theirs) == 12 for duel in one.duels)
        assert all(duel.rival.published and not one.candidate.published for duel in one.duels)
        assert all(duel.rival.state <= one.candidate.state for duel in one.duels)


def test_a_claim_needs_every_frame() -> None:
    best = made()[1].candidates[-1].spec

    def ends(one: Training) -> Reached:
        found = by_place()(one)
        lost = one.frame == "standard" and one.candidate.spec == best and one.seed >= 100
        return dataclasses.replace(found, test=0.3) if lost else found

    claimed = {one.candidate.spec: one.claimed for one in fought(by_place())[1].finalists}
    assert claimed[best] and set(claimed.values()) == {True}
    assert not {one.candidate.spec: one.claimed for one in fought(ends)[1].finalists}[best]


@pytest.mark.parametrize(
    ("rises", "claimed"), [((0.02, 0.0), False), ((0.0, 0.02), False), ((0.0, None), False),
                           ((0.009, 0.009), True)],
)  # fmt: skip
def test_what_is_ahead_while_a_side_still_rises_is_no_claim(
    rises: tuple[float, float | None], claimed: bool
) -> None:
    def ends(one: Training) -> Reached:
        late = one.frame == "standard" and one.seed >= 100
        rise = rises[one.candidate.published] if late else 0.0
        return dataclasses.replace(by_place()(one), rise=rise)

    found = fought(ends)[1]
    assert {(one.ahead, one.claimed) for one in found.finalists} == {(True, claimed)}
    assert [duel.rising for duel in found.finalists[0].duels] == [False, not claimed]


def test_where_a_training_has_not_begun_nothing_is_claimed() -> None:
    def ends(one: Training) -> Reached:
        late = one.candidate.published and one.frame == "standard" and one.seed == 111
        found = by_place()(one)
        return dataclasses.replace(found, validation=0.5, test=0.5) if late else found

    found = fought(ends)[1]
    assert {(one.ahead, one.claimed) for one in found.finalists} == {(True, False)}
    assert [duel.waiting for duel in found.finalists[0].duels] == [0, 1]


def test_one_training_that_rises_among_many_that_do_not_is_luck() -> None:
    def ends(one: Training) -> Reached:
        return dataclasses.replace(by_place()(one), rise=0.03 if one.seed == 111 else 0.005)

    assert all(one.claimed for one in fought(ends)[1].finalists)


def duel(ours: Iterable[float], theirs: Iterable[float], frame: str = "paper") -> Bout:
    (one, *_) = made()[1].candidates
    return Bout(frame, one, (0.01, 0.01), tuple(ours), tuple(theirs), (0.0, 0.0))


@pytest.mark.parametrize(
    ("gain", "spread", "claimed"),
    [(0.05, 0.01, True), (0.005, 0.001, False), (0.05, 0.2, False), (-0.05, 0.01, False)],
)
def test_a_claim_is_sure_and_at_least_a_point(gain: float, spread: float, claimed: bool) -> None:
    (candidate, *_) = made()[1].candidates
    noise = [spread * ((7 * i) % 12 - 5.5) / 6 for i in range(12)]
    one = duel([0.5 + gain + x for x in noise], [0.5 + x for x in noise[::-1]])
    (found,) = judged_finals({candidate: [one, one]}).finalists
    assert found.claimed is claimed
    assert (found.bounds[0][0] > 0) == (found.p <= 0.05)


def test_more_finalists_need_more() -> None:
    cells = made()[1].candidates
    noise = [((7 * i) % 12 - 5.5) / 100 for i in range(12)]
    one = duel([0.5 + 0.028 + x for x in noise], [0.5 + x for x in noise[::-1]])
    alone = judged_finals({cells[0]: [one]})
    (crowd, *_) = judged_finals({cell: [one] for cell in cells[:5]}).finalists
    assert alone.finalists[0].p < crowd.p == pytest.approx(5 * one.p)
    assert alone.finalists[0].bounds[0][0] > crowd.bounds[0][0]
    assert alone.detectable < judged_finals({cell: [one] for cell in cells[:5]}).detectable
