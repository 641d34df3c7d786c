from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from experiments_db.read import queries
from experiments_db.run.hearing import LOOK_SECONDS
from experiments_db.run.jobs import Job
from experiments_db.run.process import LocalExecutor
from experiments_db.run.supervisor import Supervisor, get_supervisor
from experiments_db.store import Driver, Store, StoreError, open_store
from tests.batch.stand_in import StandIns

Make = Callable[..., Supervisor]
WAIT = 20


def ended(job: Job) -> Job:
    assert job.wait(WAIT), f"{job.id} did not end: {job.snapshot()}"
    return job


def begun(job: Job) -> Job:
    deadline = time.monotonic() + WAIT
    while job.progress is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert job.progress is not None
    return job


def row(store: Store, job: Job) -> dict[str, Any]:
    assert job.run_id is not None
    found = queries.run(store, job.run_id)
    assert found is not None
    return found


def test_a_run_is_recorded_with_its_result(supervisor: Make, store: Store, fake: Any) -> None:
    job = ended(supervisor().start(fake(), tags=("a", "b")))
    stored = row(store, job)
    assert (job.status, stored["status"]) == ("finished", "finished")
    assert (stored["accuracy"], stored["steps"], stored["parameters"]) == (0.5, 3, 10)
    assert sorted(stored["tags"]) == ["a", "b"]
    assert [event["event"] for event in job.events] == [
        "started", "progress", "progress", "progress", "evaluated", "finished",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("behave", "status", "said"),
    [
        ("print", "finished", ""),
        ("diverge", "diverged", ""),
        ("die", "failed", "last words"),
        ("error", "failed", "ZeroDivisionError: division by zero"),
        ("request", "failed", "division by zero"),
    ],
)
def test_how_a_run_ends(
    supervisor: Make, store: Store, fake: Any, behave: str, status: str, said: str
) -> None:
    made = supervisor()
    job = ended(made.start(fake(behave)))
    assert (job.status, row(store, job)["status"]) == (status, status)
    assert said in (job.message or "")
    after = ended(made.start(fake(seed=1), record=False))
    assert after.status == "finished", "the worker is replaced"


def test_a_run_over_its_limit_says_so_and_the_others_go_on(
    supervisor: Make, store: Store, fake: Any
) -> None:
    made = supervisor()
    job = ended(made.start(fake("busy"), limit=7))
    stored = row(store, job)
    assert (stored["status"], stored["message"]) == (
        "failed", "It was ended after 7 processor seconds.",
    )  # fmt: skip
    assert stored["metrics"]["cpu_seconds"] == 7
    assert ended(made.start(fake(seed=1), limit=7)).status == "finished"


def test_a_silent_worker_is_killed(supervisor: Make, store: Store, fake: Any) -> None:
    made = supervisor(silence=0.5)
    job = ended(made.start(fake("silent")))
    assert job.status == "failed"
    assert "silent for 0.5 s" in row(store, job)["message"]
    assert "going quiet" in row(store, job)["message"]
    assert ended(made.start(fake(), record=False)).status == "finished"


def test_a_killed_worker_fails_its_run_and_is_replaced(
    supervisor: Make, store: Store, fake: Any
) -> None:
    made = supervisor()
    job = begun(made.start(fake(steps=5000)))
    os.kill(made.executor.pids()[0], signal.SIGKILL)
    ended(job)
    assert (job.status, row(store, job)["status"]) == ("failed", "failed")
    assert "SIGKILL" in (job.error or "")
    assert row(store, job)["steps"] > 0, "what was seen before the end is kept"
    assert ended(made.start(fake(), record=False)).status == "finished"


def test_a_worker_killed_while_idle_is_replaced(supervisor: Make, fake: Any) -> None:
    made = supervisor()
    ended(made.start(fake(), record=False))
    os.kill(made.executor.pids()[0], signal.SIGKILL)
    time.sleep(0.2)
    assert ended(made.start(fake(), record=False)).status == "finished"


