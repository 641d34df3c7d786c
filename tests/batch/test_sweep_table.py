"""The table of what a sweep found: its columns, its files, and when it is not written."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

import ttr_core as ttr
from experiments_db.cli import app
from experiments_db.cli import sweep as batch_sweep
from experiments_db.read import export
from experiments_db.run.supervisor import Supervisor
from experiments_db.store import Store
from experiments_db.sweeps import Planned, Sweep, Work, expansion, plan_file, report
from experiments_db.sweeps.plan import checked
from ttr_core.lab import MQAR
from ttr_core.tools import learning

PLAN = """
specs: ["Uniform | Linear | SGD", "Uniform | Linear | Hebbian"]
tasks: {name: mqar, pairs: 2, seq_len: 16, vocab_size: 64}
model: {d_model: 16}
train: {steps: 3}
seeds: [0, 1]
"""
RATES = PLAN.replace("steps: 3", "steps: 3, lr: [1e-3, 1e-2, 1e-1]")
SETTINGS = {"task.pairs": "2", "model.d_model": "16", "train.steps": "3", "train.target": "0.99"}

pytestmark = pytest.mark.usefixtures("prompt")


def work_of(plan: str) -> Work:
    return expansion.expanded(*checked(*plan_file.plan_of(plan)))


def first_layer(plan: str) -> list[Planned]:
    runs = work_of(plan).runs
    return [run for run in runs if run.layer == runs[0].layer]


@pytest.fixture
def cli(tmp_path: Path, fake_command: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a sweep of the plan in this process on stand-in workers, with a store of its own."""
    monkeypatch.setenv("TTR_DB", str(tmp_path / "runs.duckdb"))
    monkeypatch.setattr("experiments_db.run.process.COMMAND", fake_command)
    (tmp_path / "plan.yaml").write_text(PLAN)

    def sweep(*arguments: str, code: int = 0) -> Any:
        asked = ["sweep", str(tmp_path / "plan.yaml"), *arguments]
        result = CliRunner().invoke(app, asked)
        assert result.exit_code == code, f"{result.stdout}\n{result.stderr}\n{result.exception!r}"
        return result

    return sweep


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# ---- the command


def test_every_format_is_written_and_known_runs_are_not_run_again(
    cli: Callable[..., Any], tmp_path: Path
) -> None:
    first = cli("--output", str(tmp_path / "found.csv"))
    assert "4 finished" in first.stdout and "2 rows written" in first.stderr
    assert "validation" not in first.stdout, "the file stands for the table"
    rows = read(tmp_path / "found.csv")
    asked = [name for name in report.FILE_COLUMNS if name != "*"]
    declared = [
        f"{one.name}{end}"
        for one in MQAR.metrics
        for end in ("", *(f"_{name}" for name in report.SPREAD))
    ]
    assert [name for name in rows[0] if name in asked] == asked
    assert [name for name in rows[0] if name in declared] == declared
    assert "train.lr" not in rows[0] and "model.seed" not in rows[0]
    told = {"runs": "2", "seeds": "2", "state_size": "4", "parameters": "10", "steps": "3"}
    measured = {"seconds": "0.1", "cpu_seconds": "", "accuracy": "0.5", "lr_low": ""}
    for row in rows:
        assert {name: row[name] for name in (*told, *measured)} == {**told, **measured}
        assert {name: row[name] for name in SETTINGS} == SETTINGS
    for suffix in (".csv", ".parquet", ".md"):
        again = cli("--output", str(tmp_path / f"again{suffix}"))
        assert "4 skipped" in again.stdout and "finished" not in again.stdout
        assert (tmp_path / f"again{suffix}").stat().st_size > 0
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "found.csv").read_text()
    shown = (tmp_path / "again.md").read_text()
    assert "cpu_seconds" in shown and "task.pairs" not in shown
    whole = pd.read_parquet(tmp_path / "again.parquet")
    assert list(whole.columns) == list(rows[0])
    assert list(whole["layer"]) == [row["layer"] for row in rows]


