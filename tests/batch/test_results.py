"""A result that the store cannot take: what a job, its snapshot and the command line say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from experiments_db.cli import screen
from experiments_db.read import queries
from experiments_db.run.jobs import Job
from experiments_db.run.supervisor import Supervisor
from experiments_db.store import Store, spill

HOLD = """
import duckdb, sys
while True:
    try:
        held = duckdb.connect(sys.argv[1], read_only=True)
        break
    except duckdb.Error: pass
print("open", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(store: Store) -> Iterator[None]:
    """Another program has the store's file open, read-only, for the duration of the block."""
    command = [sys.executable, "-c", HOLD, str(store.path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        try:
            yield
        finally:
            process.communicate()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments_db.store.connection.PATIENCE", 0.1)
    monkeypatch.setattr("experiments_db.store.keeping.WAITS", (0.05,))


def test_a_job_says_where_its_result_is(
    supervisor: Callable[..., Supervisor],
    store: Store,
    fake: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = supervisor(heartbeat=30.0)
    real = Supervisor._follow

    def follow(self: Supervisor, job: Job, worker: Any) -> tuple[str, str]:
        ended = real(self, job, worker)
        holding.__enter__()
        return ended

    monkeypatch.setattr(Supervisor, "_follow", follow)
    holding = held(store)
    job = made.start(fake())
    assert job.wait(30)
    try:
        place = spill.waits_in(store.path) / f"{job.run_id}.json"
        assert place.exists()
        now = job.snapshot()
        assert (job.status, now.status, now.error) == ("finished", "finished", None)
        for said in (job.unstored, now.unstored, now.message):
            assert said is not None
            assert str(place) in said
        screen.show_run(store, job, json=True)
        out, err = capsys.readouterr()
        assert '"accuracy": 0.5' in out
        assert str(job.run_id) in out
        assert str(place) in err
    finally:
        holding.__exit__(None, None, None)
    assert queries.run(store, str(job.run_id))["status"] == "finished"


def test_a_job_whose_result_is_stored_says_nothing(
    supervisor: Callable[..., Supervisor], store: Store, fake: Any
) -> None:
    job = supervisor().start(fake())
    assert job.wait(30)
    assert (job.unstored, job.message) == (None, None)


def test_the_command_ends_with_1_while_its_result_is_not_in_the_store(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from experiments_db.cli.commands import app

    def unstorable(*_: Any) -> str:
        return "It is kept beside the store."

    monkeypatch.setattr("experiments_db.run.supervisor.keep", unstorable)
    command = ["run", "--layer", "deltanet", "--task", "regression", "--set", "seq_len=16"]
    command += ["--set", "dim=4", "--note", "so", "--db", str(store.path)]
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 1
    assert "The run finished: It is kept beside the store." in answer.output
    assert "Its note was not kept." in answer.output
