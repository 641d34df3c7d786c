"""Writers that are killed, again and again, and readers that must not notice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments_db.read import queries
from experiments_db.store import NewRun, Store, open_store
from experiments_db.store.connection import connected

ROOT = Path(__file__).resolve().parents[2]
WRITERS, READERS, POINTS, PATIENCE = 8, 2, 500, 120.0
THREADS = 4  # runs side by side in a writer, as in a driver with four jobs

ACKNOWLEDGE = """
import itertools, json, os, sys, threading, time
from experiments_db.store import *
from experiments_db.store import series, store as stores
every = series.Series("every", {}, ()), False
stores.series_of = lambda config: every  # what it is asked of, PyTorch, takes a second to import
store, log, me = open_store(sys.argv[1]), sys.argv[2], sys.argv[3]
descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def acknowledged(work, what, *words):
    began = time.monotonic()
    answer = work()
    line = [what, *words, answer, time.monotonic() - began]
    os.write(descriptor, (json.dumps(line) + "\\n").encode())
    os.fsync(descriptor)
    return answer
def one(thread, number):
    name = f"{me}-{os.getpid()}-{thread}-{number}"
    run = NewRun({"n": number}, name, "gla", "spec", "standard", "mqar", number, "cpu",
                 tags=[thread])
    run_id = acknowledged(lambda: store.claim(driver, run).run_id, "claimed", name)
    if thread == "t0":
        driver.heartbeat([Live(run_id, number, curve=[[1, 2.0]])])
    curve = [[step, number + step] for step in range(500)]
    ended = Outcome("finished", {"accuracy": number}, curves={"train_loss": curve}, steps=number)
    acknowledged(lambda: store.finish(run_id, ended), "finished", run_id, number)
"""

ENDLESS = f"""
THREADS = {THREADS}
def work(thread):
    for number in itertools.count():
        one(thread, number)
with store.driver() as driver:
    names = ["t" + str(i) for i in range(THREADS)]
    threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in names]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""

FIFTY = """
from concurrent.futures import ThreadPoolExecutor
with store.driver() as driver, ThreadPoolExecutor(25) as pool:
    list(pool.map(lambda number: one("t", number), range(50)))
"""

READER = """
import sys, time
from pathlib import Path
from experiments_db.read import queries
from experiments_db.store import open_store
store, stop = open_store(sys.argv[1], timeout=60), Path(sys.argv[2])
while not stop.exists():
    began = time.monotonic()
    table = queries.runs(store, limit=100)
    queries.counts(store)
    points = queries.curves(store, list(table.run_id[:3]))
    print(time.monotonic() - began, flush=True)
    assert table.run_id.is_unique
    done = table[(table.status == "finished") & table.run_id.isin(points.run_id)]
    sizes = points.groupby("run_id").size()
    assert all(sizes[run_id] == 500 for run_id in done.run_id)
    time.sleep(0.1)
"""
"""Asks what a page asks, ten times per second at most; ends with an error or at the stop file."""


def start(script: str, *arguments: object, out: int | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=out, text=True)


