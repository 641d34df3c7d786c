"""Rivals of a finalist: published cells at its state, at every rate, the best of them taken."""

from __future__ import annotations

import dataclasses
from collections import Counter
from functools import lru_cache
from pathlib import Path

import pytest

import ttr_core as ttr
from experiments_db.atlas import charted
from experiments_db.read import queries
from experiments_db.read.filters import Conditions
from experiments_db.search import SearchPlan, Space, checked_search, load_search, space_of
from experiments_db.search.candidates import Candidate, refitted
from experiments_db.search.finals import Finals, finals
from experiments_db.search.halving import Rung, climb, settled
from experiments_db.search.ledger import Ledger, Reached
from experiments_db.search.rivals import contests
from experiments_db.search.search_tables import rivals_table, slowest_starts
from experiments_db.search.telling import edges_told, starts_told
from experiments_db.search.trainings import Training
from experiments_db.store import Store, open_store
from experiments_db.store.records import NewRun, Outcome
from experiments_db.sweeps import plan_file
from tests.batch.test_halving import Told, climber

PLAN = """
task: {name: mqar, pairs: 2, seq_len: 16, vocab_size: 64}
weights: [Importance]
functions: [Linear]
optimizers: [SGD]
specs: ["Importance | Linear | Preconditioned", "Gate * Importance | Linear | Momentum"]
published: [deltanet, mamba2, mesanet]
model: {d_model: 8}
state: 24
rates: [0.01, 0.03]
rungs: [2, 4]
seeds: [0, 1]
survivors: 0
finalists: 1
"""
ODD = "Importance | Linear | Preconditioned"
"""Of 18 numbers where the plan has 24: of a published cell 16 or 24."""


@lru_cache
def made(more: str = "") -> tuple[SearchPlan, Space]:
    plan, source = checked_search(*plan_file.plan_of(PLAN + more))
    return plan, space_of(plan, source, charted())


def cell(spec: str) -> Candidate:
    (one,) = (one for one in made()[1].candidates if one.spec == spec or spec in one.names)
    return one


def fought(scores: dict[str, float], short: float = 0.0) -> tuple[Finals, Told]:
    """Finals of cells of so high scores, a published one's less by ``short`` at shorter keys."""
    plan, space = made()

    def ends(one: Training) -> Reached:
        names = (one.candidate.spec, *one.candidate.names)
        score = next((scores[name] for name in names if name in scores), 0.6)
        cut = short if one.candidate.published and one.candidate.keys < 3 else 0.0
        luck = 0.001 * (one.seed % 4)
        return Reached("finished", score - cut, score - cut + luck, rise=0.0, steps=one.steps)

    told = Told(ends)
    last = climb(plan, space, told).rungs[-1]
    told.asked.clear()
    return finals(plan, last, told), told


def test_a_published_cell_has_the_longest_keys_at_which_it_is_no_larger() -> None:
    plan, _ = made()
    odd = cell(ODD)
    assert (odd.state, odd.keys) == (18, 2) and (cell("deltanet").state, cell("deltanet").keys) == (
        24, 3,
    )  # fmt: skip
    for one in (one for one in made()[1].candidates if one.published):
        found = refitted(one, odd, plan)
        if found is None:
            continue
        assert found.names == one.names and found.spec == one.spec
        assert found.state <= odd.state or found.packed <= odd.packed
        ((spec, _),) = found.experiment.model.regressions()
        longer = [size(spec, found.keys + 1, 8, 16) for size in
                  (ttr.state_size, ttr.packed_state_size)]  # fmt: skip
        assert longer[0] > odd.state and longer[1] > odd.packed
    assert refitted(cell("deltanet"), odd, plan).keys == 2  # type: ignore[union-attr]
    packs = refitted(cell("mesanet"), dataclasses.replace(odd, state=19, packed=19), plan)
    assert packs is not None and (packs.state, packs.packed) == (20, 19), "by one of the counts"


def test_keys_grow_where_the_finalist_is_larger_and_not_beyond_the_model() -> None:
    plan, _ = made()
    large = dataclasses.replace(cell(ODD), state=48, packed=48)
    huge = dataclasses.replace(cell(ODD), state=4800, packed=4800)
    found = [refitted(cell("deltanet"), one, plan) for one in (large, huge)]
    assert [one.keys for one in found if one] == [6, 8]
    assert refitted(cell("deltanet"), cell("deltanet"), plan) is cell("deltanet")
    assert refitted(cell("deltanet"), dataclasses.replace(large, state=2, packed=2), plan) is None


