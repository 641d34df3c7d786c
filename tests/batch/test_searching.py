"""The command that searches: told, resumed, shared by drivers, ended by its budget."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from experiments_db.atlas import charted
from experiments_db.cli import app, searching
from experiments_db.cli.door import Exit
from experiments_db.read import queries
from experiments_db.read.searched import searched
from experiments_db.search import load_search, space_of
from experiments_db.search.halving import DROPPED
from experiments_db.search.trainings import trainings
from experiments_db.store import open_store
from experiments_db.store.driver import Wish, ask_of, folder_of, held_in
from experiments_db.store.importing import import_runs
from experiments_db.store.records import NewRun, Outcome
from experiments_db.sweeps import Sweep

ROOT = Path(__file__).resolve().parents[2]
PLAN = """
task: {name: mqar, pairs: 2, seq_len: 16, vocab_size: 64}
weights: [Uniform, Importance, Gate]
functions: [Linear]
optimizers: [OneStep, SGD, Implicit]
published: [deltanet]
model: {d_model: 8}
rates: [0.01, 0.03]
rungs: [2, 4, 8]
seeds: [0]
survivors: 0
finalists: 2
"""
TINY = """
task: {name: mqar, pairs: 2, seq_len: 16, vocab_size: 64}
weights: []
specs: ['Importance | Linear | SGD']
published: [deltanet]
model: {d_model: 8}
rates: [0.01, 0.03]
rungs: [2, 4]
seeds: [0]
evidence: kept.duckdb
"""

NONE = ("small", "recall", "overwrite", "gates", "curvature")
"""Searches whose finalist is not above what is published."""

SCORES = {"Uniform": 0.5, "Importance": 0.6, "Gate": 0.55, "| SGD": 0.02, "Implicit": 0.03}
DRIVER = """
import sys
import experiments_db.run.process as process
import experiments_db.search.outlook as outlook
process.COMMAND = (sys.executable, sys.argv[1])
outlook.TRIALS = 1
from experiments_db.cli import app
app(sys.argv[2:])
"""


@pytest.fixture
def cli(
    tmp_path: Path, prompt: None, fake_command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Runs the command with a worker that knows how well each cell does."""
    monkeypatch.setattr("experiments_db.run.process.COMMAND", fake_command)
    monkeypatch.setattr(sys.modules["experiments_db.search.outlook"], "TRIALS", 1)
    monkeypatch.setattr("experiments_db.cli.searching.WAIT_SECONDS", 0.1)
    monkeypatch.setenv("FAKE_SCORES", json.dumps(SCORES))

    def invoke(*arguments: str, plan: str = PLAN, db: str = "runs", code: int = 0) -> Any:
        (tmp_path / "plan.yaml").write_text(plan)
        asked = ["search", str(tmp_path / "plan.yaml"), "--db", str(tmp_path / f"{db}.duckdb")]
        out = ["--output", str(tmp_path / db), "--jobs", "2"]
        result = CliRunner().invoke(app, [*asked, *out, *arguments])
        assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
        return result

    return invoke


def finished(db: Path) -> int:
    if not db.exists():
        return 0
    return int((queries.runs(open_store(db))["status"] == "finished").sum())


