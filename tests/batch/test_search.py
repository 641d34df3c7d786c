"""Searches: the plan is checked, the space has no twins and nothing broken, the cost is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

import ttr_core as ttr
from experiments_db.atlas import Atlas, charted
from experiments_db.cli import app
from experiments_db.run.request import config_hash
from experiments_db.search import (
    SearchPlan,
    Space,
    checked_search,
    load_search,
    look_ahead,
    space_of,
)
from experiments_db.search.candidates import LARGE, TWIN, UNFIT
from experiments_db.search.search_plan import RUNGS
from experiments_db.search.sieve import HOLDS_NOTHING, UNSETTLED, broken, lucky
from experiments_db.store import open_store
from experiments_db.sweeps import plan_file

TASK = "task: {name: mqar, pairs: 2, seq_len: 16, vocab_size: 64}\n"
SMALL = f"""
{TASK}
weights: [Uniform, Importance]
functions: [Linear]
optimizers: [Hebbian, OneStep, SGD, NLMS]
published: [deltanet]
model: {{d_model: 8}}
rungs: [2, 4]
seeds: [0]
"""

TINY = f"""
{TASK}
specs: ['Importance | Linear | SGD']
weights: []
published: [deltanet]
rungs: [40]
"""
GROUPS = {"model": ttr.ModelConfig, "train": ttr.TrainConfig}

ROOT = Path(__file__).resolve().parents[2]
SEARCHES = [p for p in (ROOT / "examples").glob("*.yaml") if "batch.py search" in p.read_text()]


def plan_of(text: str) -> tuple[SearchPlan, Any]:
    return checked_search(*plan_file.plan_of(text))


def cells_of(text: str, atlas: Atlas | None = None) -> Space:
    return space_of(*plan_of(text), atlas or charted())


def specs(space: Space) -> list[str]:
    return [one.spec for one in space.candidates]


# --- the plan ------------------------------------------------------------------------------------


def test_what_a_plan_leaves_out_is_the_protocol() -> None:
    plan, _ = plan_of(TASK)
    assert plan.rungs == RUNGS and plan.frames == ("paper", "standard")
    assert plan.seed_numbers == (0, 1, 2, 3, 4) and plan.fresh_numbers == tuple(range(100, 112))
    assert plan.finalists == 5 and plan.survivors == 0.05 and len(plan.lrs) == 3


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("weigths: [Gate]", "line 3: unknown key 'weigths'. Did you mean 'weights'?"),
        ("weights: [Gat]", "Did you mean 'Gate'"),
        ("optimizers: [SDG]", "Did you mean 'SGD'"),
        ("published: [deltanett]", "Did you mean 'deltanet'"),
        ("specs: ['Gate | Linear']", "line 3"),
        ("specs: ['ExpKernel | Linear | SGD']", "not a layer"),
        ("frames: [papers]", "Did you mean 'paper'"),
        ("frames: [published]", "frame that cells can share"),
        ("frames: []", "frames is empty"),
        ("model: {d_modell: 8}", "Did you mean 'd_model'"),
        ("model: {d_model: [8, 16]}", "has 2 values"),
        ("model: {frame: paper}", "list the frames under `frames`"),
        ("train: {lr: 0.1}", "list the rates under `rates`"),
        ("train: {steps: 10}", "list the steps under `rungs`"),
        ("state: 64\nmodel: {key_dim: 4}", "`state` sets it"),
        ("rates: [0.1, fast]", "the rate 'fast'"),
        ("rates: [2]", "the rate '2'"),
        ("rates: [0.1, 0.1]", "a value twice"),
        ("rungs: [100, 30]", "write [30, 100]"),
        ("rungs: [0, 10]", "greater than or equal to 1"),
        ("seeds: [a]", "not a whole number"),
        ("fresh: {from: 100, to: 104}", "12 fresh seeds or more, and the plan has 5"),
        ("fresh: {from: 4, to: 20}", "seed 4 is one of the search's"),
        ("finalists: 6", "less than or equal to 5"),
        ("survivors: 2", "less than or equal to 1"),
        ("budget: 0", "greater than 0"),
        ("budget: nan", "finite"),
        ("survivors: nan", "finite"),
        ("rates: [0.01, 1e-2]", "a value twice, 0.01"),
        ("seeds: [7, 07]", "a value twice, 7"),
        ("fresh: {from: 100, to: 999}", "at most 200"),
        ("weights: [Gate, all]", "it stands alone"),
        ("model: {depth: 2}", "the one layer of a model"),
        ("model: {d_model: 0}", "from 4 to"),
        ("model: {heads: 3}", "heads must divide"),
        ("train: {batch_size: many}", "whole number"),
        ("train: {warmup: 500}", "the first rung has 300 steps"),
        ("device: tpu", "Unknown device"),
        ("tags: ['']", "is no tag"),
    ],
)
def test_a_wrong_plan_is_told_with_its_line_and_the_nearest_name(more: str, said: str) -> None:
    with pytest.raises(ttr.RequestError) as error:
        plan_of(f"{TASK}\n{more}")
    assert said in str(error.value) and "line" in str(error.value)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("task: regression", "task that is trained"),
        ("task: {name: mqar, pears: 3}", "Did you mean 'pairs'"),
        ("task: {name: mqar, pairs: 0}", "line 1: task.pairs is '0'"),
        ("task: {name: mqar, pairs: 9, seq_len: 8}", "line 1"),
        ("rates: [0.1]", "'task' is missing"),
        ("[a, b]", "a list of keys"),
    ],
)
def test_a_search_is_on_one_task_that_is_trained(task: str, said: str) -> None:
    with pytest.raises(ttr.RequestError) as error:
        plan_of(task)
    assert said in str(error.value)


@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: path.name)
def test_examples_are_plans_of_searches(path: Path) -> None:
    plan, source = load_search(path)
    space = space_of(plan, source, charted())
    first = replace(space.candidates[0].experiment.train, steps=plan.rungs[0])
    assert first.can_tell, "its first rung would drop nothing"
    known = sum(one.published for one in space.candidates)
    assert known >= 4 and len(space.candidates) - known >= 3
    assert path.name in (ROOT / "docs/search.md").read_text()


ODD = (
    "nan", "-inf", "1e999", "-1", "0", "1.5", "none", "all", "''", "[]", "{}", "[[1]]", "{a: b}",
    "{from: nan, to: 1}", "{from: 0, to: 1e9}", "[nan, nan]", "x" * 3000, "'x\ny'",
)  # fmt: skip


@pytest.mark.parametrize("key", SearchPlan.model_fields)
def test_whatever_stands_at_a_key_is_a_plan_or_told_with_its_line(key: str) -> None:
    kept = [line for line in SMALL.splitlines() if not line.startswith(f"{key}:")]
    for odd in ODD:
        try:
            plan, _ = plan_of("\n".join([*kept, f"{key}: {odd}"]))
        except ttr.RequestError as error:
            assert "line" in str(error), odd
        else:
            assert plan.sets(plan.frames[0], 0) and 0 <= plan.survivors <= 1


@pytest.mark.parametrize(
    ("group", "name"), [(g, one.name) for g, cls in GROUPS.items() for one in ttr.options_of(cls)]
)
def test_whatever_a_setting_is_cells_are_made_or_it_is_told(
    group: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alike = "experiments_db.search.candidates.one_function"  # takes seconds, and sees no settings
    monkeypatch.setattr(alike, lambda texts, frame: {text: text for text in texts})
    nothing = Atlas(pd.DataFrame(index=pd.Index([], name="spec")))
    for value in ("0", "1", "2", "none", "true"):
        kept = [one for one in TINY.splitlines() if not one.startswith(f"{group}:")]
        try:
            space = cells_of("\n".join([*kept, f"{group}: {{{name}: {value}}}"]), nothing)
        except ttr.RequestError as error:
            assert "line" in str(error), value
        else:
            assert {one.spec for one in space.candidates} == {
                "Importance | Linear | SGD",
                "Uniform | Linear | SGD",
            }


# --- stage 1 -------------------------------------------------------------------------------------


def test_what_is_one_function_in_the_frame_counts_once() -> None:
    space = cells_of(SMALL)
    assert specs(space) == [
        "Uniform | Linear | OneStep", "Uniform | Linear | SGD", "Uniform | Linear | NLMS",
        "Importance | Linear | OneStep", "Importance | Linear | SGD",
    ]  # fmt: skip
    twins = {one.spec for one in space.dropped if one.kind == TWIN}
    assert twins == {
        "Uniform | Linear | Hebbian", "Importance | Linear | Hebbian", "Importance | Linear | NLMS"
    }  # fmt: skip
    assert space.counts == {TWIN: 3}


def test_a_published_cell_keeps_its_name_whatever_it_is_written_as() -> None:
    text = SMALL.replace("published: [deltanet]", "specs: ['Importance | Linear | NLMS']")
    space = cells_of(text)
    found = {one.spec: one for one in space.candidates}
    assert "Importance | Linear | NLMS" not in found
    assert found["Uniform | Linear | SGD"].names[0] == "deltanet"
    assert "mamba2" in " ".join(str(one) for one in space.candidates), "all published take part"


@pytest.mark.parametrize("state", [24, 32, 40])
def test_a_state_sets_the_keys_of_each_cell(state: int) -> None:
    cells = "specs: ['Gate | Linear | Exact', 'ExpKernel | Constant | Exact']\n"
    space = cells_of(f"{SMALL}{cells}state: {state}")
    for one in space.candidates:
        assert one.state <= state
        ((spec, frame),) = one.experiment.model.regressions()
        size = frame.key_dim or 8
        assert one.state == ttr.state_size(spec, size, 8, 16)
        assert size == 8 or ttr.state_size(spec, size + 1, 8, 16) > state
        assert one.packed <= one.state
    assert {one.spec for one in space.dropped if one.kind == LARGE} == {
        "ExpKernel | Constant | Exact"
    }


def table(**columns: dict[str, float]) -> Atlas:
    """An atlas of a few cells with some numbers."""
    known = charted().table.copy()
    for spec, values in columns.items():
        for name, value in values.items():
            known.loc[spec.replace("_", " | "), name] = value
    return Atlas(known)


def test_the_atlas_drops_what_is_broken_and_says_why() -> None:
    bad = {"pairs_held": 0.0, "noise_borne": 0.0}
    atlas = table(Importance_Linear_OneStep=bad, Uniform_Linear_NLMS={"horizon": 3.0})
    space = cells_of(f"{SMALL}survivors: 0", atlas)
    lost = {one.spec: one.kind for one in space.dropped if one.kind != TWIN}
    assert lost == {"Importance | Linear | OneStep": HOLDS_NOTHING}, "what is published stays"
    assert specs(space)[2] == "Uniform | Linear | NLMS"
    assert cells_of(f"{SMALL}survivors: 0").counts == {TWIN: 3}


def test_some_of_what_the_atlas_drops_go_on_by_chance_and_are_known() -> None:
    bad = {"pairs_held": 0.0, "noise_borne": 0.0}
    atlas = table(Importance_Linear_OneStep=bad, Importance_Linear_SGD=bad)
    space = cells_of(SMALL, atlas)
    assert len(space.spared) == 1 and space.spared[0].spared == HOLDS_NOTHING
    assert space.counts[HOLDS_NOTHING] == 1


def test_a_number_of_an_earlier_revision_drops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    atlas = table(Importance_Linear_OneStep={"pairs_held": 0.0, "noise_borne": 0.0})
    monkeypatch.setattr(Atlas, "stale", lambda self, probe: frozenset(self.table.index))
    assert HOLDS_NOTHING not in cells_of(SMALL, atlas).counts


def test_two_signs_are_needed_to_call_a_cell_broken() -> None:
    assert broken({"pairs_held": 0.0, "noise_borne": 1.5, "horizon": 256.0}, 64) == ""
    assert broken({"pairs_held": 0.0, "noise_borne": 0.0, "horizon": 256.0}, 64) == HOLDS_NOTHING
    assert broken({"pairs_held": 9.0, "noise_borne": 1.0, "horizon": 63.0}, 64) == UNSETTLED
    assert broken({"pairs_held": 9.0, "noise_borne": 1.0, "horizon": 64.0}, 64) == ""
    assert broken({"pairs_held": float("nan"), "noise_borne": 0.0, "horizon": None}, 64) == ""


def test_one_in_twenty_is_drawn_by_name_alone() -> None:
    names = [f"cell {i}" for i in range(100)]
    drawn = lucky(names, 0.05, "rung 1")
    assert len(drawn) == 5 and drawn == lucky(reversed(names), 0.05, "rung 1")
    assert drawn != lucky(names, 0.05, "rung 2") and lucky([], 0.05, "rung 1") == frozenset()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("state: 4", "the space of this search is empty"),
        ("weights: [Uniform]\noptimizers: [SGD]", "published cells alone (1)"),
        ("published: [softmax-attention]\nstate: 64\nweights: [Importance]\noptimizers: [SGD]",
         "no published cell to compare with"),
    ],
)  # fmt: skip
def test_a_space_in_which_nothing_can_be_found_is_refused(more: str, said: str) -> None:
    keys = [line.partition(":")[0] for line in more.splitlines()]
    kept = [line for line in SMALL.splitlines() if line.partition(":")[0] not in keys]
    with pytest.raises(ttr.RequestError) as error:
        cells_of("\n".join([*kept, more]))
    assert said in str(error.value)


def test_what_has_no_solver_to_train_with_is_counted() -> None:
    slow = next(cell.spec for cell in ttr.grid() if cell.verdict == "slow")
    (one,) = (one for one in cells_of(f"{SMALL}specs: ['{slow}']").dropped if one.kind == UNFIT)
    assert one.spec == slow and len(one.why) > 10


# --- the outlook ---------------------------------------------------------------------------------


@pytest.fixture
def one_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets one cell stand for all where times are tried."""
    monkeypatch.setattr("experiments_db.search.outlook.TRIALS", 1)