def test_a_finalist_meets_published_cells_at_its_own_state_at_every_rate() -> None:
    """A published cell of 24 numbers is no rival of a new one of 18 as it is, but at 16 it is."""
    found, told = fought({ODD: 0.9, "deltanet": 0.8})
    (one,) = found.finalists
    assert one.candidate.spec == ODD
    assert {(duel.rival.keys, duel.rival.state) for duel in one.duels} == {(2, 16)}
    assert all("deltanet" in duel.rival.names for duel in one.duels)
    tried = Counter((x.candidate, x.frame) for x in told.asked if x.seed < 100 and x.steps == 4)
    assert all(count == 2 * 2 for count in tried.values()), "each at all rates, on all seeds"
    table = rivals_table(found)
    assert set(table["tried"]) == {2} and (table["rival_state_size"] <= 18).all()
    assert table["rival_score"].is_monotonic_decreasing


def test_a_cell_that_is_ahead_for_want_of_a_rival_gives_its_place_to_another() -> None:
    """Nothing published has as few numbers as the odd one has, until keys are shortened."""
    momentum = "Gate * Importance | Linear | Momentum"
    scores = {ODD: 0.75, momentum: 0.7, "deltanet": 0.72, "mamba2": 0.65, "mesanet": 0.65}
    found, _ = fought({**scores, "Importance | Linear | SGD": 0.74})
    (one,) = found.finalists
    assert one.candidate.spec == ODD, "shorter keys cost deltanet nothing, so that it is .03 ahead"
    found, _ = fought({**scores, "Importance | Linear | SGD": 0.79})
    assert found.finalists[0].candidate.spec == "Importance | Linear | SGD"


def test_what_lacks_for_the_choice_is_asked_first() -> None:
    plan, space = made()
    whole = Told(lambda one: Reached("finished", 0.6, 0.6, steps=one.steps))
    last = climb(plan, space, whole).rungs[-1]
    nothing = Told(whole.ends, held=set())
    found = finals(plan, last, nothing)
    assert found.stage == "published cells at the states of the finalists" and found.missing
    assert {one.frame for one in found.missing} == {"paper"}
    assert {one.steps for one in found.missing} == {4} and not found.finalists
    assert contests(plan, last, nothing).missing == found.missing


@pytest.mark.parametrize(("short", "claimed"), [(0.0, False), (0.2, True)])
def test_no_claim_by_a_state_that_the_rival_has_not(short: float, claimed: bool) -> None:
    """Only what is above the published cell at its own state is above it."""
    found, _ = fought({ODD: 0.9, "deltanet": 0.9}, short)
    assert [one.claimed for one in found.finalists if one.candidate.spec == ODD] == [claimed]


def ended(store: Store, one: Training, more: dict[str, float], *tags: str) -> str:
    """Keeps a training that ended well and returns its id."""
    planned = one.planned
    made_of = (planned.config, planned.config_hash, planned.layer, planned.layer, "paper")
    run = NewRun(*made_of, "mqar", one.seed, "cpu", protocol="search", tags=tags)
    with store.driver() as driver:
        run_id = str(store.claim(driver, run).run_id)
        metrics = {"validation_accuracy": 0.5, **more}
        store.finish(run_id, Outcome("finished", metrics, steps=2, seconds=1.0))
    return run_id


def test_whatever_a_search_counts_is_found_by_its_tags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs of an earlier search answer, too: pages and evidence that ask for the tag need them."""
    _, space = made()
    store = open_store(tmp_path / "runs.duckdb")
    asked = [Training(space.candidates[0], "paper", 0.01, 2, seed) for seed in range(4)]
    own, other, half = (
        ended(store, one, {}, *tags)
        for one, tags in zip(asked, (("mine", "too"), ("earlier",), ("too",)), strict=False)
    )
    unasked = ended(store, asked[3], {}, "earlier")
    book = Ledger(store, space.candidates[0].experiment.task.main())
    book.known(asked[:3])
    book.adopt(("mine", "too"))
    for tag in ("mine", "too"):
        assert set(queries.ids(store, Conditions(tags=tag))) == {own, other, half}
    assert set(queries.ids(store, Conditions(tags="earlier"))) == {other, unasked}
    with monkeypatch.context() as frozen:
        frozen.setattr(Store, "tag", lambda *_: pytest.fail("nothing lacks a tag"))
        again = Ledger(store, space.candidates[0].experiment.task.main())
        again.known(asked[:3])
        again.adopt(("mine", "too"))
        frozen_store = open_store(tmp_path / "runs.duckdb", readonly=True)
        reader = Ledger(frozen_store, space.candidates[0].experiment.task.main())
        assert len(reader.known(asked)) == 4
        reader.adopt(("mine", "too"))  # what nobody can tag is told all the same


def test_tags_are_those_that_runs_keep(tmp_path: Path) -> None:
    """Else every call would find that all runs lack one, and tag them anew."""
    task = "task: {name: mqar, pairs: 2, seq_len: 16, vocab_size: 64}\n"
    (tmp_path / "plan.yaml").write_text(f"{task}tags: [' a ', a, \"b's\"]")
    assert load_search(tmp_path / "plan.yaml")[0].tags == ("a", "b's")
    (tmp_path / "plan.yaml").write_text(task)
    assert load_search(tmp_path / "plan.yaml")[0].tags == ("plan",)


def test_what_is_looked_at_and_answers_nothing_does_not_count(tmp_path: Path) -> None:
    """A run of another search at an earlier rung's steps may be there for a cell of the finals."""
    _, space = made()
    store = open_store(tmp_path / "runs.duckdb")
    asked = Training(space.candidates[0], "standard", 0.01, 8, 0)
    book = Ledger(store, space.candidates[0].experiment.task.main())
    ended(store, dataclasses.replace(asked, steps=2), {"cpu_seconds": 3.0}, "earlier")
    assert settled([asked], (2,), book) == {} and (len(book), book.cpu_seconds) == (0, 0.0)
    book.adopt(("mine",))
    assert queries.ids(store, Conditions(tags="mine")) == []
    at_rest = ended(store, dataclasses.replace(asked, steps=4), {"cpu_seconds": 5.0}, "earlier")
    assert settled([asked], (2, 4), book)[asked].run_id == at_rest
    assert (len(book), book.cpu_seconds) == (1, 5.0)


