"""The real worker process, spoken to over its pipes."""

from __future__ import annotations

import io
import json
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from experiments_db.run import request
from experiments_db.run.executor import WorkerEnded
from experiments_db.run.process import KEPT_MEMORY, WorkerProcess, child_environment
from experiments_db.run.worker import Runner, Wire, limited

WAIT = 60
SMALL = ["pairs=2", "seq_len=16", "vocab_size=64", "d_model=16", "depth=1", "target=none"]


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerProcess]:
    process = WorkerProcess()
    assert until(process, "ready")["pid"] == process.pid
    yield process
    process.close()


def until(worker: WorkerProcess, event: str) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        message = worker.receive(0.5)
        if message is not None and message["event"] == event:
            return message
    raise AssertionError(f"no {event} in {WAIT} s")


def config(steps: int) -> dict[str, Any]:
    sets = [*SMALL, f"steps={steps}"]
    return request.request(spec="Uniform | Linear | Hebbian", sets=sets).config()


def test_a_job_reports_its_events_under_its_name(worker: WorkerProcess) -> None:
    worker.send({"job": "a", "config": config(6), "seconds": None})
    assert until(worker, "started")["job"] == "a"
    assert until(worker, "progress")["steps"] == 6
    finished = until(worker, "finished")
    assert (finished["job"], finished["status"], finished["steps"]) == ("a", "finished", 6)


def test_a_job_uses_one_thread(worker: WorkerProcess) -> None:
    assert psutil.Process(worker.pid).num_threads() <= 4, "one computes, one listens, one beats"


def test_the_time_budget_travels_beside_the_config(worker: WorkerProcess) -> None:
    worker.send({"job": "b", "config": config(1_000_000), "seconds": 0.2})
    finished = until(worker, "finished")
    assert finished["status"] == "finished"
    assert "time" in finished["message"]


def test_a_job_is_cancelled_between_steps(worker: WorkerProcess) -> None:
    worker.send({"job": "c", "config": config(1_000_000), "seconds": None})
    until(worker, "progress")
    worker.send({"cancel": "c"})
    assert until(worker, "finished")["status"] == "cancelled"


def test_a_request_at_fault_is_told_and_the_worker_goes_on(worker: WorkerProcess) -> None:
    worker.send({"job": "d", "config": {"version": 99}, "seconds": None})
    error = until(worker, "failed")
    assert (error["job"], error["type"]) == ("d", "RequestError")
    assert "Traceback" in error["traceback"]
    worker.send({"neither": "job", "nor": "cancel"})
    assert until(worker, "failed")["type"] == "Protocol"
    worker.send({"job": "e", "config": config(3), "seconds": None})
    assert until(worker, "finished")["job"] == "e"


def test_an_unforeseen_error_is_told_and_goes_on() -> None:
    out = io.StringIO()
    runner = Runner(Wire(out), io.StringIO())
    with pytest.raises(KeyError):
        runner.run("f", {"config": {"version": 1}})
    told = json.loads(out.getvalue())
    assert (told["job"], told["event"], told["type"]) == ("f", "failed", "KeyError")


def test_the_system_ends_a_worker_that_takes_more_than_it_may() -> None:
    process = WorkerProcess()
    process.send({"job": "a", "config": config(3), "seconds": None, "limit": 60})
    assert until(process, "finished")["job"] == "a"
    process.send({"job": "b", "config": config(1_000_000), "seconds": None, "limit": 0.1})
    with pytest.raises(WorkerEnded, match="SIGXCPU"):
        until(process, "finished")
    assert process.over_limit and not process.alive
    process.close()


def test_a_limit_ends_with_its_job() -> None:
    before = resource.getrlimit(resource.RLIMIT_CPU)
    with limited(1000):
        assert resource.getrlimit(resource.RLIMIT_CPU) != before
    assert resource.getrlimit(resource.RLIMIT_CPU) == before


def test_the_end_of_its_input_ends_a_worker_in_the_middle_of_a_job(worker: WorkerProcess) -> None:
    worker.send({"job": "g", "config": config(1_000_000), "seconds": None})
    until(worker, "progress")
    began = time.monotonic()
    worker.close(patience=10)
    assert time.monotonic() - began < 5
    assert not worker.alive
    with pytest.raises(ProcessLookupError):
        os.kill(worker.pid, 0)


def test_a_worker_keeps_freed_memory_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names are glibc's; its own figure is how much of the heap's end it keeps."""
    told, other = "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"
    monkeypatch.setenv(told, "12345")
    monkeypatch.delenv(other, raising=False)
    found = child_environment()
    assert found[told] == "12345" and int(found[other]) == 2**25


def test_the_tests_keep_as_much_memory_as_workers_do(root: Path) -> None:
    kept = " ".join(f"{name}={value}" for name, value in KEPT_MEMORY.items())
    assert f"KEPT := {kept}\n" in (root / "Makefile").read_text(encoding="utf-8")
