"""Restore and backup as a chain of file operations: whoever is killed between two loses nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from experiments_db.read import listing, queries
from experiments_db.store import Outcome, Store, StoreError, files, open_store, swap
from experiments_db.store.backup import backup, import_runs, restore

LOGGED = """
import os, signal
with store.open(write=True) as connection:
    connection.execute("UPDATE marks SET note = 'only in the log'")
    os.kill(os.getpid(), signal.SIGKILL)
"""

# Whoever is killed before an fsync has left what others see before the operation that follows it.
POINTS = """
import json, os, shutil, signal
from pathlib import Path
from experiments_db.read import listing, queries
from experiments_db.store import backup, files, importing

place, other, what = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
for module in (backup, importing):
    module.sound_copy = lambda file, folder: Path(shutil.copy(file, folder / "fresh.duckdb"))
beside = place.with_name("begin")

def forked(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            say(json.dumps({"error": repr(error)}))
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def killing(count):
    done = 0
    def before(real):
        def operation(*arguments, **options):
            nonlocal done
            done += 1
            if done > count: os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)
        return operation
    for name in ("replace", "link", "unlink", "rename", "mkdir", "rmdir"):
        setattr(os, name, before(getattr(os, name)))

def act(count):
    killing(count)
    if what == "restore":
        backup.restore(other, open_store(place), overwrite=True)
    elif what == "import":
        backup.import_runs(open_store(place), other)
    else:
        backup.backup(open_store(other), place, overwrite=True)

def notes(path):
    opened = open_store(path)
    health = listing.health(path)
    return [sorted(queries.runs(opened).note), health.get("notice"), health["problem"]]

def look(count):
    found, notice, problem = notes(place)
    aside = [notes(p)[0] for p in sorted(place.parent.glob("runs.replaced-*.duckdb"))]
    files.UNLOCKED_SECONDS = -1.0  # of a folder without a lock its age is asked
    files.tidy(place.parent)
    left = sorted(p.name for p in place.parent.iterdir() if p.name.startswith("."))
    say(json.dumps({"point": count, "found": found, "notice": notice, "problem": problem,
                    "aside": aside, "left": left}))

for count in range(200):
    for left in (*place.parent.glob("runs.*"), *place.parent.glob(".*")):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    for begin in beside.iterdir():
        shutil.copy(begin, place.parent / begin.name)
    code = forked(lambda: act(count))
    assert forked(lambda: look(count)) == 0
    if code == 0:
        break
    assert code == -signal.SIGKILL, code
