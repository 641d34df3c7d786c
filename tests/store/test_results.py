"""What a finished run reached is never lost: to a reader, a full disk, a long wait or a kill."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import pytest

from experiments_db.read import listing, queries
from experiments_db.store import Outcome, Store, keeping, open_store, spill, writes
from experiments_db.store.backup import backup, import_runs
from experiments_db.store.records import utc_now

HOLD = """
import duckdb, sys, time
until = time.monotonic() + 20
while True:
    try:
        held = duckdb.connect(sys.argv[1], read_only=True)
        break
    except duckdb.Error:
        if time.monotonic() > until: raise
        time.sleep(0.01)
print("open", flush=True)
sys.stdin.read()
"""

ENDED = Outcome(
    "finished",
    {"accuracy": 0.75, "loss": float("nan")},
    curves={"accuracy": [[1, 0.5], [2, 0.75], [3, float("nan")]]},
    tables={"t": [{"a": 1}]},
    steps=3,
)


class Holder:
    """Another program that has the store's file open, read-only, for the duration of the block."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Holder:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", HOLD, str(self.path)]
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "open\n"
        return self

    def __exit__(self, *exc: object) -> None:
        self.leave()

    def leave(self) -> None:
        self._process.communicate()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments_db.store.connection.PATIENCE", 0.1)


@pytest.fixture
def run_id(store: Store, new_run) -> str:
    """A run whose driver has ended since: it shows as interrupted."""
    with store.driver() as driver:
        return str(store.claim(driver, new_run()).run_id)


def kept(store: Store, run_id: str, closing: bool = False) -> tuple[str | None, list[str]]:
    said: list[str] = []
    event = threading.Event()
    if closing:
        event.set()
    return keeping.keep(store, run_id, ENDED, event, said.append), said


def check_stored(store: Store, run_id: str) -> None:
    row = queries.run(store, run_id)
    assert (row["status"], row["accuracy"], row["steps"]) == ("finished", 0.75, 3)
    assert len(queries.curves(store, [run_id])) == 3
    with store.open() as connection:
        for table in ("results", "curves"):
            count = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            assert count == (1,)
        assert connection.execute("SELECT count(*) FROM live").fetchone() == (0,)
    assert not spill.waits_in(store.path).exists()
    assert listing.health(store.path)["problem"] is None


def test_a_reader_holds_the_file_when_the_run_ends(store: Store, run_id: str) -> None:
    with Holder(store.path):
        words, said = kept(store, run_id, closing=True)
        place = spill.waits_in(store.path) / f"{run_id}.json"
        assert str(place) in (words or "") and "outside this project's lock" in (words or "")
        assert (said, place.exists()) == ([], True)
        assert queries.run(store, run_id)["status"] == "interrupted"
        assert "1 result waits" in listing.health(store.path)["problem"]
        later = utc_now()
    check_stored(store, run_id)
    assert queries.run(store, run_id)["finished_at"] < later, "when it ended, not when it came in"


def test_a_reader_that_goes_is_waited_for(store: Store, run_id: str) -> None:
    with Holder(store.path) as holder:
        threading.Timer(1.0, holder.leave).start()
        assert kept(store, run_id) == (None, [])
    check_stored(store, run_id)


def test_a_long_import_keeps_the_lock(store: Store, run_id: str) -> None:
    short = open_store(store.path, timeout=0.2)
    with store.locked(write=True):
        words, _ = kept(short, run_id, closing=True)
        assert "is in use by process" in (words or "")
    check_stored(store, run_id)


FULL = """
import json, resource, threading
from experiments_db.store import keeping
run_id, room = sys.argv[2], sys.argv[3]
def limited(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
curves = {f"c{i}": [[step, 1.0] for step in range(500)] for i in range(100)}
big = Outcome("finished", {"accuracy": 0.5}, curves=curves)
closing = threading.Event()
if room == "beside":
    closing.set()
    limited(50_000 + 100 * len(json.dumps([list(range(500)), [1.0] * 500])))
else:
    limited(0)
def told(words):
    say(words)
    limited(resource.RLIM_INFINITY)
say(keeping.keep(store, run_id, big, closing, told))
"""


