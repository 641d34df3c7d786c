"""Writers that are killed, again and again, and a reader that must not notice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd

from experiments_db import queries
from experiments_db.connection import connected
from experiments_db.store import Store

ROOT = Path(__file__).resolve().parents[2]
SECONDS, WRITERS = 10.0, 4

WRITER = """
import itertools, os, sys, threading, time
from experiments_db.store import *
store, log, me = open_store(sys.argv[1]), sys.argv[2], sys.argv[3]
driver = store.driver()
descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def acknowledge(*words):
    os.write(descriptor, (" ".join(map(str, words)) + "\\n").encode())
    os.fsync(descriptor)
def work(thread):
    for number in itertools.count():
        name = f"{me}-{os.getpid()}-{thread}-{number}"
        run = NewRun({"n": number}, name, "gla", "spec", "standard", "mqar", number, "cpu",
                     tags=[thread])
        began = time.monotonic()
        run_id = store.claim(driver, run).run_id
        acknowledge("claimed", run_id, name, time.monotonic() - began)
        driver.heartbeat([Live(run_id, number, curve=[[1, 2.0]])])
        began = time.monotonic()
        curve = [[step, number + step] for step in range(500)]
        store.finish(run_id, Outcome("finished", {"accuracy": number}, curves={"train_loss": curve},
                                     steps=number))
        acknowledge("finished", run_id, number, time.monotonic() - began)
threads = [threading.Thread(target=work, args=(f"t{i}",), daemon=True) for i in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


class Reader(threading.Thread):
    """Asks what a page asks, every 100 ms."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store, self.stop = store, threading.Event()
        self.latencies: list[float] = []
        self.errors: list[BaseException] = []

    def run(self) -> None:
        while not self.stop.wait(0.1):
            began = time.monotonic()
            try:
                table = queries.runs(self.store, limit=100)
                queries.counts(self.store)
                points = queries.curves(self.store, list(table.run_id[:3]))
                assert table.run_id.is_unique
                done = table[(table.status == "finished") & table.run_id.isin(points.run_id)]
                sizes = points.groupby("run_id").size()
                assert all(sizes[run_id] == 500 for run_id in done.run_id)
            except BaseException as error:
                self.errors.append(error)
                raise
            self.latencies.append(time.monotonic() - began)


def torment(store: Store, log: Path) -> int:
    """Runs writers and kills one about once a second; returns the number of kills."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(place: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", WRITER, str(store.path), str(log), str(place)]
        return subprocess.Popen(command, env=environment)

    writers, kills = [start(i) for i in range(WRITERS)], 0
    chance, until = random.Random(0), time.monotonic() + SECONDS
    try:
        while time.monotonic() < until:
            time.sleep(chance.uniform(0.5, 1.5))
            victim = chance.randrange(WRITERS)
            assert writers[victim].poll() is None, "a writer ended by itself"
            writers[victim].send_signal(signal.SIGKILL)
            writers[victim].wait()
            kills += 1
            writers[victim] = start(victim)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    return kills


def test_no_acknowledged_row_is_lost(store: Store, tmp_path: Path) -> None:
    store.driver().close()
    log, reader = tmp_path / "acknowledged", Reader(store)
    reader.start()
    try:
        kills = torment(store, log)
    finally:
        reader.stop.set()
        reader.join()
    lines = [line.split() for line in log.read_text().splitlines()]
    claimed = {words[1]: words[2] for words in lines if words[0] == "claimed"}
    finished = {words[1]: int(words[2]) for words in lines if words[0] == "finished"}
    waits = pd.Series([float(words[3]) for words in lines])
    reads = pd.Series(reader.latencies)
    print(
        f"\n{kills} kills, {len(claimed)} claims and {len(finished)} results acknowledged; "
        f"write median {waits.median():.2f} s, 95 % {waits.quantile(0.95):.2f}, "
        f"longest {waits.max():.2f}; {len(reads)} reads (3 opens each), "
        f"median {reads.median() * 1e3:.0f} ms, longest {reads.max() * 1e3:.0f} ms"
    )
    assert reader.errors == []
    assert kills >= 6
    assert len(finished) > 0  # how many is up to the machine
    rows = queries.runs(store, limit=1_000_000).set_index("run_id")
    assert rows.index.is_unique
    assert {run_id: rows.config_hash[run_id] for run_id in claimed} == claimed
    assert {run_id: int(rows.steps[run_id]) for run_id in finished} == finished
    assert set(rows.status[list(finished)]) == {"finished"}
    assert set(rows.status) <= {"finished", "interrupted"}
    assert all(len(tags) == 1 for tags in rows.tags)
    complete(store, finished)


def complete(store: Store, finished: dict[str, int]) -> None:
    """Checks every acknowledged curve, point by point, and that nothing is there twice."""
    with connected(store.path, write=False) as connection:
        for table in ("runs", "results", "curves", "live", "tags"):
            twice = connection.execute(
                f"SELECT run_id FROM {table} GROUP BY run_id HAVING count(*) > 1"
            ).fetchall()
            assert twice == []
        both = connection.execute("SELECT run_id FROM live JOIN results USING (run_id)").fetchall()
        sums = dict(connection.execute('SELECT run_id, list_sum("values") FROM curves').fetchall())
    assert both == []
    expected = {run_id: 500 * n + sum(range(500)) for run_id, n in finished.items()}
    assert {run_id: sums[run_id] for run_id in finished} == expected
