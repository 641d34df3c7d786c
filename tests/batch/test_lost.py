"""A worker lost with its host: its run begins anew under the same row, a few times at most."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from experiments_db.read import queries
from experiments_db.run.executor import WorkerLost
from experiments_db.run.jobs import Job
from experiments_db.run.process import LocalExecutor, WorkerProcess
from experiments_db.run.supervisor import LOST_TRIES, Supervisor
from experiments_db.store import Store

WAIT = 20


class Fragile:
    """A worker whose host goes at the first report of progress, as often as `losses` says."""

    def __init__(self, worker: WorkerProcess, losses: list[str]) -> None:
        self._worker, self._losses = worker, losses
        self.environment: Mapping[str, Any] = {"node": "far away"}
        self.silence, self.kill, self.close = worker.silence, worker.kill, worker.close
        self.wake = worker.wake

    alive = property(lambda self: self._worker.alive)
    over_limit = property(lambda self: self._worker.over_limit)

    def send(self, message: Mapping[str, Any]) -> None:
        self._worker.send(message)

    def receive(self, timeout: float) -> dict[str, Any] | None:
        message = self._worker.receive(timeout)
        if message and message["event"] == "progress" and message["step"] > 1 and self._losses:
            raise WorkerLost(self._losses.pop())
        return message


class FragileExecutor(LocalExecutor):
    """Workers on hosts that go; for a while there may be no room for another one."""

    def __init__(self, command: Any, losses: list[str], room: Callable[[], bool]) -> None:
        super().__init__(command)
        self._losses, self._room = losses, room
        self.spawned = 0

    def spawn(self, stopping: Callable[[], bool]) -> Any:
        self.spawned += 1
        while self.spawned > 1 and not self._room():
            if stopping():
                raise OSError("nobody needs it")
            time.sleep(0.01)
        return Fragile(super().spawn(stopping), self._losses)


Make = Callable[..., Supervisor]


@pytest.fixture
def fragile(store: Store, fake_command: Any) -> Any:
    made: list[Supervisor] = []

    def make(losses: int, room: Callable[[], bool] = lambda: True) -> Supervisor:
        said = [f"node {number} is gone" for number in range(losses, 0, -1)]
        executor = FragileExecutor(fake_command, said, room)
        made.append(Supervisor(store, 1, executor, heartbeat=0.1))
        return made[-1]

    yield make
    for one in made:
        one.close()


def ended(job: Job) -> Job:
    assert job.wait(WAIT), job.snapshot()
    return job


def test_a_run_whose_worker_was_lost_begins_anew_under_its_row(
    fragile: Make, store: Store, fake: Any, prompt: None
) -> None:
    job = ended(fragile(1).start(fake()))
    rows = queries.runs(store)
    assert list(rows["status"]) == ["finished"] and job.lost == 1
    assert list(rows["run_id"]) == [job.run_id]
    assert [event["event"] for event in job.events] == [
        "lost", "started", "progress", "progress", "progress", "evaluated", "finished",
    ], "nothing that the lost worker reported is left"  # fmt: skip
    stored = queries.run(store, str(job.run_id))
    assert stored and stored["environment"]["node"] == "far away"


def test_a_run_that_loses_every_worker_fails(
    fragile: Make, store: Store, fake: Any, prompt: None
) -> None:
    made = fragile(LOST_TRIES + 1)
    job = ended(made.start(fake()))
    assert (job.status, job.lost) == ("failed", LOST_TRIES)
    assert f"node {LOST_TRIES + 1} is gone" in str(job.error) and "begun 3 times" in str(job.error)
    assert list(queries.runs(store)["status"]) == ["failed"]
    assert ended(made.start(fake(seed=1))).status == "finished"


def test_a_run_that_fails_by_itself_is_not_begun_anew(
    fragile: Make, store: Store, fake: Any, prompt: None
) -> None:
    made = fragile(0)
    for behave in ("die", "error"):
        assert ended(made.start(fake(behave))).lost == 0
    assert list(queries.runs(store)["status"]) == ["failed", "failed"]


@pytest.mark.parametrize("closing", [False, True])
def test_what_waits_for_another_worker_is_cancelled_with_its_row(
    fragile: Make, store: Store, fake: Any, prompt: None, closing: bool
) -> None:
    made = fragile(1, room=lambda: False)
    job = made.start(fake(steps=40))
    deadline = time.monotonic() + WAIT
    while not (job.lost and job.progress is None):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert job.status == "running", "it keeps its claim"
    if closing:
        made.close()
    else:
        job.cancel()
    assert ended(job).status == "cancelled"
    assert list(queries.runs(store)["status"]) == ["cancelled"]