def test_a_disk_that_is_full_for_the_store(store: Store, run_id: str, child) -> None:
    """A limit on the size of files stands for a full disk; a little fits beside the store."""
    said = child(FULL, run_id, "beside").communicate()[0].splitlines()
    assert len(said) == 1
    assert said[0].startswith("The result could not be stored when the run ended: The disk is")
    row = queries.run(store, run_id)
    assert (row["status"], row["accuracy"]) == ("finished", 0.5)
    assert not spill.waits_in(store.path).exists()


def test_a_disk_without_any_room_is_waited_for(store: Store, run_id: str, child) -> None:
    said = child(FULL, run_id, "none").communicate()[0].splitlines()
    assert said[0].startswith("The result is only in memory, and tried again: ")
    assert said[0].count("The disk is full") == 2
    assert said[1:] == ["None"]
    assert queries.run(store, run_id)["status"] == "finished"
    assert len(queries.curves(store, [run_id]).name.unique()) == 100


KILLED = """
import os, signal, threading
from experiments_db.store import connection, keeping
keeping._refusal = lambda store, rows: "somebody has it."
keeping._taken_in = lambda store, place: os.kill(os.getpid(), signal.SIGKILL)
outcome = Outcome("finished", {"accuracy": 0.75, "loss": float("nan")},
    curves={"accuracy": [[1, 0.5], [2, 0.75], [3, float("nan")]]}, steps=3)
keeping.keep(store, sys.argv[2], outcome, threading.Event(), say)
"""


def test_the_driver_is_killed_before_the_store_has_its_result(
    store: Store, run_id: str, child, new_run
) -> None:
    assert child(KILLED, run_id).wait(30) == -signal.SIGKILL
    assert len(spill.waiting(store.path)) == 1
    with store.driver() as driver:
        claim = store.claim(driver, new_run())
    assert (claim.existing, claim.status) == (run_id, "finished")
    check_stored(store, run_id)


def test_a_result_is_taken_in_once(store: Store, run_id: str) -> None:
    """A process may be killed after the result is stored and before its file is gone."""
    with Holder(store.path):
        kept(store, run_id, closing=True)
    (place,) = spill.waiting(store.path)
    content = place.read_bytes()
    check_stored(store, run_id)
    for _ in range(2):
        place.parent.mkdir()
        place.write_bytes(content)
        check_stored(store, run_id)


def test_a_store_that_was_told_so_is_not_changed(store: Store, run_id: str) -> None:
    with Holder(store.path):
        kept(store, run_id, closing=True)
    careful = open_store(store.path, readonly=True)
    assert queries.run(careful, run_id)["status"] == "interrupted"
    assert len(spill.waiting(store.path)) == 1


def spoiled(document: dict, name: str) -> None:
    if name == "of two runs":
        document["curves"][0]["run_id"] = "nobody"
    elif name == "a column too many":
        document["result"]['x") VALUES (1); DROP TABLE runs; --'] = 1
    elif name == "a wrong type":
        document["result"]["steps"] = "many"
    elif name == "nested":
        document["result"]["message"] = {"a": [1]}
        document["result"]["steps"] = [1]
    elif name == "a number too large":
        document["result"]["steps"] = 10**400
    elif name == "a list of lists":
        document["curves"][0]["values"] = [[1.0], 2.0, 3.0]
    elif name == "half a character":
        document["result"]["message"] = "\udce9"
    elif name == "newer":
        document["format"] = 2
    elif name == "no status":
        del document["result"]["status"]


REACHES_DUCKDB = ("a wrong type", "no status")
"""What only its column can refuse; nothing else is handed to C++ that takes it apart."""


