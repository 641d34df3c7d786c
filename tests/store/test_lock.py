"""The lock: one at a time, whatever they are; it gives up in words; nobody starves."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from pathlib import Path

import pytest

from experiments_db.errors import StoreError
from experiments_db.store import Store
from experiments_db.store.lock import FileLock, is_held

HOLD = "\nwith store.lock.held():\n    say('held')\n    sys.stdin.read()\n"


def test_excludes_threads(tmp_path: Path) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with FileLock(tmp_path / "lock", 20).held():
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == (0, 1)


def test_gives_up_and_names_the_holder(store: Store, child) -> None:
    holder = child(HOLD)
    assert holder.stdout.readline() == "held\n"
    began = time.monotonic()
    with pytest.raises(StoreError) as refusal, FileLock(store.lock.path, 0.2).held():
        pass
    assert 0.2 <= time.monotonic() - began < 2
    text = str(refusal.value)
    assert str(store.path) in text
    assert f"process {holder.pid} on " in text
    assert "-c" in text
    assert "since 20" in text
    assert "gave up after 0.2 s" in text


def test_a_wait_that_was_given_up_holds_nothing(store: Store, child) -> None:
    holder = child(HOLD)
    holder.stdout.readline()
    with pytest.raises(StoreError), FileLock(store.lock.path, 0.1).held():
        pass
    holder.stdin.close()
    with FileLock(store.lock.path, 5).held():
        assert is_held(store.lock.path)
    assert not is_held(store.lock.path)


def test_a_killed_holder_holds_nothing(store: Store, child) -> None:
    holder = child(HOLD)
    holder.stdout.readline()
    assert is_held(store.lock.path)
    assert store.lock.holder()["pid"] == holder.pid
    holder.kill()
    holder.wait()
    assert str(holder.pid) in store.lock.path.read_text(), "its note stays behind"
    assert store.lock.holder() == {}, "nobody is named who is dead"
    with store.lock.path.open() as file:  # who cannot write a note must not seem to be the dead one
        fcntl.flock(file, fcntl.LOCK_EX)
        assert store.lock.holder() == {}
    with FileLock(store.lock.path, 0.5).held():
        pass


def test_a_dead_holder_on_another_host_is_named_with_a_doubt_and_stops_nobody(
    store: Store, child
) -> None:
    note = {"pid": 2**31 - 1, "host": "elsewhere", "command": "ttr app", "since": "2026-01-01"}
    store.lock.path.write_text(json.dumps(note))
    assert store.lock.holder() == {}, "nobody holds the lock, whatever its note says"
    with store.lock.path.open() as file:  # somebody who cannot write a note
        fcntl.flock(file, fcntl.LOCK_EX)
        assert store.lock.holder() == note
        with pytest.raises(StoreError) as refusal, FileLock(store.lock.path, 0.05).held():
            pass
    said = "process 2147483647 on elsewhere (ttr app) since 2026-01-01, as far as can be told from"
    assert said in str(refusal.value)
    with FileLock(store.lock.path, 0.5).held():
        assert store.lock.holder()["pid"] == os.getpid()
    for spoilt in ('{"pid": "x"}', "[1]", "null", '{"pid": 1e999, "host": "\\ud800"}', "\x1b[31m"):
        store.lock.path.write_text(spoilt)
        with store.lock.path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with (
                pytest.raises(StoreError, match="in use by"),
                FileLock(store.lock.path, 0.01).held(),
            ):
                pass


def test_a_waiter_gets_the_lock_at_once(store: Store, child) -> None:
    holder = child(HOLD)
    holder.stdout.readline()
    threading.Timer(0.2, holder.stdin.close).start()
    began = time.monotonic()
    with FileLock(store.lock.path, 10).held():
        waited = time.monotonic() - began
    assert 0.15 < waited < 1.5


def test_nobody_starves(store: Store, child) -> None:
    lines = """
worst, until = 0, time.monotonic() + 1.5
while time.monotonic() < until:
    began = time.monotonic()
    with store.lock.held():
        worst = max(worst, time.monotonic() - began)
        time.sleep(0.005)
say(worst)
"""
    greedy = [child(lines) for _ in range(4)]
    waits = [float(process.communicate()[0]) for process in greedy]
    print("longest wait of each of 4 greedy processes:", [f"{wait:.3f} s" for wait in waits])
    assert max(waits) < 1.0


def test_two_probes_do_not_see_each_other(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    seen: list[bool] = []
    threads = [
        threading.Thread(target=lambda: seen.extend(is_held(path) for _ in range(200)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(seen)


def test_holds_without_a_thread_while_the_interpreter_exits(
    store: Store, child, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    holder = child(HOLD)
    holder.stdout.readline()
    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(StoreError, match="gave up"), FileLock(store.lock.path, 0.1).held():
        pass
    holder.stdin.close()
    holder.wait()
    with FileLock(store.lock.path, 5).held():
        pass
    store.write(lambda connection: None)