"""


def noted(store: Store, new_run: Any, name: str) -> str:
    with store.driver() as driver:
        run_id = str(store.claim(driver, new_run(name)).run_id)
        store.finish(run_id, Outcome("finished", {"accuracy": 0.5}))
        store.set_note([run_id], name)
    return run_id


def notes(path: Path) -> list[str]:
    return list(queries.runs(open_store(path)).note)


@pytest.fixture
def logged(store: Store, new_run: Any, child: Any) -> Store:
    """A store whose last change is only in its log."""
    noted(store, new_run, "old")
    child(LOGGED).communicate()
    assert swap.log_of(store.path).stat().st_size > 0
    return store


@pytest.fixture
def other(tmp_path: Path, new_run: Any) -> Store:
    (tmp_path / "far").mkdir()
    made = open_store(tmp_path / "far" / "other.duckdb")
    noted(made, new_run, "new")
    return made


@pytest.mark.parametrize("what", ["restore", "backup", "import"])
def test_whoever_is_killed_between_two_steps_loses_nothing(
    logged: Store, other: Store, child: Any, what: str
) -> None:
    begin = logged.path.with_name("begin")
    begin.mkdir()
    for file in (logged.path, swap.log_of(logged.path)):
        shutil.copy(file, begin / file.name)
    out = child(POINTS, str(other.path), what).communicate()[0]
    points = [json.loads(line) for line in out.splitlines()]
    assert len(points) > 5
    assert all("error" not in point for point in points), points
    old, new = ["only in the log"], ["new", "only in the log"] if what == "import" else ["new"]
    for point in points:
        said = point["problem"] or point["notice"] or "no problem"
        print(f"{what} killed before operation {point['point'] + 1}: {point['found']}; {said}")
        assert point["found"] in (old, new), point
        assert point["problem"] is None, point
        assert point["left"] == [], point
        if what == "restore" and point["found"] == new:
            assert point["aside"] == [old], point
    found = [point["found"] for point in points]
    assert found == sorted(found, key=lambda notes: notes == new), "never there and back"
    finished = [point for point in points if point["notice"]]
    assert all(point["found"] == new for point in finished)
    assert bool(finished) == (what != "import"), "doctor says what it has finished"


def test_two_restores_within_a_second(
    logged: Store, other: Store, tmp_path: Path, new_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = swap.utc_now()
    monkeypatch.setattr(swap, "utc_now", lambda: now)
    first = restore(other.path, logged, overwrite=True)
    noted(logged, new_run, "between")
    second = restore(other.path, logged, overwrite=True)
    third = restore(other.path, logged, overwrite=True)
    assert len({first, second, third}) == 3
    assert first is not None and second is not None and third is not None
    assert notes(first) == ["only in the log"]
    assert sorted(notes(second)) == ["between", "new"]
    assert notes(third) == notes(logged.path) == ["new"]


def test_a_name_that_somebody_took_meanwhile_is_left_alone(
    logged: Store, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = logged.path.with_name("taken.duckdb")
    taken.write_text("mine")
    monkeypatch.setattr("experiments_db.store.backup.unused", lambda *_: taken)
    with pytest.raises(StoreError, match=r"taken\.duckdb exists already"):
        restore(other.path, logged, overwrite=True)
    assert taken.read_text() == "mine"


def test_a_backup_does_not_get_the_log_of_what_it_replaces(logged: Store, other: Store) -> None:
    backup(other, logged.path, overwrite=True)
    assert notes(logged.path) == ["new"]


def test_a_backup_beside_a_log_that_was_left(logged: Store, other: Store, tmp_path: Path) -> None:
    place = tmp_path / "copy.duckdb"
    shutil.copy(swap.log_of(logged.path), swap.log_of(place))
    with pytest.raises(StoreError, match="holds rows of a store that is gone"):
        backup(other, place)
    backup(other, place, overwrite=True)
    assert notes(place) == ["new"]


def test_a_backup_written_meanwhile_is_not_overwritten(
    logged: Store, other: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "copy.duckdb"
    real = files._copy

    def slow(*arguments: Any) -> None:
        real(*arguments)
        place.write_text("mine")

    monkeypatch.setattr(files, "_copy", slow)
    with pytest.raises(StoreError, match="somebody has written it meanwhile"):
        backup(other, place)
    assert place.read_text() == "mine"


def test_a_file_system_without_links(
    logged: Store, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    aside = restore(other.path, logged, overwrite=True)
    assert aside is not None
    assert (notes(aside), notes(logged.path)) == (["only in the log"], ["new"])
    with pytest.raises(StoreError, match="exists already"):
        backup(other, logged.path)


def test_an_old_restore_that_was_cut_off_shows(logged: Store) -> None:
    """A version before this one left no note: the store is gone, and lies beside its place."""
    os.replace(logged.path, logged.path.with_name("runs.replaced-20260101T000000.duckdb"))
    problem = listing.health(logged.path)["problem"]
    assert "There is no store at" in problem
    assert "runs.replaced-20260101T000000.duckdb" in problem


def test_a_store_that_may_not_be_changed_says_that_a_restore_was_cut_off(logged: Store) -> None:
    swap.note_of(logged.path).write_text('{"aside": null}')
    with pytest.raises(StoreError, match="was interrupted: open it once"):
        queries.runs(Store(logged.path, readonly=True))
    assert notes(logged.path) == ["only in the log"]


SLEEPING = """
from experiments_db.store import files
with files.workplace(Path(sys.argv[2])) as folder:
    (folder / "half").write_text("half a copy")
    say("working")
    sys.stdin.read()
"""


@pytest.mark.parametrize("use", ["backup", "import", "restore", "create"])
def test_the_copies_of_a_dead_process_go_and_those_of_a_living_one_stay(
    logged: Store, other: Store, child: Any, use: str
) -> None:
    folder = logged.path.parent
    dead, living = (child(SLEEPING, str(folder / f"{name}.duckdb")) for name in ("dead", "living"))
    for process in (dead, living):
        assert process.stdout.readline() == "working\n"
    dead.kill()
    dead.wait()
    (folder / ".runs.csv.new-999999999-0123abcd").write_text("half a table")
    (folder / ".mine.new-1").write_text("not ours")
    (folder / ".mine.next").write_text("not ours")
    if use == "backup":
        backup(logged, folder / "copy.duckdb")
    elif use == "import":
        import_runs(logged, other.path)
    elif use == "restore":
        restore(other.path, logged, overwrite=True)
    else:
        open_store(folder / "fresh.duckdb").driver().close()
    left = sorted(path.name.split(".new-")[0] for path in folder.glob(".*"))
    assert left == [".living.duckdb", ".mine", ".mine.next"]
    living.send_signal(signal.SIGTERM)
    living.wait()


def test_a_piece_of_a_store_has_no_log_of_another(logged: Store) -> None:
    """What DuckDB does with a stale log, for which file and log are moved as one."""
    shutil.copy(logged.path, logged.path.with_name("alone.duckdb"))
    with duckdb.connect(str(logged.path.with_name("alone.duckdb")), read_only=True) as connection:
        assert connection.execute("SELECT note FROM marks").fetchall() == [("old",)]