def test_json_is_printed_beside_the_file(cli: Callable[..., Any], tmp_path: Path) -> None:
    document = json.loads(cli("--json", "--output", str(tmp_path / "found.json")).stdout)
    written = json.loads((tmp_path / "found.json").read_text())
    assert [row["layer"] for row in written] == [row["layer"] for row in document["results"]]
    for row in document["results"]:
        assert (row["state_size"], row["steps"], row["lrs_tried"]) == (4, 3, [0.1])
        assert "seed" not in row["config"] and "lr" not in row["config"]["train"]


def test_a_place_that_cannot_be_written_is_refused_before_anything_runs(
    cli: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "folder.csv").mkdir()
    cases = {
        "found.xlsx": ".csv, .parquet, .json, .md, .tex, .html",
        "missing/found.csv": "create",
        "plan.yaml/found.csv": "create",
        "folder.csv": "is a folder",
        "f" * 300 + ".csv": "too long",
    }
    for name, said in cases.items():
        for more in ((), ("--dry-run",)):
            result = cli("--output", str(tmp_path / name), *more, code=2)
            assert said in result.stderr and "--output" in result.stderr
            assert result.stdout == ""
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["folder.csv", "plan.yaml"], "no store, no file"


def test_a_refused_probe_is_told(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "touch", refuse)
    assert "Permission denied" in cli("--output", str(tmp_path / "a.csv"), code=2).stderr
    assert not (tmp_path / "runs.duckdb").exists()


def test_a_dry_run_writes_nothing_and_says_so(cli: Callable[..., Any], tmp_path: Path) -> None:
    place = tmp_path / "found.csv"
    place.write_text("older")
    result = cli("--output", str(place), "--dry-run")
    assert "4 to run" in result.stdout and f"{place} is as it was" in result.stderr
    assert place.read_text() == "older"