@pytest.mark.parametrize("behave", ["ok", "stubborn"])
def test_cancel(supervisor: Make, store: Store, fake: Any, behave: str) -> None:
    made = supervisor()
    job = made.start(fake(behave, steps=5000))
    if behave == "ok":
        begun(job)
    else:
        time.sleep(0.3)
    asked = time.monotonic()
    job.cancel()
    ended(job)
    assert time.monotonic() - asked < 2
    assert (job.status, row(store, job)["status"]) == ("cancelled", "cancelled")
    assert ended(made.start(fake(), record=False)).status == "finished"


def test_jobs_wait_in_order(supervisor: Make, fake: Any) -> None:
    made = supervisor()
    jobs = [made.start(fake(steps=10, seed=seed), record=False) for seed in range(3)]
    assert jobs[2].status == "queued"
    assert [ended(job).status for job in jobs] == ["finished"] * 3
    ends = [job.ended_at or 0 for job in jobs]
    assert ends == sorted(ends)
    assert len(made.executor.pids()) == 1


def test_two_workers_run_side_by_side(supervisor: Make, fake: Any) -> None:
    made = supervisor(workers=2)
    jobs = [begun(made.start(fake(steps=5000, seed=s), record=False)) for s in range(2)]
    assert [job.status for job in jobs] == ["running", "running"]


