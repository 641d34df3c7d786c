"""Who runs what, and what becomes of a run whose process is gone."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from experiments_db.read import queries
from experiments_db.read.filters import Conditions
from experiments_db.store import Live, Outcome, Store
from experiments_db.store import driver as drivers
from experiments_db.store.records import utc_now

DRIVE = """
driver = store.driver()
say(store.claim(driver, new_run()).run_id)
sys.stdin.readline()
"""


def status(store: Store, run_id: str) -> str:
    return queries.run(store, run_id)["status"]


def test_a_killed_driver_interrupts_its_run_at_once(store: Store, new_run, child) -> None:
    process = child(DRIVE)
    run_id = process.stdout.readline().strip()
    assert status(store, run_id) == "running"
    before = queries.data_version(store)
    process.kill()
    process.wait()
    assert status(store, run_id) == "interrupted"
    assert queries.data_version(store) != before
    assert list(queries.runs(store, Conditions(status="interrupted")).run_id) == [run_id]
    assert queries.runs(store, Conditions(status="running")).empty
    assert queries.counts(store).to_dict("records") == [{"status": "interrupted", "runs": 1}]
    with store.driver() as driver:
        again = store.claim(driver, new_run())
        assert again.run_id is not None
        assert store.delete([run_id]) == 1
        assert drivers.drivers_in(drivers.folder_of(store.path)) == [driver.id]  # swept


def test_a_run_of_a_living_process_is_running_for_others(store: Store, child) -> None:
    process = child(DRIVE)
    run_id = process.stdout.readline().strip()
    seen = child(
        "from experiments_db.read import queries\nsay(queries.run(store, sys.argv[2])['status'])\n",
        run_id,
    )
    assert seen.communicate()[0] == "running\n"


def test_a_closed_driver_leaves_interrupted_runs(store: Store, new_run) -> None:
    with store.driver() as driver:
        run_id = store.claim(driver, new_run()).run_id
    assert status(store, run_id) == "interrupted"
    driver.close()  # twice is once
    store.finish(run_id, Outcome("cancelled"))
    assert status(store, run_id) == "cancelled"


def test_a_child_process_does_not_keep_the_lock(store: Store, child) -> None:
    process = child(
        "import subprocess\nsleeper = subprocess.Popen(['sleep', '3'], stdout=subprocess.DEVNULL)\n"
        + DRIVE
    )
    run_id = process.stdout.readline().strip()
    process.kill()
    process.wait()
    assert status(store, run_id) == "interrupted"


@pytest.mark.parametrize(("seconds", "expected"), [(5, "running"), (61, "interrupted")])
def test_on_another_host_the_heartbeat_decides(
    store: Store, new_run, monkeypatch: pytest.MonkeyPatch, seconds: int, expected: str
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(drivers.socket, "gethostname", lambda: "elsewhere")
        elsewhere.setattr("experiments_db.store.writes.utc_now", lambda: late)
        late = utc_now() - timedelta(seconds=seconds)
        driver = store.driver()
        run_id = store.claim(driver, new_run()).run_id
    assert status(store, run_id) == "running"  # its lock is visible here
    monkeypatch.setattr(drivers, "is_held", lambda path: False)  # now it is not
    assert status(store, run_id) == expected
    with store.driver() as mine:
        assert (store.claim(mine, new_run()).run_id is None) == (expected == "running")
        kept = drivers.drivers_in(drivers.folder_of(store.path))
    assert driver.id in kept  # no sweep of what cannot be judged
    driver.close()


def test_heartbeat_tells_how_far_all_runs_are(store: Store, new_run) -> None:
    with store.driver() as driver:
        a, b, c = (store.claim(driver, new_run(f"h{i}")).run_id for i in range(3))
        store.finish(c, Outcome("finished"))
        first = queries.run(store, a)["beat_at"]
        curve = [[i, 1 / i] for i in range(1, 1001)]
        lives = [Live(a, 10, 100, 0.5, {"accuracy": 0.25}, curve), Live(c, 1, 2, math.nan)]
        driver.heartbeat(lives)
        row, other = queries.run(store, a), queries.run(store, b)
        assert (row["steps"], row["steps_planned"], row["loss"], row["accuracy"]) == (
            10, 100, 0.5, 0.25,
        )  # fmt: skip
        assert row["beat_at"] > first
        assert other["beat_at"] == row["beat_at"]
        assert queries.run(store, c)["status"] == "finished"
        points = queries.curves(store, [a, b])
        assert (len(points), points.step.iloc[-1]) == (100, 1000)
        store.finish(a, Outcome("finished", steps=20))
        assert queries.run(store, a)["steps"] == 20
        assert queries.curves(store, a).empty


def test_a_heartbeat_of_one_driver_leaves_the_runs_of_another(store: Store, new_run) -> None:
    with store.driver() as mine, store.driver() as other:
        assert mine.id != other.id
        run_id = store.claim(mine, new_run()).run_id
        before = queries.run(store, run_id)
        other.heartbeat([Live(run_id, 99)])
        assert queries.run(store, run_id) == before


def test_a_driver_is_asked_to_hold_go_on_and_stop(store: Store, child) -> None:
    ask, path = drivers.ask_of, store.path
    with store.driver() as one, store.driver() as two:
        assert drivers.asked_here(path) is drivers.Wish.GO
        assert ask(path, one.id, drivers.Wish.HOLD) and drivers.asked_here(path) == "hold"
        assert ask(path, two.id, drivers.Wish.STOP) and drivers.asked_here(path) == "stop"
        assert ask(path, two.id, drivers.Wish.GO) and drivers.asked_here(path) == "hold"
        assert drivers.wish_of(path, two.id) is drivers.Wish.GO
        other = child("from experiments_db.store.driver import asked_here\n"
                      "say(repr(asked_here(store.path).value))\n")  # fmt: skip
        assert other.communicate()[0] == "''\n", "what is asked of one process is not of another"
    assert not ask(path, one.id, drivers.Wish.STOP) and not drivers.drivers_in(
        drivers.folder_of(path)
    ), "who is gone is not asked, and no file is left behind"