def test_what_failed_is_missing_in_the_table(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_BY_SEED", '{"0": "die"}')
    result = cli("--output", str(tmp_path / "found.csv"), code=1)
    assert "2 rows written" in result.stderr
    assert "2 of 4 runs are missing" in result.stderr
    assert [row["seeds"] for row in read(tmp_path / "found.csv")] == ["1", "1"]


def test_a_stopped_sweep_leaves_the_table_of_an_earlier_one(
    store: Store, supervisor: Callable[..., Supervisor], tmp_path: Path, capsys: Any
) -> None:
    work, place = work_of(PLAN), tmp_path / "found.csv"
    place.write_text("older")
    sweep = Sweep(store, supervisor(), work.runs)
    sweep.stop()
    batch_sweep.show_sweep(store, sweep, work, [], False, place)
    assert "stopped" in capsys.readouterr().err
    assert place.read_text() == "older"
    batch_sweep.show_sweep(store, Sweep(store, supervisor(), work.runs), work, [], False, place)
    assert place.read_text().startswith('"layer","task"'), "a table without rows has its head"


# ---- the rows


def test_the_costs_are_those_of_the_rate_that_counts(
    store: Store, stored: Callable[..., None]
) -> None:
    reached = {0.001: 0.1, 0.01: 0.9, 0.1: 0.88}
    for run in first_layer(RATES):
        lr = float(run.experiment.train.lr)
        seconds = (1000 if lr != 0.01 else 10) + run.experiment.seed
        stored(
            run, reached[lr], lr=lr, lrs_tried=[lr], steps=3, seconds=2.0 * seconds,
            parameters=7, state_size=5, metrics={"cpu_seconds": seconds},
        )  # fmt: skip
    found = report.rows(store, work_of(RATES).runs)
    (row,) = report.frame(found, ".csv").to_dict("records")
    assert (row["runs"], row["seeds"], row["lr"]) == (6, 2, 0.01)
    assert (row["lr_low"], row["lr_high"]) == (0.01, 0.1)
    assert (row["rates_good"], row["rates_tried"]) == (2, 3)
    assert row["lrs_tried"] == [0.001, 0.01, 0.1]
    assert (row["cpu_seconds"], row["seconds"]) == (10.5, 21.0)
    assert (row["state_size"], row["parameters"], row["steps"]) == (5, 7, 3)
    assert not any(isinstance(cell, dict) for cell in row.values())


def test_a_row_averages_over_seeds_and_over_nothing_else(
    store: Store, stored: Callable[..., None]
) -> None:
    """A plan may mix rates that are given with one that is chosen, and tasks with one without."""
    plan = RATES.replace("lr: [", "lr: [auto, ")
    assert plan != RATES
    runs = first_layer(plan)
    for run in runs:
        lr = run.experiment.train.lr
        reached = 0.5 if lr == "auto" else 0.9 if float(lr) == 0.01 else 0.1
        stored(
            run, reached, lr=0.03 if lr == "auto" else lr, lrs_tried=[lr] if lr != "auto" else []
        )
    found = report.rows(store, runs)
    assert sorted((row["seeds"], row["runs"], row["lr"]) for row in found) == [
        (2, 2, 0.03),
        (2, 6, 0.01),
    ]
    for row in found:
        assert row["accuracy"] == pytest.approx(0.49 if row["lr"] == 0.03 else 0.89)
        assert row["accuracy_std"] == pytest.approx(0.0)
        assert ("lr=auto" in row["setting"]) == (row["lr"] == 0.03)


def test_no_rate_works_where_every_training_diverged(
    store: Store, stored: Callable[..., None], tmp_path: Path
) -> None:
    for run in first_layer(RATES):
        stored(run, 0.0, "diverged", metrics={"accuracy": None}, lr=run.experiment.train.lr)
    found = report.rows(store, work_of(RATES).runs)
    assert report.table(found)[0]["window"] == "none of 3"
    (row,) = read(export.write(report.frame(found, ".csv"), tmp_path / "found.csv"))
    shown = [row[name] for name in ("lr_low", "lr_high", "rates_good", "rates_tried", "accuracy")]
    assert shown == ["", "", "0", "3", ""]
    assert row["diverged"] == "2"


def test_the_catalog_page_reads_what_a_sweep_writes(
    store: Store, stored: Callable[..., None], tmp_path: Path
) -> None:
    name = next(iter(ttr.catalog))
    plan = RATES.replace('specs: ["Uniform | Linear | SGD", "Uniform | Linear | Hebbian"]', "")
    runs = work_of(f"layers: {name}{plan}").runs
    for run in runs:
        lr = float(run.experiment.train.lr)
        metrics = {"accuracy": 0.875, "cpu_seconds": 61.4}
        stored(run, 1 - lr, metrics=metrics, lr=lr, lrs_tried=[lr], state_size=12345)
    place = export.write(report.frame(report.rows(store, runs), ".csv"), tmp_path / "found.csv")
    page = "\n".join(learning.section(place))
    measured = "87.5 | 87.5 to 87.5 | – | – | – | 0.001 | 0.001 to 0.01 (2 of 3) | 12,345 | – | 61"
    row = f"| [{name}](#{name}) | {measured} |"
    assert row in page and learning.SUPERSEDED in page  # nobody says whether it still rose
    for told in ("pairs=2", "seq_len=16", "vocab_size=64", "d_model=16", "steps=3"):
        assert f"`{told}`" in page
    assert "2 seeds; learning rates 0.001, 0.01, 0.1" in page


def test_no_cell_is_a_formula(store: Store, stored: Callable[..., None], tmp_path: Path) -> None:
    for run in first_layer(PLAN):
        stored(run, 0.5)
    (found,) = report.rows(store, work_of(PLAN).runs)
    hostile = {**found, "layer": "=1+1", "task": "@x"}
    (row,) = read(export.write(report.frame([hostile], ".csv"), tmp_path / "found.csv"))
    assert (row["layer"], row["task"]) == ("'=1+1", "'@x")
