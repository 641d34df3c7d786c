"""Sweeps on their way: shared by drivers, killed, stopped, resumed, reported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from experiments_db.cli import app, door
from experiments_db.cli import sweep as batch_sweep
from experiments_db.read import export, queries
from experiments_db.run.outcomes import new_run
from experiments_db.run.supervisor import Supervisor
from experiments_db.store import Outcome, Store, open_store
from experiments_db.sweeps import Planned, Sweep, expansion, plan_file, report, summary
from experiments_db.sweeps.drive import REFUSALS
from experiments_db.sweeps.plan import checked

ROOT = Path(__file__).resolve().parents[2]
DRIVER = """
import sys
from experiments_db.run import process
process.COMMAND = (sys.executable, sys.argv.pop(1))
from experiments_db.cli import app
app()
"""
PLAN = """
specs: ["Uniform | Linear | SGD", "Uniform | Linear | Hebbian"]
tasks: {name: mqar, pairs: 2, seq_len: 16, vocab_size: 64}
model: {d_model: 16}
train: {steps: %s}
seeds: {from: 0, to: %s}
tags: [swept]
"""

Cli = Callable[..., Any]


def runs_of(plan: str) -> tuple[Planned, ...]:
    return expansion.expanded(*checked(*plan_file.plan_of(plan))).runs


pytestmark = pytest.mark.usefixtures("prompt")


@pytest.fixture
def cli(tmp_path: Path, fake_command: Any, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a sweep in this process on stand-in workers, with a store of its own."""
    monkeypatch.setenv("TTR_DB", str(tmp_path / "runs.duckdb"))
    monkeypatch.setattr("experiments_db.run.process.COMMAND", fake_command)

    def sweep(plan: str, *arguments: str, code: int = 0) -> tuple[dict[str, Any], str]:
        path = tmp_path / "plan.yaml"
        path.write_text(plan)
        result = CliRunner().invoke(app, ["sweep", str(path), "--json", *arguments])
        assert result.exit_code == code, f"{result.stdout}\n{result.stderr}\n{result.exception!r}"
        return json.loads(result.stdout), result.stderr

    return sweep


def statuses(db: Path) -> Counter[str]:
    return Counter(queries.runs(open_store(db))["status"])


def until(met: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.1)


# ---- one driver


def test_a_sweep_runs_the_plan_and_then_has_nothing_to_do(cli: Cli, tmp_path: Path) -> None:
    plan = PLAN % (3, 2)
    first, said = cli(plan, "--jobs", "2")
    assert (first["planned"], first["finished"], first["skipped"]) == (6, 6, 0)
    assert said == "", "silent under --json"
    again, _ = cli(plan)
    assert (again["planned"], again["finished"], again["skipped"]) == (6, 0, 6)
    rows = queries.runs(open_store(tmp_path / "runs.duckdb"))
    assert set(rows["config_hash"]) == {run.config_hash for run in runs_of(plan)}
    assert list(rows["tags"]) == [["swept"]] * 6
    fresh, _ = cli(plan, "--fresh")
    assert (fresh["finished"], fresh["skipped"]) == (6, 0)
    assert set(first) >= {"planned", "skipped", "finished", "diverged", "failed", "cancelled"}
    dry, _ = cli(PLAN % (3, 3), "--dry-run")
    assert (dry["skipped"], dry["finished"], len(dry["runs"])) == (6, 0, 8)
    assert dry["estimated_seconds"] > 0


