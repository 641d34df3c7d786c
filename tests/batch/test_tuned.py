"""Plans that tune: rates by halving on the first seed, the others at the best; budget; evidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from experiments_db.cli import app
from experiments_db.read import export, queries
from experiments_db.read.filters import Conditions
from experiments_db.store import Store, open_store
from experiments_db.sweeps import (
    Planned,
    Preview,
    Work,
    expansion,
    plan_file,
    preview,
    report,
    tried,
    with_followers,
)
from experiments_db.sweeps.estimate import Pace
from experiments_db.sweeps.plan import checked
from ttr_core import RequestError
from ttr_core.lab import AFTER_FIRST_ROUND, VALIDATION

PLAN = """
specs: ["Uniform | Linear | SGD", "Uniform | Linear | Hebbian"]
tasks: {name: mqar, pairs: 2, seq_len: 16, vocab_size: 64}
model: {d_model: 16}
train: {steps: 3}
protocol: tuned
"""

pytestmark = pytest.mark.usefixtures("prompt")


def work_of(plan: str) -> Work:
    return expansion.expanded(*checked(*plan_file.plan_of(plan)))


@pytest.fixture
def cli(tmp_path: Path, fake_command: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("TTR_DB", str(tmp_path / "runs.duckdb"))
    monkeypatch.setattr("experiments_db.run.process.COMMAND", fake_command)
    (tmp_path / "plan.yaml").write_text(PLAN)

    def sweep(*arguments: str) -> Any:
        result = CliRunner().invoke(app, ["sweep", str(tmp_path / "plan.yaml"), *arguments])
        assert result.exit_code == 0, f"{result.stdout}\n{result.stderr}\n{result.exception!r}"
        return result

    return sweep


def seeds_and_rates(store: Path) -> list[tuple[int, Any]]:
    found = queries.runs(open_store(store), Conditions(), flat=True)
    return sorted((int(row["seed"]), str(row["train.lr"])) for _, row in found.iterrows())


def test_the_first_seed_chooses_and_the_others_follow(
    cli: Callable[..., Any], tmp_path: Path
) -> None:
    shown = json.loads(cli("--json").stdout)
    assert (shown["planned"], shown["finished"]) == (6, 6)
    asked = [(0, "auto")] * 2 + [(1, "0.1")] * 2 + [(2, "0.1")] * 2  # the stand-in chooses 0.1
    assert seeds_and_rates(tmp_path / "runs.duckdb") == asked
    assert [(row["seeds"], row["lr"], row["runs"]) for row in shown["results"]] == [(3, 0.1, 3)] * 2
    again = json.loads(cli("--json").stdout)
    assert (again["planned"], again["skipped"], again["finished"]) == (6, 6, 0)


def test_a_budget_ends_a_batch_and_the_command_goes_on(
    cli: Callable[..., Any], tmp_path: Path
) -> None:
    for done in (2, 4, 6):
        shown = cli("--limit", "2", "--output", str(tmp_path / "t.csv"))
        assert "2 finished" in shown.stdout, shown.stdout
        assert len(seeds_and_rates(tmp_path / "runs.duckdb")) == done
        assert (tmp_path / "t.csv").exists()
    assert "6 not started" in cli("--minutes", "0", "--fresh").stdout


def test_runs_kept_as_evidence_are_followed_in_another_store(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first seed chose elsewhere is known here, and what it cost is told before."""
    (tmp_path / "plan.yaml").write_text(f"{PLAN}evidence: kept.parquet\n")
    told = cli("--limit", "2").stderr
    assert "trying 6 runs" in told and "4 more follow" in told and "of processor in all" in told
    store = open_store(tmp_path / "runs.duckdb")
    export.write_runs(store, tmp_path / "kept.parquet", queries.runs(store, Conditions()))
    monkeypatch.setenv("TTR_DB", str(tmp_path / "other.duckdb"))
    shown = json.loads(cli("--json").stdout)
    assert (shown["planned"], shown["skipped"], shown["finished"]) == (6, 2, 4)
    assert [(row["seeds"], row["runs"]) for row in shown["results"]] == [(3, 3)] * 2


def test_a_plan_that_leaves_the_device_open_takes_what_another_one_has_made(
    store: Store, stored: Callable[..., None], tmp_path: Path
) -> None:
    def made_there(run: Planned) -> None:
        there = replace(run.experiment, device="cuda")
        stored(
            replace(run, experiment=there, config=there.config()), 0.9, lr=0.01, lrs_tried=[0.01]
        )

    work = work_of(PLAN)
    made_there(work.runs[0])
    further = with_followers(store, work).runs[1:3]
    assert [one.experiment.train.lr for one in further] == [0.01, 0.01]
    made_there(further[0])
    stored(further[1], 0.8, lr=0.01)
    seen = with_followers(store, work)
    here = preview(store, seen, jobs=1)
    assert [run.config["device"] for run in seen.runs[:4]] == ["cuda", "cuda", "cpu", "cpu"]
    assert [run.layer for run in here.open] == [work.runs[1].layer]
    (row,) = report.rows(store, seen.runs)
    assert (row["device"], row["runs"], row["seeds"]) == ("cpu, cuda", 3, 3)
    named = work_of(f"{PLAN}device: cpu\n")
    assert len(preview(store, with_followers(store, named), jobs=1).open) == 2

    export.write_runs(store, tmp_path / "kept.parquet", queries.runs(store, Conditions()))
    empty, files = open_store(tmp_path / "empty.duckdb"), [tmp_path / "kept.parquet"]
    assert len(preview(empty, work, jobs=1, ahead=files).open) == 1
    assert len(preview(empty, named, jobs=1, ahead=files).open) == 2