def until(done: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def cells_of(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "cells.parquet")


@pytest.mark.slow
def test_a_search_is_run_told_and_not_run_again(cli: Callable[..., Any], tmp_path: Path) -> None:
    told = json.loads(cli("--json").stdout)
    store = open_store(tmp_path / "runs.duckdb")
    before = queries.runs(store)
    assert set(before["protocol"]) == {"search"} and len(before) == told["trainings"]
    assert told["missing"] == 0 and told["cells"][0]["cell"].startswith("Importance | Linear")
    report = (tmp_path / "runs" / "report.md").read_text()
    for heading in ("## Finals", "## After 8 steps", "## Halving", "## Which ingredient"):
        assert heading in report
    assert "Above the best published cell" in report and "with a chance of 80%" in report
    assert {p.suffix for p in (tmp_path / "runs").glob("finals.*")} == {".csv", ".parquet"}
    seeds = pd.read_parquet(tmp_path / "runs/seeds.parquet")
    assert seeds.groupby(["cell", "frame"]).size().unique().tolist() == [12]
    table = cells_of(tmp_path / "runs")
    again = cli()
    assert "rung 1" not in again.stderr.split("processor hours")[-1]
    assert sorted(queries.runs(store)["run_id"]) == sorted(before["run_id"])
    pd.testing.assert_frame_equal(cells_of(tmp_path / "runs"), table)


@pytest.mark.slow
def test_a_killed_search_is_shared_by_two_and_tells_the_same(
    cli: Callable[..., Any], tmp_path: Path, fake_command: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("FAKE_SCORES", json.dumps({**SCORES, "Exact": 0.04}))
    sampling = PLAN.replace("Implicit]", "Exact]") + "trials: 2\n"
    whole = json.loads(cli("--json", plan=sampling, db="whole").stdout)
    assert "Exact(ridge=" in " ".join(queries.runs(open_store(tmp_path / "whole.duckdb"))["spec"])
    db = tmp_path / "shared.duckdb"
    call = [sys.executable, "-c", DRIVER, fake_command[1], "search", str(tmp_path / "plan.yaml"),
            "--jobs", "2", "--json", "--db", str(db)]  # fmt: skip

    def start(folder: str) -> subprocess.Popen[str]:
        out = [*call, "--output", str(tmp_path / folder)]
        return subprocess.Popen(out, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                cwd=ROOT)  # fmt: skip

    killed = start("killed")
    until(lambda: finished(db) >= 3 or killed.poll() is not None)
    killed.kill()
    killed.communicate()
    assert 3 <= finished(db) < whole["trainings"]
    drivers = [start("first"), start("second")]
    told = [json.loads(driver.communicate()[0]) for driver in drivers]
    assert [one["missing"] for one in told] == [0, 0]
    rows = queries.runs(open_store(db))
    done = rows[rows["status"] == "finished"]
    assert len(done) == done["config_hash"].nunique() == whole["trainings"], "each once"
    for folder in ("first", "second"):
        pd.testing.assert_frame_equal(cells_of(tmp_path / folder), cells_of(tmp_path / "whole"))


@pytest.mark.slow
def test_a_search_is_held_and_cancelled_from_without(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db, asked, held, heed = tmp_path / "runs.duckdb", [], threading.Event(), Sweep.heed

    def heeding(sweep: Sweep) -> bool:
        cancelled = heed(sweep)
        if sweep.held:
            held.set()
        return cancelled

    monkeypatch.setattr(Sweep, "heed", heeding)

    def page() -> None:
        until(lambda: finished(db) >= 3)
        (driver,) = held_in(folder_of(db))
        asked.append(ask_of(db, driver, Wish.HOLD))
        until(held.is_set)  # between two runs none is running, either
        until(lambda: "running" not in set(queries.runs(open_store(db))["status"]))
        asked.append(ask_of(db, driver, Wish.STOP))

    asking = threading.Thread(target=page)
    asking.start()
    said = cli(code=130)
    asking.join()
    assert asked == [True, True], "held, it stays in its wave"
    assert "Paused from a page." in said.stderr and "Stopping" in said.stderr


def test_a_search_whose_runs_others_took_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that claim the last run of a wave one gets nothing, and waits for the other."""
    stages = iter([()])
    hunt = SimpleNamespace(
        state=lambda: SimpleNamespace(missing=next(stages), stage="rung 1"),
        wave=lambda state, jobs: SimpleNamespace(open=[1], known={}),
        refusal=lambda state, wave: "",
        adopt=lambda: None,
    )
    for yielded, code in ((True, Exit.DONE), (False, Exit.FAILED)):
        ended = (Exit.DONE, yielded)
        monkeypatch.setattr(searching, "_wave", lambda *given, ended=ended: ended)
        stages = iter([("a",), ("a",), (), ()] if yielded else [("a",), ("a",)])
        given: Any = (None, hunt, 1, None, None, True)
        assert searching._worked_off(*given) is code


def test_a_budget_ends_a_search_before_a_rung_that_does_not_fit(
    cli: Callable[..., Any], tmp_path: Path
) -> None:
    plan = PLAN.replace("rungs: [2, 4, 8]", "rungs: [2, 100000]")
    said = cli(plan=f"{plan}budget: 0.02\n")
    assert "The budget of 0.02 processor hours has" in said.stderr
    told = " ".join(said.stdout.split())
    assert "Not finished: " in told and "(rung 2," in told, said.stderr
    assert set(cells_of(tmp_path / "runs")["rungs"]) == {1}


def test_a_dry_run_tells_what_the_evidence_of_its_plan_answers_and_writes_nothing(
    cli: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "plan.yaml").write_text(TINY)
    plan, source = load_search(tmp_path / "plan.yaml")
    cells = space_of(plan, source, charted()).candidates
    first = trainings([(one, plan.lrs) for one in cells], "paper", plan.rungs[0], (0,))
    kept = open_store(tmp_path / "kept.duckdb")
    with kept.driver() as driver:
        for one in first:
            run = one.planned
            asked = NewRun(run.config, run.config_hash, None, run.layer, "paper", "mqar", 0, "cpu",
                           protocol="search")  # fmt: skip
            well = {"validation_accuracy": 0.9, "still_rising": 0.0, "cpu_seconds": 3.0}
            ended = Outcome("finished", well, steps=2, seconds=3.0)
            kept.finish(str(kept.claim(driver, asked).run_id), ended)
    said = cli("--dry-run", plan=TINY).stdout
    where = "in the store or in the evidence of the plan"
    assert f"4 trainings are {where}, 12 s of a processor; next is rung 2, 4 steps: 2 runs" in said
    assert "by 4 past runs" in said
    small = "budget: 0.0001\n"
    told = cli("--dry-run", plan=f"{TINY}{small}").stdout
    assert "The budget of 0.0001 processor hours has" in told, "its first rung is there"
    document = json.loads(cli("--dry-run", "--json", plan=f"{TINY}{small}").stdout)
    assert document["refused"].startswith("The budget of 0.0001 processor hours has")
    more = TINY.replace("seeds: [0]", "seeds: [0, 1]")
    refused = cli("--dry-run", plan=f"{more}{small}", code=2).stderr
    assert "first rung alone, 8 runs, lacks 4 runs, which take about" in " ".join(refused.split())
    none = TINY.replace("kept", "none")
    said = cli("--dry-run", "--json", plan=none)
    assert f"There is no evidence at {tmp_path / 'none.duckdb'} yet" in said.stderr
    document = json.loads(said.stdout)
    assert (document["trainings"], document["missing"]) == (0, 4)
    assert document["stage"] == "rung 1, 2 steps"
    assert not (tmp_path / "runs.duckdb").exists() and not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_what_fails_is_told_and_dropped(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_BY_SPEC", json.dumps({"Gate": "request"}))
    told = json.loads(cli("--json", code=1).stdout)
    monkeypatch.delenv("FAKE_BY_SPEC")
    again = cli("--json", code=1)  # nothing is left to do, and what failed still counts as 0
    assert json.loads(again.stdout) == told and told["failed"]
    ahead = cli("--dry-run", "--json", code=1)
    assert json.loads(ahead.stdout)["failed"] == told["failed"]
    for run_id in told["failed"]:
        assert f"{run_id} failed and counts as 0" in again.stderr and run_id in ahead.stderr
    lost = [row for row in told["cells"] if row["weights"] == "Gate"]
    assert lost and all(row["failed"] and row["fate"] == DROPPED for row in lost)
    assert told["missing"] == 0


def test_what_the_documents_say_of_the_small_search_is_what_its_runs_come_to(
    tmp_path: Path,
) -> None:
    store = open_store(tmp_path / "runs.duckdb")
    import_runs(store, ROOT / "docs/evidence/search_small.parquet")
    found = searched(store, "search-small")
    text = (ROOT / "docs/search.md").read_text(encoding="utf-8")
    assert found is not None
    spent = f"{found.cpu_seconds / 60:.1f} minutes of a processor"
    assert f"{sum(found.counts.values())} trainings, {spent}" in text
    assert f"({found.counts['diverged']} trainings, which count as 0)" in text
    assert f"{found.rungs['cells'][0]} cells of at most 64 numbers" in text
    new = found.finals[found.finals["name"] == ""]
    assert len(new) == 2 and set(new["n"]) == {12}
    (line,) = (x for x in text.splitlines() if x.startswith("| `Importance`, `Linear`, `Exact` |"))
    for row in new.itertuples():
        assert f"{row.mean:.3f} against".replace("0.", ".") in line, row
        assert f", {row.gain:.3f} [".replace("0.", ".") in line, row


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plan", "said"),
    [
        *((f"search_{name}", "**None of 1") for name in NONE),
        ("search_ridge", "**No claim**: ahead after 600 steps"),
    ],
)
def test_what_the_documents_say_of_a_search_is_what_its_runs_come_to(
    plan: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command takes the kept runs and trains nothing; a store that is read-only tells them."""
    asked = ["search", str(ROOT / f"examples/{plan}.yaml"), "--json"]
    places = ["--db", str(tmp_path / "runs.duckdb"), "--output", str(tmp_path / "out")]
    told = json.loads(CliRunner().invoke(app, [*asked, *places]).stdout)
    text = (ROOT / "docs/search.md").read_text(encoding="utf-8")
    assert told["missing"] == 0 and f"{told['trainings']} trainings" in text
    assert told["said"].startswith(said)
    found = searched(open_store(tmp_path / "runs.duckdb"), plan.replace("_", "-"))
    assert found is not None and sum(found.counts.values()) >= told["trainings"]
    assert f"{told['detectable']:.3f} would".replace("0.", ".") in text
    for row in told["finals"]:
        low, high = (f"{row[f'gain_{end}']:.3f}".replace("0.", ".") for end in ("low", "high"))
        assert f"{row['gain']:.3f} [".replace("0.", ".") + f"{low}, {high}]" in text, row
        assert row["rival_state_size"] <= row["state_size"] or (
            row["rival_packed_state_size"] <= row["packed_state_size"]
        )
    known = [row for row in told["cells"] if row["published"]]
    assert not [row for row in known if row["fate"] == DROPPED and row["not_begun"]]
    assert not [row for row in known if row["fate"] == DROPPED and row["still_rising"]]
    if plan == "search_small":
        fates = pd.Series([row["fate"] for row in told["cells"] if row["rungs"] == 1])
        assert f"{(fates == DROPPED).sum()} were dropped" in text and len(told["cells"]) == 25
        monkeypatch.setenv("TTR_READONLY", "1")
        again = CliRunner().invoke(app, [*asked, *places])
        assert again.exit_code == 0 and json.loads(again.stdout) == told
        assert "this store is read-only" in again.stderr