def torment(store: Store, log: Path, seconds: float, least: int) -> tuple[int, float]:
    """Runs writers and kills one about once a second; returns the number of kills and the seconds.

    It goes on for longer where a busy machine has not let ``least`` writes through by then.
    """
    script = ACKNOWLEDGE + ENDLESS
    writers = [start(script, store.path, log, place) for place in range(WRITERS)]
    chance, kills = random.Random(0), 0
    try:
        wait_for(log)
        began = time.monotonic()
        while (lasted := time.monotonic() - began) < seconds or (
            lasted < PATIENCE and log.read_bytes().count(b"\n") < least
        ):
            time.sleep(chance.uniform(0.8, 1.2))
            victim = chance.choice(writers[: WRITERS // 2])  # who just started has nothing to lose
            assert victim.poll() is None, "a writer ended by itself"
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            writers.remove(victim)
            writers.append(start(script, store.path, log, f"again{kills}"))
            kills += 1
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    return kills, lasted


def wait_for(log: Path) -> None:
    """Returns when the first write is acknowledged: how long a start takes is up to the machine."""
    deadline = time.monotonic() + 60
    while not (log.exists() and log.stat().st_size):
        assert time.monotonic() < deadline, "no writer acknowledged anything"
        time.sleep(0.1)


def acknowledgements(log: Path) -> tuple[dict[str, str], dict[str, int], pd.Series]:
    """Returns run -> configuration, run -> steps of those that ended, and how long each took."""
    lines: list[list[Any]] = [json.loads(line) for line in log.read_text().splitlines()]
    claimed = {line[2]: line[1] for line in lines if line[0] == "claimed"}
    finished = {line[1]: line[2] for line in lines if line[0] == "finished"}
    return claimed, finished, pd.Series([line[-1] for line in lines])


def spread(seconds: pd.Series) -> str:
    middle, most, longest = seconds.median(), seconds.quantile(0.95), seconds.max()
    return f"median {middle:.2f} s, 95 % {most:.2f} s, longest {longest:.2f} s"


@pytest.mark.parametrize(
    ("seconds", "least"), [(6.0, 1), pytest.param(30.0, 100, marks=pytest.mark.slow)]
)
def test_no_acknowledged_row_is_lost(
    store: Store, tmp_path: Path, seconds: float, least: int
) -> None:
    store.driver().close()
    log, stop = tmp_path / "acknowledged", tmp_path / "stop"
    readers = [start(READER, store.path, stop, out=subprocess.PIPE) for _ in range(READERS)]
    try:
        kills, lasted = torment(store, log, seconds, least)
    finally:
        stop.touch()
        reads = [list(map(float, reader.communicate()[0].split())) for reader in readers]
    claimed, finished, waits = acknowledgements(log)
    polls = pd.Series([seconds for each in reads for seconds in each])
    print(
        f"\n{WRITERS} writers, {kills} kills in {lasted:.0f} s: {len(claimed)} claims and "
        f"{len(finished)} results acknowledged, {spread(waits)}; "
        f"{READERS} readers, {len(polls)} polls of 3 opens each, {spread(polls)}"
    )
    assert [reader.returncode for reader in readers] == [0] * READERS
    assert kills >= seconds * 0.6
    assert len(claimed) + len(finished) >= least
    check_kept(store, claimed, finished)
    check_interrupted(store, claimed, finished)


@pytest.mark.slow
def test_eight_processes_store_fifty_runs_each(store: Store, tmp_path: Path) -> None:
    log, began = tmp_path / "acknowledged", time.monotonic()
    script = ACKNOWLEDGE + FIFTY
    writers = [start(script, store.path, log, place) for place in range(WRITERS)]
    assert [writer.wait() for writer in writers] == [0] * WRITERS
    claimed, finished, waits = acknowledgements(log)
    print(
        f"\n{WRITERS} processes of 50 runs each in {time.monotonic() - began:.1f} s: "
        f"{len(finished)} results acknowledged, {spread(waits)}"
    )
    assert len(claimed) == len(finished) == 50 * WRITERS
    assert queries.counts(store).to_dict("records") == [
        {"status": "finished", "runs": 50 * WRITERS}
    ]
    check_kept(store, claimed, finished)


def check_kept(store: Store, claimed: dict[str, str], finished: dict[str, int]) -> None:
    """Checks every acknowledged row, curves point by point, and that nothing is there twice."""
    rows = queries.runs(store, limit=1_000_000).set_index("run_id")
    assert rows.index.is_unique
    assert {run_id: rows.config_hash[run_id] for run_id in claimed} == claimed
    assert {run_id: int(rows.steps[run_id]) for run_id in finished} == finished
    assert set(rows.status[list(finished)]) <= {"finished"}
    assert set(rows.status) <= {"finished", "interrupted"}
    assert all(len(tags) == 1 for tags in rows.tags)
    with connected(store.path, write=False) as connection:
        for table in ("runs", "results", "curves", "live", "tags"):
            twice = connection.execute(
                f"SELECT run_id FROM {table} GROUP BY run_id HAVING count(*) > 1"
            ).fetchall()
            assert twice == []
        both = connection.execute("SELECT run_id FROM live JOIN results USING (run_id)").fetchall()
        sums = dict(connection.execute('SELECT run_id, list_sum("values") FROM curves').fetchall())
    assert both == []
    expected = {run_id: POINTS * n + sum(range(POINTS)) for run_id, n in finished.items()}
    assert {run_id: sums[run_id] for run_id in finished} == expected


def check_interrupted(store: Store, claimed: dict[str, str], finished: dict[str, int]) -> None:
    """Checks that what was cut off says so, at once, and may be run again."""
    rows = queries.runs(store, limit=1_000_000).set_index("run_id")
    cut_off = [run_id for run_id in rows.index if rows.status[run_id] == "interrupted"]
    assert cut_off  # the last writers were killed in the middle of something
    again = open_store(store.path)
    with again.driver() as driver:
        for run_id in cut_off[:3]:
            name = rows.config_hash[run_id]
            run = NewRun({"n": 0}, name, "gla", "spec", "standard", "mqar", 0, "cpu")
            claim = again.claim(driver, run)
            assert claim.run_id not in (None, run_id)
        for run_id in list(finished)[:3]:
            run = NewRun({}, claimed[run_id], "gla", "spec", "standard", "mqar", 0, "cpu")
            assert again.claim(driver, run).existing == run_id
