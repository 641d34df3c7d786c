"""The contract of the command line: exit codes, keys, one JSON document on standard output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from experiments_db import installation
from experiments_db.cli import app
from experiments_db.read import queries
from experiments_db.run import process
from experiments_db.store import Store, open_store
from tests.processes import descendants, lives

ROOT = Path(__file__).resolve().parents[2]
SPEC = "Uniform | Linear | Hebbian"
SMALL = ("pairs=2", "seq_len=16", "vocab_size=64", "d_model=16", "depth=1", "steps=4")
SETS = [part for setting in SMALL for part in ("--set", setting)]
RUN_KEYS = {
    "run_id", "status", "layer", "spec", "task", "seed", "device", "metrics", "seconds",
    "seconds_to_target", "steps", "parameters", "state_size", "spec_expanded", "frame",
    "protocol", "lr", "lrs_tried", "accuracy_by", "config",
}  # fmt: skip

Cli = Callable[..., Any]
Done = tuple[Path, dict[str, Any]]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command in this process, with a store of its own."""
    monkeypatch.setenv("TTR_DB", str(tmp_path / "runs.duckdb"))

    def invoke(*arguments: str, code: int = 0, input: str | None = None) -> Any:
        result = CliRunner().invoke(app, list(arguments), input=input)
        shown = f"{result.stdout}\n{result.stderr}\n{result.exception!r}"
        assert result.exit_code == code, shown
        return result

    return invoke


