"""Group commit: no error leaves anybody waiting, and no process ends badly because of it."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from experiments_db.read import queries
from experiments_db.store import Outcome, Store, StoreError

HALF = "caf\udce9"
"""What Python makes of a file name, or an argument, that is not UTF-8."""

SHORT = """
with store.driver() as driver:
    run_id = store.claim(driver, new_run()).run_id
    store.finish(run_id, Outcome("finished"))
store.star([run_id])
say(run_id)
"""

LONG_COMMIT = """
import threading
store.driver().close()
began = threading.Event()
def work(connection):
    began.set()
    connection.execute("SELECT sum(hash(i)) FROM range(30_000_000) AS r(i)").fetchall()
    connection.execute("INSERT INTO tags VALUES ('r', 'written at the end')")
threading.Thread(target=store.write, args=(work,), daemon=True).start()
began.wait()
"""


def within(seconds: float, work: Callable[[], Any]) -> Any:
    """Returns what ``work`` returns, which would wait for ever if it is broken."""
    answer: Future[Any] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return answer.result(seconds)


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, RecursionError, SystemExit])
def test_no_error_leaves_a_store_waiting(store: Store, error: type[BaseException]) -> None:
    def broken(_: Any) -> None:
        raise error("unforeseen")

    with pytest.raises(error, match="unforeseen"):
        within(20, lambda: store.write(broken))
    assert within(20, lambda: store.write(lambda connection: 7)) == 7


def test_an_error_is_its_own_piece_of_work_alone(store: Store) -> None:
    """Four writes that go to disk together: one is broken, three are stored."""
    store.driver().close()
    together = threading.Barrier(5)

    def tag(name: str) -> None:
        def work(connection: Any) -> None:
            if name == "broken":
                raise MemoryError
            connection.execute("INSERT INTO tags VALUES ('r', ?)", [name])

        together.wait()
        store.write(work)

    with ThreadPoolExecutor(4) as pool:
        names = ["a", "b", "broken", "c"]
        with store.locked(write=True):  # whatever comes meanwhile waits, so that a group forms
            answers = [pool.submit(tag, name) for name in names]
            together.wait()
            time.sleep(0.3)
        errors = [type(answer.exception(20)) for answer in answers]
    assert errors == [type(None), type(None), MemoryError, type(None)]
    with store.open() as connection:
        rows = connection.execute("SELECT tag FROM tags ORDER BY tag").fetchall()
    assert rows == [("a",), ("b",), ("c",)]


def test_text_that_cannot_be_stored_is_refused_before_it_is_handed_over(
    store: Store, new_run, monkeypatch
) -> None:
    with store.driver() as driver:
        run_id = store.claim(driver, new_run()).run_id
        monkeypatch.setattr(store, "write", lambda work: pytest.fail("it was handed over"))
        for refused in (
            lambda: store.set_note([run_id], HALF),
            lambda: store.tag([run_id], [HALF]),
            lambda: store.star([HALF]),
            lambda: store.claim(driver, new_run("h2", tags=[HALF])),
            lambda: store.claim(driver, new_run("h2", spec=HALF)),
            lambda: store.claim(driver, new_run("h2", config={"task": {"name": HALF}})),
        ):
            with pytest.raises(StoreError, match="half of a character") as refusal:
                refused()
            str(refusal.value).encode()  # it can be printed


def test_a_result_is_stored_whatever_its_texts(store: Store, new_run) -> None:
    with store.driver() as driver:
        run_id = store.claim(driver, new_run()).run_id
        tables = {"t": [{HALF: HALF}]}
        curves = {HALF: [[1, 1.0]]}
        store.finish(run_id, Outcome("failed", tables=tables, curves=curves, error=HALF))
    assert queries.run(store, run_id)["message"] == "caf\\udce9"
    assert list(queries.curves(store, [run_id]).name.unique()) == ["caf\\udce9"]


def test_a_process_that_ends_in_the_middle_of_a_commit_ends_well(store: Store, child) -> None:
    process = child(LONG_COMMIT)
    assert process.wait(60) == 0
    with store.open() as connection:
        assert connection.execute("SELECT tag FROM tags").fetchall() == [("written at the end",)]


@pytest.mark.slow
def test_twenty_short_processes_end_well(store: Store, child) -> None:
    took = []
    for _ in range(20):
        process = child(SHORT.replace("claim(driver, new_run())", "claim(driver, new_run(), True)"))
        assert process.stdout.readline()
        said = time.monotonic()
        assert process.wait(20) == 0
        took.append(time.monotonic() - said)
    print(f"median {statistics.median(took):.2f} s, longest {max(took):.2f} s")