@pytest.fixture
def ahead(tmp_path: Path, one_trial: None) -> Callable[[str], Any]:
    store = open_store(tmp_path / "runs.duckdb")

    def look(text: str) -> Any:
        plan, source = plan_of(text)
        return look_ahead(store, plan, source, space_of(plan, source, charted()))

    return look


def test_runs_and_hours_are_told_by_stages(ahead: Callable[[str], Any]) -> None:
    found = ahead(SMALL)
    told = [(one.name, one.least, one.most) for one in found.stages]
    assert told == [
        ("rung 1, 2 steps", 15, 15), ("rung 2, 4 steps", 6, 15),
        ("published cells at the states of the finalists", 3, 18),
        ("tuning of both in all frames", 12, 48), ("finals", 48, 96),
    ]  # fmt: skip
    assert all(0 < one.least_hours <= one.most_hours for one in found.stages)
    text = "\n".join(found.lines())
    assert "5 cells, 3 of them published" in text and "Dropped: 3, the same function" in text
    assert "processor hours" in text and [row["state"] for row in found.rows()] == [64] * 5


def test_a_first_rung_with_too_few_looks_to_see_a_curve_rise_is_told(
    ahead: Callable[[str], Any],
) -> None:
    said = "too few looks"
    short = "\n".join(ahead(SMALL).lines())
    assert said in short and "what fails: lengthen the rung." in short, "no look helps"
    fine = SMALL.replace("rungs: [2, 4]", "rungs: [50, 60]\ntrain: {eval_every: 3}")
    assert said not in "\n".join(ahead(fine).lines())
    rare = SMALL.replace("rungs: [2, 4]", "rungs: [50, 60]\ntrain: {eval_every: 50}")
    assert "lower train.eval_every, or lengthen" in "\n".join(ahead(rare).lines())