def shell(*arguments: str, db: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command as a user does."""
    return subprocess.run(
        [sys.executable, str(ROOT / "batch.py"), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "TTR_DB": str(db), **environment},
        cwd=db.parent,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A store with one real run in it, made from another folder than the repository's."""
    db = tmp_path_factory.mktemp("cli") / "runs.duckdb"
    asked = ("run", "--spec", SPEC, *SETS, "--tag", "a", "--tag", "b", "--note", "first", "--json")
    result = shell(*asked, db=db)
    assert result.returncode == 0, result.stderr
    return db, json.loads(result.stdout)


def in_store(cli: Cli, db: Path, *arguments: str, code: int = 0) -> Any:
    return cli(*arguments, "--db", str(db), code=code)


# ---- help


def test_help_is_quick_and_imports_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys, batch\n"
        "sys.argv[1:] = ['--help']\n"
        "try: batch.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'duckdb', 'ttr_core', 'streamlit'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert result.returncode == 0, result.stderr
    for command in app.registered_commands:
        assert (command.name or command.callback.__name__) in result.stdout


@pytest.mark.parametrize("arguments", [["nonsense"], ["run", "--nonsense"], ["runs", "extra"], []])
def test_wrong_usage_is_exit_2(cli: Cli, arguments: list[str]) -> None:
    assert cli(*arguments, code=2).stdout == "" or not arguments


# ---- layers, grid, bench


def test_layers(cli: Cli) -> None:
    import ttr_core as ttr

    rows = json.loads(cli("layers", "--json").stdout)
    assert [row["name"] for row in rows] == list(ttr.catalog)
    for row in rows:
        assert {"name", "spec", "paper", "frame", "deviation", "evidence"} < set(row)
        assert {"state_size", "solver"} < set(row)
        assert {"title", "authors", "year", "url"} == set(row["paper"])
    shown = cli("layers").stdout
    assert all(name in shown for name in ttr.catalog)


def test_grid(cli: Cli) -> None:
    rows = json.loads(cli("grid", "--json").stdout)
    keys = {"spec", "verdict", "reason", "solver", "same_as", "linear_in_v", "published"}
    assert all(keys <= set(row) for row in rows)
    assert {row["verdict"] for row in rows} <= {"layer", "unread", "slow", "undefined"}
    assert all(row["reason"] for row in rows if row["verdict"] != "layer")
    assert all(bool(row["standing"]) == (row["verdict"] != "undefined") for row in rows)
    known = {row["spec"]: [row[n] for n in ("parity", "Z3", "S3", "S5")] for row in rows}
    assert known["Uniform | Linear | SGD"] == ["cannot"] * 4
    assert known["Uniform | Linear | MultiStep"] == ["can", "can", "can", "open"]
    read = {row["spec"]: row["learned_parity"] for row in rows}
    assert read["Uniform | Linear | SGD"] == 0 and read["Uniform | Linear | Exact"] is None
    assert all((row["parity"] is None) == (row["verdict"] == "undefined") for row in rows)


def test_the_grid_says_how_a_cell_stands_in_every_format(cli: Cli, tmp_path: Path) -> None:
    other = {"standing": "published elsewhere", "known_as": "minGRU"}
    for suffix in (".csv", ".json", ".parquet", ".md", ".tex"):
        target = tmp_path / f"grid{suffix}"
        cli("grid", "--output", str(target))
        assert target.stat().st_size
    text = (tmp_path / "grid.csv").read_text()
    assert all(word in text for word in other.values()) and "not in this catalog as of 20" in text
    rows = {row["spec"]: row for row in json.loads((tmp_path / "grid.json").read_text())}
    row = rows["Uniform | Constant | SGD"]
    assert row["known_as"] == [other["known_as"]] and row["standing"] == other["standing"]
    assert row["elsewhere"][0]["paper"]["url"] == "https://arxiv.org/abs/2410.01201"
    printed = cli("grid").stdout
    assert "standing" in printed and other["known_as"] in printed


def test_bench_prints_what_the_core_measured(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import ttr_core.tools

    measured = {"machine": {"cpu": "x"}, "rows": [{"name": "a", "seconds": 0.1}]}

    def quick(progress: Callable[[int, int, str], None]) -> dict[str, Any]:
        progress(1, 2, "a")
        return measured

    monkeypatch.setattr(ttr_core.tools, "benchmark", quick)
    assert json.loads(cli("bench", "--json").stdout) == measured
    assert "cpu: x" in cli("bench").stdout


# ---- run


def test_run_prints_one_document_with_every_key(done: Done) -> None:
    _, document = done
    assert set(document) >= RUN_KEYS
    assert document["status"] in ("finished", "diverged")
    assert (document["spec"], document["task"], document["frame"]) == (SPEC, "mqar", "standard")
    assert document["spec_expanded"] == document["config"]["spec"] != SPEC
    assert {"accuracy", "loss"} <= set(document["metrics"])
    assert (document["steps"], document["tags"], document["note"]) == (4, ["a", "b"], "first")
    assert document["parameters"] > 0 and document["state_size"] > 0


def test_the_row_is_in_the_store(done: Done) -> None:
    db, document = done
    row = queries.run(open_store(db), document["run_id"])
    assert row is not None
    assert (row["status"], row["config"]) == (document["status"], document["config"])
    assert row["versions"]["project"] and row["versions"]["torch"]


def test_a_known_run_is_reported_at_once(cli: Cli, warm: None, done: Done) -> None:
    db, document = done
    again = in_store(cli, db, "run", "--spec", SPEC, *SETS, "--json")
    found = json.loads(again.stdout)
    assert (found["run_id"], found["existing"]) == (document["run_id"], True)
    assert "--fresh" in again.stderr
    assert len(queries.runs(open_store(db))) == 1


def test_run_without_json_says_how_to_find_it_again(cli: Cli, warm: None, done: Done) -> None:
    db, document = done
    shown = in_store(cli, db, "run", "--spec", SPEC, *SETS).stdout
    assert document["run_id"] in shown
    assert "accuracy" in shown
    assert installation.command("runs", "--db", str(db)) in shown


WRONG = {
    "nothing": ([], "--layer"),
    "layer": (["--layer", "delta-net"], "deltanet"),
    "task": (["--spec", SPEC, "--task", "mqra"], "mqar"),
    "ingredient": (["--spec", "Gaet | Linear | SGD"], "Gate"),
    "option": (["--spec", "Gate | Linear | SGD(residul=decayed)"], "residual"),
    "setting": (["--spec", SPEC, "--set", "pears=3"], "task.pairs"),
    "value": (["--spec", SPEC, "--set", "pairs=x"], "whole number"),
    "frame": (["--spec", SPEC, "--frame", "x"], "standard"),
    "incompatible": (["--spec", "ExpKernel | Linear | SGD"], "one change away"),
    "too large": (["--spec", SPEC, "--set", "seq_len=65536", "--set", "batch_size=65536"], "GiB"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_exit_2_with_the_fix(
    cli: Cli, tmp_path: Path, warm: None, case: str
) -> None:
    arguments, said = WRONG[case]
    result = cli("run", *arguments, "--json", code=2)
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == [], "a wrong request leaves no store behind"


def test_a_failed_run_is_exit_1_and_one_document(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = (sys.executable, "-c", "import sys; sys.exit('gone')")
    monkeypatch.setattr("experiments_db.run.process.COMMAND", dying)
    result = cli("run", "--spec", SPEC, *SETS, "--json", code=1)
    document = json.loads(result.stdout)
    assert document["status"] == "failed"
    assert "gone" in document["message"] and "gone" in result.stderr


def test_a_read_only_store_is_exit_1(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTR_READONLY", "1")
    result = cli("run", "--spec", SPEC, *SETS, "--json", code=1)
    assert json.loads(result.stdout)["status"] == "failed"
    assert "read-only" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_is_cancelled_and_exit_130(
    cli: Cli, tmp_path: Path, warm: None, number: int
) -> None:
    store = Store(tmp_path / "runs.duckdb")

    def stop() -> None:
        until(lambda: list(queries.runs(store)["status"]) == ["running"])
        os.kill(os.getpid(), number)

    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    stopping = threading.Thread(target=stop)
    stopping.start()
    result = cli("run", "--spec", SPEC, *SETS, "--set", "steps=100000", "--json", code=130)
    stopping.join()
    signal.signal(signal.SIGINT, usual)
    assert json.loads(result.stdout)["status"] == "cancelled"
    assert list(queries.runs(store)["status"]) == ["cancelled"]


def test_a_killed_command_leaves_an_interrupted_run_and_no_worker(tmp_path: Path) -> None:
    db = tmp_path / "runs.duckdb"
    command = [sys.executable, str(ROOT / "batch.py"), "run", "--spec", SPEC, *SETS]
    endless = [*command, "--set", "steps=1000000", "--set", "target=none", "--db", str(db)]
    going = subprocess.Popen(endless, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: list(queries.runs(Store(db))["status"]) == ["running"])
    workers = descendants(going.pid)
    assert workers
    going.kill()
    going.wait()
    assert list(queries.runs(Store(db))["status"]) == ["interrupted"]
    until(lambda: not any(map(lives, workers)))


def until(met: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.1)


# ---- runs


def test_runs_lists_filters_groups_and_writes(cli: Cli, done: Done, tmp_path: Path) -> None:
    db, document = done
    rows = json.loads(in_store(cli, db, "runs", "--json").stdout)
    assert [row["run_id"] for row in rows] == [document["run_id"]]
    assert rows[0]["config"] == document["config"]
    for condition, count in (('"task.pairs" = 2 AND steps > 1', 1), ("accuracy > 2", 0)):
        found = in_store(cli, db, "runs", "--where", condition, "--json")
        assert len(json.loads(found.stdout)) == count
    (group,) = json.loads(in_store(cli, db, "runs", "--group", "--json").stdout)
    assert (group["n"], group["seeds"]) == (1, [0])
    assert group["accuracy_mean"] == document["metrics"]["accuracy"]
    assert document["run_id"] in in_store(cli, db, "runs").stdout
    for suffix in (".csv", ".parquet", ".json", ".md", ".tex"):
        target = tmp_path / f"out{suffix}"
        assert in_store(cli, db, "runs", "--output", str(target)).stdout == ""
        assert document["run_id"] in target.read_bytes().decode("utf-8", "replace")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--where", "acuracy > 1"),
        ("--where", "true); DROP TABLE runs; --"),
        ("--where", "(SELECT count(*) FROM read_text('/etc/passwd')) > 0"),
        ("--output", "out.xlsx"),
        ("--output", "no-such-folder/out.csv"),
    ],
)
def test_wrong_questions_are_exit_2(cli: Cli, done: Done, arguments: tuple[str, ...]) -> None:
    result = in_store(cli, done[0], "runs", *arguments, "--json", code=2)
    assert result.stdout == ""
    assert arguments[0] in result.stderr


def test_an_empty_store_has_no_runs(cli: Cli) -> None:
    assert json.loads(cli("runs", "--json").stdout) == []
    assert json.loads(cli("runs", "--group", "--json").stdout) == []
    assert "There is no store at " in cli("runs").stderr  # a mistyped path is no empty store


# ---- the store as a whole


@pytest.mark.parametrize("command", ["runs", "backup", "doctor", "delete", "compare"])
def test_a_file_that_is_no_store_is_exit_1_in_one_sentence(
    cli: Cli, tmp_path: Path, command: str
) -> None:
    bad = tmp_path / "bad.duckdb"
    bad.write_text("this is no database")
    ids = {"delete": ["some-id"], "compare": ["some-id", "another"]}
    more = {"backup": [str(tmp_path / "copy.duckdb")], **ids}.get(command, [])
    result = cli(command, *more, "--db", str(bad), code=1)
    assert "not a DuckDB database" in result.stderr
    assert "Traceback" not in result.stderr


def test_backup_delete_and_restore(cli: Cli, done: Done, tmp_path: Path) -> None:
    db, document = done
    copy, other = tmp_path / "copy.duckdb", tmp_path / "other.duckdb"
    in_store(cli, db, "backup", str(copy))
    in_store(cli, db, "backup", str(copy), code=1)
    cli("restore", str(copy), "--db", str(other))
    assert len(queries.runs(open_store(other))) == 1
    run_id = document["run_id"]
    missing = cli("delete", run_id[:-1] + "_", "--yes", "--db", str(other), code=2)
    assert run_id in missing.stderr, "the nearest id is named"
    cli("delete", run_id, "--db", str(other), input="n\n", code=1)
    assert len(queries.runs(open_store(other))) == 1
    cli("delete", run_id, "--yes", "--db", str(other))
    assert len(queries.runs(open_store(other))) == 0
    cli("restore", str(copy), "--db", str(other), code=1)
    cli("restore", str(copy), "--overwrite", "--db", str(other))
    assert len(queries.runs(open_store(other))) == 1
    third = tmp_path / "third.duckdb"
    for added in ("1 run", "0 runs"):  # the second time there is nothing new
        said = cli("import", str(copy), "--db", str(third)).stderr
        assert said.startswith(f"{added} added to ")
    assert list(queries.runs(open_store(third))["run_id"]) == [run_id]


def test_doctor(cli: Cli, done: Done) -> None:
    db, document = done
    report = json.loads(in_store(cli, db, "doctor", "--json").stdout)
    assert {"torch", "duckdb", "python"} <= set(report["versions"])
    assert report["machine"]["device"] in ("cpu", "cuda")
    assert report["store"]["runs"] == {document["status"]: 1}
    assert report["store"]["problem"] is None
    assert str(db) in in_store(cli, db, "doctor").stdout


def test_doctor_says_where_no_store_can_be_made(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "below" / "runs.duckdb"
    done = cli("doctor", "--db", str(place), code=1)
    assert f"No store can be made at {place}: {tmp_path / 'file'} is not a folder." in done.stderr


def test_the_worker_runs_from_the_repository() -> None:
    assert process.child_environment()["PYTHONPATH"].split(os.pathsep)[0] == str(ROOT)