def test_a_failed_run_is_named_and_stops_no_other(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_BY_SEED", '{"0": "die", "1": "diverge"}')
    plan = PLAN % (3, 2)
    document, said = cli(plan, code=1)
    counts = {name: document[name] for name in ("failed", "diverged", "finished")}
    assert counts == {"failed": 2, "diverged": 2, "finished": 2}
    assert "last words" in said and "seed 0" in said
    assert all("last words" in failure["message"] for failure in document["failures"])
    monkeypatch.setenv("FAKE_BY_SEED", "{}")
    again, _ = cli(plan)
    assert (again["skipped"], again["finished"]) == (4, 2), "what failed is run again"


def test_a_result_that_is_not_in_the_store_is_told_at_the_end(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = iter(["It is kept beside the store.", *[None] * 9])
    monkeypatch.setattr("experiments_db.run.supervisor.keep", lambda *_: next(kept))
    document, said = cli(PLAN % (3, 2), "--jobs", "1", code=1)
    assert (document["finished"], document["failures"]) == (6, [])
    (one,) = document["unstored"]
    assert said == f"{one['run']}: The run finished: It is kept beside the store.\n"


def test_a_store_that_refuses_ends_the_sweep(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from experiments_db.store import StoreError

    def refuse(*arguments: Any, **options: Any) -> None:
        raise StoreError("The disk is full.")

    monkeypatch.setattr(Store, "claim", refuse)
    (tmp_path / "plan.yaml").write_text(PLAN % (3, 9))
    result = CliRunner().invoke(app, ["sweep", str(tmp_path / "plan.yaml")])
    assert result.exit_code == 1
    assert f"{REFUSALS} runs in a row" in result.stderr and "disk is full" in result.stderr
    monkeypatch.setenv("TTR_READONLY", "1")
    result = CliRunner().invoke(app, ["sweep", str(tmp_path / "plan.yaml")])
    assert result.exit_code == 1 and "read-only" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_sweep_keeps_what_is_finished(cli: Cli, tmp_path: Path, number: int) -> None:
    db = tmp_path / "runs.duckdb"

    def stop() -> None:
        until(lambda: {"finished", "running"} <= set(statuses(db)))
        os.kill(os.getpid(), number)

    stopping = threading.Thread(target=stop)
    stopping.start()
    steps = "[2, 5000]"  # the short ones end at once, the long ones never
    document, said = cli(PLAN % (steps, 4), "--jobs", "1", code=130)
    stopping.join()
    assert "Stopping" in said
    assert document["cancelled"] == 1 <= document["finished"]
    assert document["not_started"] == document["planned"] - document["finished"] - 1 > 0
    assert statuses(db) == {"finished": document["finished"], "cancelled": 1}


def test_a_plan_takes_in_the_runs_that_it_goes_on_with(cli: Cli, tmp_path: Path) -> None:
    plan = PLAN % (3, 0)
    cli(plan)
    kept = tmp_path / "evidence" / "kept.parquet"
    kept.parent.mkdir()
    export.write_runs(open_store(tmp_path / "runs.duckdb"), kept)
    (tmp_path / "runs.duckdb").unlink()
    more = (
        plan.replace("to: 0", "to: 1") + "evidence: [evidence/kept.parquet, evidence/none.parquet]"
    )
    document, said = cli(more, "--dry-run")
    assert (document["skipped"], document["planned"]) == (2, 4)
    assert f"There is no evidence at {kept.with_name('none.parquet')} yet" in said
    assert not (tmp_path / "runs.duckdb").exists(), "a dry run takes nothing in"
    document, said = cli(more)
    assert (document["skipped"], document["finished"]) == (2, 2)
    assert f"2 runs are taken in from {kept}." in said
    assert f"There is no evidence at {kept.with_name('none.parquet')} yet" in said
    document, said = cli(more)
    assert (document["skipped"], f"taken in from {kept}" in said) == (4, False)


def test_the_second_request_to_stop_kills() -> None:
    killed: list[bool] = []
    before = signal.getsignal(signal.SIGINT)
    with door.stoppable(lambda: killed.append(True)) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        until(stop.is_set)
        assert killed == []
        os.kill(os.getpid(), signal.SIGINT)
        until(lambda: killed == [True])
    assert signal.getsignal(signal.SIGINT) is before


def test_progress_on_a_terminal_and_in_lines(
    store: Store, supervisor: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    runs = runs_of(PLAN % (12, 1))
    batch_sweep.watch(Sweep(store, supervisor(workers=2), runs, 2), lambda: False, quiet=False)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 4 and lines[-1].startswith("4/4  finished")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    swept = Sweep(store, supervisor(workers=2), runs, 2, fresh=True)
    batch_sweep.watch(swept, lambda: False, quiet=False)
    shown = capfd.readouterr().err
    assert "total" in shown and "4/4" in shown and str(runs[0]) in shown and "/12" in shown


# ---- several drivers


def test_two_drivers_share_a_plan(store: Store, supervisor: Callable[..., Supervisor]) -> None:
    runs = runs_of(PLAN % (25, 3))
    sweeps = [Sweep(open_store(store.path), supervisor(), runs) for _ in range(2)]
    until(lambda: [sweep.advance() for sweep in sweeps if not sweep.done] == [])
    rows = queries.runs(store)
    assert sorted(rows["config_hash"]) == sorted(run.config_hash for run in runs)
    assert set(rows["status"]) == {"finished"}
    assert sum(sweep.counts["finished"] for sweep in sweeps) == len(runs)
    assert all(sweep.counts["finished"] > 0 for sweep in sweeps), "both worked"
    assert all(sweep.settled == len(runs) for sweep in sweeps)


def test_what_another_driver_still_makes_is_said_at_the_end(
    store: Store, supervisor: Callable[..., Supervisor]
) -> None:
    runs = runs_of(PLAN % (2, 1))
    with store.driver() as driver:
        kept = store.claim(driver, new_run(runs[0].experiment, runs[0].config, ()))
        sweep = Sweep(store, supervisor(), runs)
        until(lambda: not sweep.advance() and sweep.done)
        assert sweep.skipped == 1 and "still making 1 of them" in summary(sweep)
        store.finish(str(kept.run_id), Outcome("finished"))
    assert "still making" not in summary(sweep)


@pytest.mark.slow
def test_a_killed_sweep_resumes_at_once_and_two_share_the_rest(
    store: Store, supervisor: Callable[..., Supervisor], fake_command: Any, tmp_path: Path
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN % (20, 5))
    runs = runs_of(path.read_text())
    call = [sys.executable, "-c", DRIVER, fake_command[1], "sweep", str(path), "--jobs", "2"]

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*call, "--json", "--db", str(store.path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )

    killed = start()
    until(lambda: statuses(store.path)["finished"] >= 2)
    killed.kill()
    killed.communicate()
    left = statuses(store.path)
    assert left["running"] == 0 and left["finished"] < len(runs), "interrupted at once"
    other = start()
    until(lambda: statuses(store.path)["running"] > 0 or other.poll() is not None)
    here = Sweep(store, supervisor(), runs)
    until(lambda: here.advance() == [] and here.done)
    there = json.loads(other.communicate()[0])
    rows = queries.runs(store)
    finished = list(rows.loc[rows["status"] == "finished", "config_hash"])
    assert sorted(finished) == sorted(run.config_hash for run in runs), "each once, none missing"
    assert set(rows["status"]) <= {"finished", "interrupted"}
    assert here.counts["finished"] + there["finished"] == len(runs) - left["finished"]
    assert there["finished"] + there["skipped"] == there["planned"] == len(runs)


# ---- the report


def test_the_window_of_the_standard_protocol(store: Store, stored: Callable[..., None]) -> None:
    runs = runs_of(PLAN % (4, 2) + "protocol: standard\n")
    first = [run for run in runs if run.layer == runs[0].layer]
    for run in first:
        rates = [
            {"lr": lr, "accuracy": accuracy, "diverged": accuracy is None}
            for lr, accuracy in ((0.001, 0.2), (0.01, 0.9), (0.02, 0.88), (0.03, None))
        ]
        stored(run, 0.9, lr=0.01, tables={"learning_rates": rates})
    (row,) = report.rows(store, runs)
    assert (row["layer"], row["seeds"], row["lr"]) == (first[0].layer, 3, 0.01)
    assert row["window"] == {"best": 0.01, "low": 0.01, "high": 0.02, "rates": 2, "tried": 4}
    assert (row["validation"], row["accuracy"]) == (pytest.approx(0.9), pytest.approx(0.89))
    assert row["accuracy_std"] == pytest.approx(0)
    assert report.table([row])[0]["window"] == "0.01 to 0.02 (2 of 4)"


def test_fixed_rates_share_a_row(store: Store, stored: Callable[..., None]) -> None:
    plan = (PLAN % (4, 1)).replace("steps: 4", "steps: 4, lr: [1e-3, 1e-2, 1e-1]")
    runs = [run for run in runs_of(plan) if "SGD" in run.layer]
    for run in runs:
        lr = run.experiment.train.lr
        stored(run, {0.001: 0.6, 0.01: 0.8}.get(lr, 0.0), "diverged" if lr == 0.1 else "finished")
    (row,) = report.rows(store, runs)
    assert (row["lr"], row["seeds"], row["diverged"], row["setting"]) == (0.01, 2, 0, "")
    assert row["window"] == {"best": 0.01, "low": 0.01, "high": 0.01, "rates": 1, "tried": 3}
    assert row["accuracy"] == pytest.approx(0.79), "the rates that lost do not count"


def test_the_standard_protocol_for_real(tmp_path: Path) -> None:
    plan, db = tmp_path / "plan.yaml", tmp_path / "runs.duckdb"
    plan.write_text((PLAN % (2, 2)).replace(', "Uniform | Linear | Hebbian"', ""))
    asked = [
        "sweep",
        str(plan),
        "--set",
        "protocol=standard",
        "--set",
        "eval_examples=8",
        "--json",
        "--db",
        str(db),
    ]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.stderr
    (row,) = json.loads(result.stdout)["results"]
    assert row["seeds"] == 3 and row["window"]["tried"] == 6
    stored_runs = queries.runs(open_store(db))
    assert set(stored_runs["protocol"]) == {"standard"}
    assert {len(json.loads(tried)) for tried in stored_runs["lrs_tried"]} == {6}