def test_a_gpu_has_one_run_and_the_others_wait(
    supervisor: Make, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ttr_core.lab.gpus", lambda: ("one", "other"))
    made = supervisor(workers=4)

    def start(device: str, seed: int) -> Job:
        return made.start(fake(steps=5000, seed=seed, device=device), record=False)

    first, second = (begun(start("cuda", seed)) for seed in range(2))
    third = start("cuda", 2)
    begun(start("cpu", 3))  # passes by whoever waits for a GPU
    assert third.status == "queued" and first.status == second.status == "running"
    first.cancel()
    ended(first)
    begun(third)
    assert second.status == third.status == "running"


def test_small_runs_share_a_gpu_where_the_environment_says_so(
    supervisor: Make, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ttr_core.lab.gpus", lambda: ("one", "other"))
    monkeypatch.setenv("TTR_GPU_RUNS", "2")
    made = supervisor(workers=5)
    jobs = [made.start(fake(steps=5000, seed=s, device="cuda"), record=False) for s in range(5)]
    assert [begun(job).status for job in jobs[:4]] == ["running"] * 4
    assert jobs[4].status == "queued"
    assert LocalExecutor().slots("cuda") == 4
    monkeypatch.setenv("TTR_GPU_RUNS", "many")
    with pytest.raises(StoreError, match="TTR_GPU_RUNS is 'many'; say how many runs at most"):
        LocalExecutor().slots("cuda")


def test_who_waits_for_a_worker_looks_up_seldom_and_hears_of_a_stop_at_once(fake: Any) -> None:
    crew = StandIns(seconds=60.0, reports=0)
    with Supervisor(None, 1, crew) as made:
        job = made.start(fake(), record=False)
        time.sleep(2.5)
        (worker,) = crew.made
        assert worker.looks <= 5, "a thousand workers that are asked 20 times a second are one core"
        before = time.monotonic()
        job.cancel()
        assert ended(job).status == "cancelled" and time.monotonic() - before < LOOK_SECONDS / 2
        assert [message for message in worker.heard if "cancel" in message] == [{"cancel": job.id}]


def test_a_waiting_job_is_cancelled_without_a_row(
    supervisor: Make, store: Store, fake: Any
) -> None:
    made = supervisor()
    begun(made.start(fake(steps=5000)))
    job = made.start(fake(seed=1))
    job.cancel()
    assert (ended(job).status, job.run_id) == ("cancelled", None)


def test_a_known_run_is_not_repeated_unless_fresh(
    supervisor: Make, store: Store, fake: Any
) -> None:
    made = supervisor()
    first = ended(made.start(fake()))
    again = ended(made.start(fake()))
    assert (again.status, again.existing, again.run_id) == ("existing", first.run_id, None)
    assert ended(made.start(fake(), fresh=True)).status == "finished"
    failed = ended(made.start(fake("die")))
    assert ended(made.start(fake("die"))).run_id not in (None, failed.run_id)


def test_an_unrecorded_run_needs_no_store(supervisor: Make, fake: Any) -> None:
    made = supervisor(None)
    job = ended(made.start(fake(), record=False))
    assert (job.status, job.run_id) == ("finished", None)
    assert job.snapshot().metrics["accuracy"] == 0.5
    with pytest.raises(StoreError):
        made.start(fake())


@pytest.mark.parametrize("record", [True, False])
def test_a_refusing_store_fails_the_job_with_its_sentence(
    supervisor: Make, store: Store, fake: Any, record: bool
) -> None:
    made = supervisor(open_store(store.path, readonly=True))
    made.warm()
    job = ended(made.start(fake(), record=record))
    assert (job.status, job.run_id) == ("failed", None)
    assert "read-only" in (job.error or "")
    assert made.executor.pids() == (), "a server that only shows runs starts no worker"


def test_nobody_watches(supervisor: Make, fake: Any) -> None:
    made = supervisor(unwatched=0.3)
    kept = made.start(fake(steps=40, seed=1), record=False)
    left = made.start(fake(steps=5000), keep=False, record=False)
    left.watch("tab")
    begun(left)
    time.sleep(0.6)
    assert left.status == "running"
    made.unwatch("tab")
    assert ended(left).status == "cancelled"
    assert ended(kept).status == "finished"


def test_closing_cancels_records_and_ends_workers(
    supervisor: Make, store: Store, fake: Any
) -> None:
    made = supervisor()
    job = begun(made.start(fake(steps=5000)))
    waiting = made.start(fake(seed=1))
    pid = made.executor.pids()[0]
    made.close()
    assert (job.status, waiting.status) == ("cancelled", "cancelled")
    assert row(store, job)["status"] == "cancelled"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert made.start(fake(seed=2)).status == "cancelled"


def test_other_processes_see_progress_by_heartbeat(
    supervisor: Make, store: Store, fake: Any
) -> None:
    job = begun(supervisor().start(fake(steps=5000)))
    deadline = time.monotonic() + WAIT
    while not row(store, job).get("steps") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert row(store, job)["status"] == "running"


def test_an_error_in_one_heartbeat_is_the_end_of_none_after_it(
    supervisor: Make, store: Store, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, real = [StoreError("The lock is taken."), ValueError("unforeseen")], Driver.heartbeat

    def heartbeat(self: Driver, *arguments: Any) -> None:
        if errors:
            raise errors.pop()
        real(self, *arguments)

    monkeypatch.setattr(Driver, "heartbeat", heartbeat)
    job = begun(supervisor().start(fake(steps=5000)))
    deadline = time.monotonic() + WAIT
    while not row(store, job).get("steps") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert row(store, job)["steps"] > 0 and errors == []


def test_a_snapshot_is_cheap_and_bounded(supervisor: Make, fake: Any) -> None:
    job = Job("job", fake())
    for step in range(20_000):
        job.add({"event": "progress", "step": step, "steps": 20_000, "loss": 1.0, "lr": 0.1,
                 "seconds": 0.01 * step, "tokens_per_second": 1.0})  # fmt: skip
    now = job.snapshot()
    assert len(now.losses) <= 2000
    assert now.losses[-1][0] == now.step == 19_999
    assert now.remaining == pytest.approx(0.01)


def test_one_supervisor_per_store(store: Store) -> None:
    first = get_supervisor(store.path)
    assert get_supervisor(store.path) is first
    first.close()
    again = get_supervisor(store.path)
    assert again is not first
    again.close()


def test_a_new_supervisor_takes_up_what_the_last_one_left(
    supervisor: Make, store: Store, fake: Any
) -> None:
    first = supervisor()
    left = begun(first.start(fake(steps=40)))
    first.close()
    second = supervisor()
    assert left.status == "cancelled"
    assert ended(second.start(fake(steps=40))).status == "finished"
    assert sorted(queries.runs(store)["status"]) == ["cancelled", "finished"]


def test_many_threads_may_start_and_look(supervisor: Make, fake: Any) -> None:
    made, jobs = supervisor(), []

    def start(seed: int) -> None:
        jobs.append(made.start(fake(seed=seed), record=False))
        made.jobs()

    threads = [threading.Thread(target=start, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {ended(job).status for job in jobs} == {"finished"}
    assert len(made.jobs()) == 8
