"""A file that is no store, is damaged, newer, locked or cannot be written: words, and no change."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import duckdb
import pytest

from experiments_db.read import queries
from experiments_db.store import NewRun, Outcome, Store, StoreError, migrations, open_store, writes
from experiments_db.store.series import series_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a store with enough rows for several blocks."""
    store = open_store(tmp_path_factory.mktemp("files") / "runs.duckdb")
    run = NewRun({}, "h", "gla", "spec", "standard", "mqar", 0, "cpu", tags=["t"])
    curve = [[i, (i * 7919) % 1009 / 3] for i in range(500)]
    outcome = Outcome("finished", curves={f"c{j}": curve for j in range(4)})

    row = writes.run_row(run)
    series, _ = series_of(row["config"])

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        for _ in range(60):
            claim = writes.insert_run(connection, row, series, run.tags, driver.owner)
            writes.insert_result(connection, *writes.result_rows(claim.run_id, outcome))

    with store.driver() as driver:
        store.write(work)
    return store.path


@pytest.fixture
def filled(store: Store, template: Path) -> Store:
    """A store of its own with 60 runs."""
    shutil.copy(template, store.path)
    return store


def refused(store: Store, new_run) -> set[str]:
    """Reads and writes, expects both to be refused and the file to stay; returns the reasons."""
    before = store.path.read_bytes()
    others = set(os.listdir(store.path.parent))

    def everything() -> None:
        queries.runs(store)
        with store.open() as connection:
            connection.execute("SELECT sum(list_sum(values)), max(name) FROM curves").fetchall()

    reasons = set()
    for use in (everything, store.driver, lambda: store.star(["x"]), everything):
        with pytest.raises(StoreError) as refusal:
            use()
        reasons.add(str(refusal.value))
    assert store.path.read_bytes() == before
    new = set(os.listdir(store.path.parent)) - others
    assert new <= {"runs.duckdb.lock", "runs.duckdb.log", "runs.duckdb.drivers"}
    assert all(reason.count("\n") == 0 and reason.endswith((".", ")")) for reason in reasons)
    return reasons


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty (0 bytes)"),
        (b"hello", "is not a DuckDB database"),
        (b"run_id,status\n" * 5000, "is not a DuckDB database"),
        (b"SQLite format 3\0" + bytes(20_000), "is not a DuckDB database"),
        (b"\0" * 8 + b"DUCK" + bytes(100), "is cut off after 112 bytes"),
        (b"\0" * 8 + b"DUCK" + bytes(20_000), "is damaged"),
    ],
)
def test_no_database(store: Store, new_run, content: bytes, words: str) -> None:
    store.path.write_bytes(content)
    others = set(os.listdir(store.path.parent))
    reasons = refused(store, new_run)
    if "damaged" not in words:  # what was a store, it seems, is looked at under its lock
        assert set(os.listdir(store.path.parent)) <= others | {"runs.duckdb.log"}
    assert all(words in reason and str(store.path) in reason for reason in reasons)


@pytest.mark.parametrize("share", [0.003, 0.05, 0.3, 0.6, 0.9, 0.9999])
def test_a_cut_off_file(filled: Store, new_run, share: float) -> None:
    whole = filled.path.stat().st_size
    assert whole > 1_000_000
    os.truncate(filled.path, int(whole * share))
    reasons = refused(filled, new_run)
    assert reasons
    assert all("restore a backup" in reason for reason in reasons)


def test_a_flipped_bit(filled: Store, new_run) -> None:
    with filled.path.open("r+b") as file:
        for place in range(15_000, filled.path.stat().st_size, 262_144):
            file.seek(place)
            byte = file.read(1)
            file.seek(place)
            file.write(bytes([byte[0] ^ 1]))
    assert all("is damaged" in reason for reason in refused(filled, new_run))


def checksum(data: bytes) -> int:
    result = 5381
    for (word,) in struct.iter_unpack("<Q", data):
        result ^= word * 0xBF58476D1CE4E5B9 % 2**64
    return result


def test_a_file_of_a_newer_duckdb(filled: Store, new_run) -> None:
    with filled.path.open("r+b") as file:
        header = bytearray(file.read(4096))
        assert struct.unpack_from("<Q", header, 0)[0] == checksum(bytes(header[8:]))
        struct.pack_into("<Q", header, 12, 999)
        struct.pack_into("<Q", header, 0, checksum(bytes(header[8:])))
        file.seek(0)
        file.write(header)
    assert all("by a newer DuckDB than 1.5" in reason for reason in refused(filled, new_run))


def test_a_newer_schema(filled: Store, new_run) -> None:
    with filled.open(write=True) as connection:
        connection.execute("INSERT INTO schema_version VALUES (99, 'x', now()::TIMESTAMP)")
    reasons = refused(filled, new_run)
    assert all("by a newer version of this project (its schema is 99" in r for r in reasons)