def test_sampling_is_told_of_the_cells_that_have_something_to_sample(
    ahead: Callable[[str], Any],
) -> None:
    none = ahead(f"{SMALL}trials: 5")
    assert "`trials` samples nothing" in "\n".join(none.lines())
    assert not [one for one in none.stages if "continuous" in one.name]
    some = ahead(f"{SMALL}specs: ['Importance | Linear | Exact']\ntrials: 5")
    assert "samples nothing" not in "\n".join(some.lines())
    (own,) = (one for one in some.stages if "continuous" in one.name)
    assert (own.least, own.most) == (0, 5), "one cell, on one seed"


def test_a_budget_below_the_first_rung_is_refused(ahead: Callable[[str], Any]) -> None:
    with pytest.raises(ttr.RequestError, match=r"line 11: the first rung alone, 15 runs, takes"):
        ahead(f"{SMALL}budget: 1e-9")
    assert ahead(f"{SMALL}budget: 5").lines()[-1].count("of a budget of 5") == 1


def test_a_search_has_a_protocol_of_its_own_and_names_its_frame() -> None:
    plan, _ = plan_of(SMALL)
    (one, *_) = cells_of(SMALL).candidates
    config = one.experiment.config()
    assert config["train"]["protocol"] == "search" and config["train"]["target"] is None
    assert config["model"]["frame"] == plan.frames[0] == "paper"
    usual = {**config, "train": {**config["train"], "protocol": "quick"}}
    assert config_hash(config) != config_hash(usual)


def test_a_dry_run_prints_the_space_and_leaves_nothing_behind(
    tmp_path: Path, one_trial: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTR_DB", str(tmp_path / "runs.duckdb"))
    (tmp_path / "plan.yaml").write_text(SMALL)
    asked = ["search", str(tmp_path / "plan.yaml"), "--dry-run"]
    shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 0 and "Importance | Linear | SGD" in shown.stdout, shown.output
    assert "rung 2, 4 steps" in shown.stdout
    told = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert [row["cell"] for row in told["cells"]][1] == "Uniform | Linear | SGD"
    assert pd.Series([one["kind"] for one in told["dropped"]]).value_counts()[TWIN] == 3
    assert [one["name"] for one in told["stages"]][-1] == "finals"
    assert not (tmp_path / "runs.duckdb").exists()