def test_what_runs_anew_runs_on_this_device(
    cli: Callable[..., Any], store: Store, stored: Callable[..., None], tmp_path: Path
) -> None:
    run = work_of(PLAN).runs[0]
    there = replace(run.experiment, device="cuda")
    stored(replace(run, experiment=there, config=there.config()), 0.9, lr=0.01, lrs_tried=[0.01])
    place = ("--db", str(store.path), "--dry-run", "--json")
    assert "cuda" in {one["config"]["device"] for one in json.loads(cli(*place).stdout)["runs"]}
    told = json.loads(cli(*place, "--fresh").stdout)
    assert {one["config"]["device"] for one in told["runs"]} == {"cpu"} and not told["skipped"]


def test_what_follows_is_in_the_estimate() -> None:
    work = work_of(PLAN)
    assert len(work.runs) == 2 and work.seeds_later == (1, 2)
    pace = tried(work.runs[:1])
    assert pace.trials == 1 and (pace.seconds(work.runs[0].kind) or 0) > 0
    ahead = Preview(work, {}, Pace(), 1)
    assert len(ahead.later) == 4 and len(ahead.unknown) == 6
    assert "4 more follow" in " ".join(ahead.lines())
    known = Preview(work, {}, tried((*ahead.open, *ahead.later)), 1)
    assert not known.unknown and "of processor in all" in known.lines()[-1]
    alone = pace.seconds(work.runs[0].kind)
    assert known.pace.total((run.kind for run in (*known.open, *known.later)), 1)[0] > (alone or 0)


@pytest.mark.parametrize(
    ("early", "late", "low", "good"),
    [(0.95, 0.5, 0.01, 2), (0.6, 0.5, 0.01, 2), (0.6, 0.05, 0.03, 1), (0.95, None, 0.01, 2)],
)
def test_the_window_of_halving_is_that_of_its_first_round_and_the_rate_it_kept(
    cli: Callable[..., Any], tmp_path: Path, early: float, late: float | None, low: float, good: int
) -> None:
    from experiments_db.store.records import Outcome

    (run, _), store = work_of(PLAN).runs, open_store(tmp_path / "window.duckdb")
    scores = {0.001: 0.2, 0.01: early, 0.03: 1.0}
    with store.driver() as driver:
        from experiments_db.run.outcomes import new_run

        claim = store.claim(driver, new_run(run.experiment, run.config, ()))
        rows = [
            {"lr": rate, AFTER_FIRST_ROUND: score, "accuracy": 0.0, "diverged": False}
            for rate, score in scores.items()
        ]
        assert claim.run_id is not None
        found = {"accuracy": 0.5, "still_rising": 1.0, "steps_to_50": 60.0}
        found |= {} if late is None else {f"{VALIDATION}accuracy": late}
        tables = {"learning_rates": rows}
        outcome = Outcome("finished", found, tables=tables, lr=0.01, lrs_tried=[*scores])
        store.finish(claim.run_id, outcome)
        again = with_followers(store, work_of(PLAN)).runs
        further = [one for one in again if one.leader == run.config_hash]
        assert again[1:3] == tuple(further), "they come right after the run that chose their rate"
        assert [(one.experiment.seed, one.experiment.train.lr) for one in further] == [
            (1, 0.01), (2, 0.01),
        ]  # fmt: skip
    (row,) = report.rows(store, work_of(PLAN).runs)
    assert row["window"] == {"best": 0.03, "low": low, "high": 0.03, "rates": good, "tried": 3}
    assert (row["lr"], row["still_rising"]) == (0.01, 1)
    assert (row["steps_to_50"], row["steps_to_90"]) == (60.0, None)
    assert row["accuracy_median"] == row["accuracy_min"] == row["accuracy_max"] == 0.5


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train: {lr: 0.1}", "protocol tuned tries"),
        ("train: {seconds: 3}", "no time limit"),
        ("seeds: [0, 1]", "at least 3 seeds"),
    ],
)
def test_what_a_tuned_plan_cannot_have_is_refused(line: str, said: str) -> None:
    plan = PLAN.replace("train: {steps: 3}", line) if "train" in line else f"{PLAN}{line}\n"
    with pytest.raises(RequestError, match=said):
        checked(*plan_file.plan_of(plan))