def test_a_database_of_something_else(store: Store, new_run) -> None:
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("CREATE TABLE runs (x INTEGER)")
    assert all("holds no runs of this project" in reason for reason in refused(store, new_run))


def test_a_folder(store: Store) -> None:
    store.path.mkdir()
    for use in (lambda: queries.runs(store), store.driver):
        with pytest.raises(StoreError, match="is a folder, not a store"):
            use()


def test_a_folder_that_cannot_be(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    nowhere = Store(tmp_path / "file" / "deep" / "runs.duckdb")
    with pytest.raises(StoreError, match="Cannot create the folder"):
        nowhere.driver()
    assert queries.runs(nowhere).empty


def test_a_log_without_its_file(filled: Store) -> None:
    log = Path(f"{filled.path}.wal")
    log.write_bytes(b"rows")
    filled.path.unlink()
    with pytest.raises(StoreError, match="holds rows of a store that is gone"):
        filled.driver()
    assert log.read_bytes() == b"rows"


def test_a_stranger_holds_the_file(filled: Store, child) -> None:
    stranger = child(
        "import duckdb\nheld = duckdb.connect(sys.argv[1])\nsay('open')\nsys.stdin.read()\n"
    )
    assert stranger.stdout.readline() == "open\n"
    with pytest.raises(StoreError, match=f"is open in process {stranger.pid}, outside"):
        queries.runs(filled)
    threading.Timer(0.3, stranger.stdin.close).start()
    assert len(queries.runs(filled)) == 60  # a stranger that goes soon is waited for


def test_a_full_disk(filled: Store, new_run, child) -> None:
    """A limit on the size of files stands for a disk without space: DuckDB sees a short write."""
    lines = """
import resource
from experiments_db.read import queries
from experiments_db.store.backup import backup
driver = store.driver()
run_id = store.claim(driver, new_run("full")).run_id
limit = store.path.stat().st_size + 1000
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
curves = {f"c{i}": [[j, (j * i * 7919 % 1013) / 7] for j in range(500)] for i in range(600)}
try: store.finish(run_id, Outcome("finished", curves=curves))
except StoreError as refusal: say(refusal)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit))
for attempt in (lambda: backup(store, store.path.parent / "copy.duckdb"),
                lambda: open_store(store.path.parent / "new.duckdb").driver()):
    try: attempt()
    except StoreError as refusal: say(refusal)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
say(queries.run(store, run_id)["status"])
"""
    said = child(lines).communicate()[0].splitlines()
    assert len(said) == 4, said
    assert all(line.startswith("The disk is full: ") for line in said[:3])
    assert said[3] == "running"
    assert len(queries.runs(filled)) == 61
    assert queries.counts(filled).set_index("status").runs.to_dict() == {
        "finished": 60,
        "interrupted": 1,
    }
    assert not (filled.path.parent / "copy.duckdb").exists()
    assert not (filled.path.parent / "new.duckdb").exists()
    assert list(filled.path.parent.glob(".*")) == []


READER = """
import os, sys
from pathlib import Path
from experiments_db.read import queries
from experiments_db.store import StoreError, open_store
if os.geteuid() == 0:
    os.seteuid(65534)
store = open_store(sys.argv[1])
print(len(queries.runs(store)))
for write in (store.driver, lambda: store.star(["x"])):
    try: write()
    except StoreError as refusal: print(refusal)
try: open_store(Path(sys.argv[1]).parent / "other.duckdb").driver()
except StoreError as refusal: print(refusal)
"""


@pytest.mark.parametrize("lock", [True, False])
def test_a_read_only_folder(filled: Store, lock: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = folder / "runs.duckdb"
        place.write_bytes(filled.path.read_bytes())
        if lock:
            place.with_name("runs.duckdb.lock").touch(0o644)
        place.chmod(0o444)
        folder.chmod(0o555)
        command = [sys.executable, "-c", READER, str(place)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        try:
            out = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True
            ).stdout.splitlines()
        finally:
            folder.chmod(0o755)
    assert out[0] == "60"
    assert len(out) == 4
    assert all("Cannot write to" in line for line in out[1:])


def test_an_interrupted_creation_leaves_nothing(store: Store, monkeypatch) -> None:
    left = store.path.with_name(".runs.duckdb.new-999999999-0123abcd")
    left.write_bytes(b"half a file")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("experiments_db.store.store.create", migrations.create)
        broken.setattr("experiments_db.store.migrations.publish", killed)
        with pytest.raises(KeyboardInterrupt):
            store.driver()
    assert not store.path.exists()
    store.driver().close()
    assert list(store.path.parent.glob(".*")) == []
    assert len(queries.runs(store)) == 0


def test_extensions_stay_out(store: Store) -> None:
    with store.open(write=True) as connection:
        for statement in ("INSTALL httpfs", "LOAD httpfs", "ATTACH 'x.db'", "COPY runs TO 'x.csv'"):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)