def test_what_was_deleted_since_it_was_read_needs_no_tag(tmp_path: Path) -> None:
    _, space = made()
    store = open_store(tmp_path / "runs.duckdb")
    asked = [Training(space.candidates[0], "paper", 0.01, 2, seed) for seed in range(2)]
    gone, kept = (ended(store, one, {}) for one in asked)
    book = Ledger(store, space.candidates[0].experiment.task.main())
    book.known(asked)
    store.delete([gone])
    book.adopt(("mine",))
    assert queries.ids(store, Conditions(tags="mine")) == [kept]


def test_a_curve_with_too_few_looks_is_not_said_to_be_flat(tmp_path: Path) -> None:
    """Since what rises is never dropped, what may rise is not."""
    plan, space = made()
    store = open_store(tmp_path / "runs.duckdb")
    told = {"flat": {"still_rising": 0.0}, "rising": {"still_rising": 1.0}, "few": {}}
    asked = {name: Training(space.candidates[0], "paper", 0.01, 2, seed)
             for seed, name in enumerate(told)}  # fmt: skip
    for name, more in told.items():
        ended(store, asked[name], {"steps_to_50": 40, **more})
    book = Ledger(store, space.candidates[0].experiment.task.main())
    found = {name: book.known([one])[one] for name, one in asked.items()}
    assert {name: one.rising for name, one in found.items()} == {
        "flat": False, "rising": True, "few": True,
    }  # fmt: skip
    assert found["few"].start == 40
    assert plan.steps == 4


def test_a_side_that_is_best_at_the_edge_of_the_rates_is_named() -> None:
    """A lead over two rates was not shown again where a third one was tried."""
    plan, _ = made()
    found, _ = fought({ODD: 0.9})
    (said,) = edges_told(plan, found)
    assert "rates that were tried, 0.01 to 0.03:" in said
    for duel in found.finalists[0].duels:
        for who, rate in zip((found.finalists[0].candidate, duel.rival), duel.rates, strict=True):
            assert f"{who} in {duel.frame} at {rate:g}" in said
    wide = plan.model_copy(update={"rates": (0.001, 0.01, 0.1)})
    assert edges_told(wide, found) == [] == edges_told(plan, Finals())


def test_the_report_says_whether_the_first_rung_was_longer_than_the_slowest_start() -> None:
    first, second = (climber(0.5, names=("quick",), start=40.0), climber(0.4, names=("slow",)))
    late = dataclasses.replace(second, start=250.0)
    new = climber(0.6, start=900.0)
    rungs = [Rung(100, (first, second, new)), Rung(300, (first, late, new))]
    assert list(slowest_starts(rungs).values()) == [250.0, 40.0], "of published cells"
    (said,) = starts_told(rungs)
    assert "(slow), took 250 steps" in said and "the first rung has 100" in said
    assert "of 2 published cells 1 began after it" in said
    assert "none of them began after it" in starts_told([Rung(300, (first, late))])[0]


def test_keys_of_several_heads_grow_up_to_the_width_of_the_model() -> None:
    """Those of a head are half of it: where a new cell keeps more, they may grow."""
    raw = PLAN.replace("model: {d_model: 8}\nstate: 24", "model: {d_model: 8, heads: 2}")
    plan, source = checked_search(*plan_file.plan_of(raw))
    (one,) = (x for x in space_of(plan, source, charted()).candidates if "deltanet" in x.names)
    assert (one.keys, one.state) == (4, 32)
    for state, keys in ((48, 6), (4800, 8)):
        found = refitted(one, dataclasses.replace(one, state=state, packed=state), plan)
        assert found is not None and found.keys == keys