@pytest.mark.parametrize(
    "name",
    [
        "of two runs",
        "a column too many",
        "a wrong type",
        "nested",
        "a number too large",
        "a list of lists",
        "half a character",
        "newer",
        "no status",
        "no JSON",
        "too deep",
    ],
)
def test_a_file_that_is_no_result_stays_and_stops_nothing(
    store: Store, run_id: str, new_run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Holder(store.path):
        kept(store, run_id, closing=True)
    (place,) = spill.waiting(store.path)
    good = place.read_text()
    document = json.loads(good)
    spoiled(document, name)
    text = {"no JSON": good[:-9], "too deep": "[" * 100_000}.get(name, json.dumps(document))
    place.write_text(text)
    handed: list[object] = []
    with monkeypatch.context() as watched:
        real = writes.insert_result
        watched.setattr(writes, "insert_result", lambda *row: handed.append(row) or real(*row))
        assert queries.run(store, run_id)["status"] == "interrupted"
    assert bool(handed) == (name in REACHES_DUCKDB)
    aside = Path(f"{place}.refused")
    assert (aside.read_text(), place.exists()) == (text, False)
    assert "does not take" in listing.health(store.path)["problem"]
    aside.unlink()
    place.write_text(good)
    check_stored(store, run_id)


def test_a_result_of_a_run_that_is_not_here_waits_for_it(
    store: Store, run_id: str, tmp_path: Path
) -> None:
    copy = backup(store, tmp_path / "copy.duckdb")
    store.delete([run_id])
    words, _ = kept(store, run_id)
    assert f"The store does not take the result: The store has no run {run_id}" in (words or "")
    assert len(spill.refused(store.path)) == 1
    assert import_runs(store, copy).added == 1
    check_stored(store, run_id)


PATIENCE = 150.0
CHAOS = """
import os, random, resource, threading, time
from experiments_db.store import connection, keeping
connection.PATIENCE = 0.1
keeping.WAITS = (0.1, 0.2)
chance = random.Random(os.getpid())
log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def full():
    while True:
        time.sleep(chance.uniform(0.2, 1.0))
        for size in (chance.choice([0, 5_000]), resource.RLIM_INFINITY):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            time.sleep(chance.uniform(0.1, 0.5))
if sys.argv[3] == "full": threading.Thread(target=full, daemon=True).start()
driver, number = None, 0
while True:
    try:
        if driver is None: driver = store.driver()
        run_id = store.claim(driver, new_run(f"{os.getpid()}-{number}")).run_id
    except StoreError:
        time.sleep(0.05)
        continue
    ended = Outcome("finished", {"accuracy": 0.5}, curves={"c": [[1, float(number)]]}, steps=number)
    keeping.keep(store, run_id, ended, threading.Event(), lambda words: None)
    line = f"{run_id} {number}\\n"
    while True:
        try:
            os.write(log, line.encode())
            break
        except OSError:  # a full disk, which here is a limit on the size of files
            time.sleep(0.05)
    number += 1
"""


@pytest.mark.slow
@pytest.mark.parametrize("time_", [1, 2, 3])
def test_every_finished_run_is_in_the_store_at_the_end(
    store: Store, child, tmp_path: Path, time_: int
) -> None:
    """Drivers are killed, the file is held and the disk is full while runs end; nothing is lost."""
    store.driver().close()
    log, chance = tmp_path / "acknowledged", random.Random(time_)
    writers = [child(CHAOS, str(log), kind) for kind in ("full", "full", "well", "well")]
    began, kills = time.monotonic(), 0
    while (lasted := time.monotonic() - began) < 25 or (
        lasted < PATIENCE and (kills == 0 or not log.exists() or log.read_text().count("\n") <= 20)
    ):  # longer on a busy machine
        with Holder(store.path):
            time.sleep(chance.uniform(0.2, 1.5))
        time.sleep(chance.uniform(0.1, 1.0))
        if chance.random() < 0.4:
            place = chance.randrange(len(writers))
            writers[place].kill()
            writers[place].wait()
            writers[place] = child(CHAOS, str(log), chance.choice(["full", "well"]))
            kills += 1
    for writer in writers:
        writer.kill()
        writer.wait()
    lines = [line.split() for line in log.read_text().splitlines()]
    beside = len(spill.waiting(store.path))
    rows = queries.runs(store, limit=1_000_000).set_index("run_id")
    missing = [name for name, _ in lines if rows.status.get(name) != "finished"]
    wrong = [name for name, number in lines if rows.steps.get(name) != int(number)]
    spilled = Path(f"{store.path}.log").read_text().count(" is kept in ")
    kept = sum(rows.status[name] == "finished" for name, _ in lines)
    print(
        f"\n{len(lines)} runs ended, {kept} of them in the store; {spilled} results lay beside it "
        f"first, {kills} drivers killed; {beside} files waited at the end; "
        f"missing {len(missing)}, wrong {len(wrong)}"
    )
    assert len(lines) > 20 and spilled > 0 and kills > 0
    assert (missing, wrong, spill.waiting(store.path), spill.refused(store.path)) == (
        [],
        [],
        [],
        [],
    )
    with duckdb.connect(str(store.path), read_only=True) as connection:
        twice = "SELECT run_id FROM results GROUP BY run_id HAVING count(*) > 1"
        assert connection.execute(twice).fetchall() == []
