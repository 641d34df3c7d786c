"""Claims, results, marks: what is written is there, what is refused changes nothing."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from experiments_db.read import queries
from experiments_db.read.filters import Conditions
from experiments_db.store import Outcome, Store, StoreError, open_store
from experiments_db.store.commits import INTERVAL
from experiments_db.store.records import POINTS, as_json, thinned
from experiments_db.sweeps import held


@pytest.fixture
def driver(store: Store):
    with store.driver() as driver:
        yield driver


def test_a_run_from_claim_to_result(store: Store, driver, new_run) -> None:
    claim = store.claim(driver, new_run(tags=["one", " two "]))
    assert (claim.existing, claim.status) == (None, "running")
    row = queries.run(store, claim.run_id)
    assert (row["status"], row["tags"]) == ("running", ["one", "two"])
    assert row["versions"]["torch"] == "2.13.0"
    assert set(row["versions"]) == {"python", "duckdb", "torch"}
    assert row["driver"] == driver.id
    outcome = Outcome(
        "finished",
        metrics={"accuracy": 0.75, "loss": 0.5, "tokens": 7},
        accuracy_by={"gap": {"1-8": 0.9}},
        curves={"train_loss": [[1, 2.0], [2, 1.0]], "error": [0.5, None, 0.25]},
        tables={"lengths": [{"length": 64, "accuracy": 0.5}]},
        steps=100,
        seconds=1.5,
        seconds_to_target=1.0,
        parameters=1234,
        state_size=4096,
        lr=0.001,
        lrs_tried=[0.001, 0.01],
    )
    store.finish(claim.run_id, outcome)
    row = queries.run(store, claim.run_id)
    for name in ("steps", "seconds", "seconds_to_target", "parameters", "state_size", "lr"):
        assert row[name] == getattr(outcome, name)
    for name in ("metrics", "accuracy_by", "lrs_tried"):
        assert row[name] == getattr(outcome, name)
    assert (row["status"], row["accuracy"], row["error"], row["loss"]) == (
        "finished", 0.75, None, 0.5,
    )  # fmt: skip
    assert row["config"] == new_run().config
    assert row["finished_at"] >= row["started_at"]
    points = queries.curves(store, claim.run_id)
    assert list(points[points.name == "error"].step) == [0, 1, 2]
    assert queries.tables(store, claim.run_id)["lengths"].to_dict("records") == [
        {"length": 64, "accuracy": 0.5}
    ]


@pytest.mark.parametrize("status", ["finished", "diverged"])
def test_a_complete_run_answers_a_claim(store: Store, driver, new_run, status: str) -> None:
    first = store.claim(driver, new_run())
    store.finish(first.run_id, Outcome(status))
    again = store.claim(driver, new_run())
    assert (again.run_id, again.existing, again.status) == (None, first.run_id, status)


@pytest.mark.parametrize(
    ("had", "again", "answers"),
    [(9, 9, True), (9, 4, True), (9, 10, False), (9, None, False), (None, None, True)],
)
def test_what_its_time_cut_short_answers_only_who_gives_no_more(
    store: Store, driver, new_run, had: int | None, again: float | None, answers: bool
) -> None:
    first = store.claim(driver, new_run())
    said = None if had is None else f"The time of {had} s was used up after 7 steps."
    store.finish(first.run_id, Outcome("finished", seconds=11.0, error=said))
    assert held(store, {"h": again}) == ({"h": "complete"} if answers else {})
    assert (store.claim(driver, new_run(seconds=again)).existing == first.run_id) is answers


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_run_without_result_does_not(store: Store, driver, new_run, status: str) -> None:
    first = store.claim(driver, new_run())
    store.finish(first.run_id, Outcome(status, error="Traceback\nlast line"))
    assert queries.run(store, first.run_id)["message"] == "Traceback\nlast line"
    assert store.claim(driver, new_run()).run_id is not None


def test_a_live_run_answers_a_claim_unless_fresh(store: Store, driver, new_run) -> None:
    first = store.claim(driver, new_run())
    again = store.claim(driver, new_run())
    assert (again.run_id, again.existing, again.status) == (None, first.run_id, "running")
    assert store.claim(driver, new_run("other")).run_id is not None
    assert store.claim(driver, new_run(), fresh=True).run_id not in (None, first.run_id)
    assert len(queries.same_config(store, "h")) == 2


def test_one_of_many_simultaneous_claims_wins(store: Store, driver, new_run) -> None:
    with ThreadPoolExecutor(8) as threads:
        claims = list(threads.map(lambda _: store.claim(driver, new_run()), range(8)))
    assert sum(claim.run_id is not None for claim in claims) == 1


def test_one_of_many_processes_wins(store: Store, child) -> None:
    lines = """
driver = store.driver()
say("ready"); sys.stdin.readline()
say(store.claim(driver, new_run()).run_id); sys.stdin.readline()
"""
    processes = [child(lines) for _ in range(4)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.stdout.readline().strip() for process in processes]
    assert said.count("None") == 3


def test_run_ids_sort_by_time_and_differ(store: Store, driver, new_run) -> None:
    with ThreadPoolExecutor(8) as threads:
        claims = threads.map(lambda i: store.claim(driver, new_run(f"h{i}")), range(40))
    assert len({claim.run_id for claim in claims}) == 40
    table = queries.runs(store, order="started_at", descending=False)
    assert list(table.run_id.str[:19]) == sorted(table.run_id.str[:19])


def test_writes_are_grouped_and_acknowledged(store: Store, driver, new_run) -> None:
    assert store._group._interval == 0  # only in tests
    store._group._interval = INTERVAL
    commits: list[float] = []
    opened = store._group._opened

    def counted():
        commits.append(time.monotonic())
        return opened()

    store._group._opened = counted
    missing: list[str] = []

    def work(i: int) -> None:
        claim = store.claim(driver, new_run(f"g{i}"))
        store.finish(claim.run_id, Outcome("finished"))
        if queries.run(store, claim.run_id)["status"] != "finished":
            missing.append(claim.run_id)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missing == []
    assert len(commits) <= 8  # not 24
    assert min(b - a for a, b in pairwise(commits)) > INTERVAL * 0.9
    assert len(queries.runs(store)) == 12


def test_a_bad_write_does_not_spoil_its_group(store: Store, driver, new_run) -> None:
    store._group._interval = INTERVAL

    def work(i: int) -> str:
        try:
            if i % 3 == 0:
                store.finish("nobody", Outcome("finished"))
            spec = None if i % 3 == 1 else "spec"  # a table refuses NULL: the whole group fails
            return store.claim(driver, new_run(f"h{i}", spec=spec)).run_id and "stored"
        except Exception as error:
            return type(error).__name__

    with ThreadPoolExecutor(9) as threads:
        said = list(threads.map(work, range(9)))
    assert said == ["StoreError", "ConstraintException", "stored"] * 3
    assert len(queries.runs(store)) == 3


def test_a_run_ends_once(store: Store, driver, new_run) -> None:
    run_id = store.claim(driver, new_run()).run_id
    store.finish(run_id, Outcome("finished"))
    with pytest.raises(StoreError, match="has ended already, as finished"):
        store.finish(run_id, Outcome("failed"))
    with pytest.raises(StoreError, match="has no run nobody"):
        store.finish("nobody", Outcome("finished"))
    with pytest.raises(StoreError, match="valid endings: finished, diverged, failed, cancelled"):
        store.finish(run_id, Outcome("running"))


@pytest.mark.parametrize(
    ("outcome", "match"),
    [
        (Outcome("finished", metrics={"x": object()}), "'metrics' cannot be stored as JSON"),
        (Outcome("finished", curves={"loss": [[1, 2, 3]]}), "'loss' is neither"),
        (Outcome("finished", curves={"loss": ["a"]}), "'loss' is neither"),
    ],
)
def test_what_cannot_be_stored_is_refused(
    store: Store, driver, new_run, outcome: Outcome, match: str
) -> None:
    run_id = store.claim(driver, new_run()).run_id
    with pytest.raises(StoreError, match=match):
        store.finish(run_id, outcome)
    assert queries.run(store, run_id)["status"] == "running"


def test_numbers_that_are_no_numbers(store: Store, driver, new_run) -> None:
    run_id = store.claim(driver, new_run()).run_id
    metrics = {"loss": math.nan, "accuracy": math.inf, "deep": {"x": [math.nan]}}
    curve = [[1, 1.0], [2, math.nan], [3, math.inf]]
    store.finish(run_id, Outcome("diverged", metrics, curves={"train_loss": curve}))
    row = queries.run(store, run_id)
    assert row["metrics"] == {"loss": None, "accuracy": None, "deep": {"x": [None]}}
    values = list(queries.curves(store, run_id).value)
    assert values[0] == 1.0
    assert math.isnan(values[1])
    assert math.isinf(values[2])


def test_curves_are_thinned_with_both_ends() -> None:
    steps, values = thinned([[i, i * 2.0] for i in range(1, 10_001)], POINTS)
    assert len(steps) == len(values) == POINTS
    assert (steps[0], steps[-1]) == (1, 10_000)
    assert len(set(steps)) == POINTS
    assert values == [step * 2.0 for step in steps]
    assert thinned([], POINTS) == ([], [])


def test_json_is_strict() -> None:
    assert as_json({"a": (1, math.nan)}, "x") == '{"a": [1, null]}'


def test_marks(store: Store, driver, new_run) -> None:
    a, b = (store.claim(driver, new_run(f"h{i}", tags=["t"])).run_id for i in range(2))
    assert store.tag([a, b], ["t", "u", "u "]) == 2
    assert store.untag([b], ["t"]) == 1
    store.set_note([a], "first")
    store.set_note([a], "= second\nline 'quoted'")
    store.star([a])
    store.star([a])
    rows = queries.runs(store).set_index("run_id")
    assert (rows.tags[a], rows.tags[b]) == (["t", "u"], ["u"])
    assert (rows.note[a], rows.note[b]) == ("= second\nline 'quoted'", "")
    assert (bool(rows.starred[a]), bool(rows.starred[b])) == (True, False)
    store.unstar([a])
    store.archive([a])
    assert list(queries.runs(store).run_id) == [b]
    assert len(queries.runs(store, Conditions(archived=True))) == 2
    store.restore([a])
    assert len(queries.runs(store)) == 2
    assert store.star([]) == 0


def test_marks_of_unknown_runs_change_nothing(store: Store, driver, new_run) -> None:
    run_id = store.claim(driver, new_run()).run_id
    for change in (store.star, store.archive, store.delete):
        with pytest.raises(StoreError, match="has no run nobody"):
            change([run_id, "nobody"])
    with pytest.raises(StoreError, match="is no tag"):
        store.tag([run_id], [" "])
    row = queries.run(store, run_id)
    assert (row["starred"], row["archived"], row["tags"]) == (False, False, [])


def test_delete_removes_every_trace(store: Store, driver, new_run) -> None:
    run_id, other = (store.claim(driver, new_run(f"h{i}", tags=["t"])).run_id for i in range(2))
    with pytest.raises(StoreError, match="is still running: cancel it"):
        store.delete([run_id])
    store.finish(run_id, Outcome("finished", curves={"train_loss": [[1, 1.0]]}))
    store.star([run_id])
    assert store.delete([run_id]) == 1
    with store.open() as connection:
        for table in ("runs", "results", "curves", "live", "marks", "tags"):
            found = connection.execute(f"SELECT DISTINCT run_id FROM {table}").fetchall()
            assert (run_id,) not in found
    assert queries.run(store, other) is not None


def test_where_the_store_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).resolve().parents[2]
    assert open_store().path == root / "var" / "runs.duckdb"
    monkeypatch.setenv("TTR_HOME", str(tmp_path / "home"))
    assert open_store().path == tmp_path / "home" / "runs.duckdb"
    monkeypatch.setenv("TTR_DB", str(tmp_path / "db"))
    assert open_store().path == tmp_path / "db"
    assert open_store(tmp_path / "a" / ".." / "b").path == tmp_path / "b"
    (tmp_path / "link").symlink_to(tmp_path / "db")
    assert open_store(tmp_path / "link").lock.path == open_store().lock.path


def test_making_a_store_or_reading_it_creates_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path / "deep" / "runs.duckdb")
    assert queries.runs(store).empty
    assert queries.counts(store).empty
    assert queries.run(store, "x") is None
    assert queries.data_version(store)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("exists", [True, False])
def test_readonly_refuses_every_change(
    store: Store, new_run, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    if exists:
        with store.driver() as driver:
            run_id = store.claim(driver, new_run()).run_id
            store.finish(run_id, Outcome("finished"))
    else:
        driver, run_id = None, "x"
    monkeypatch.setenv("TTR_READONLY", "1")
    closed = open_store(store.path)
    before = store.path.read_bytes() if exists else b""
    changes = [
        closed.driver,
        lambda: closed.claim(driver, new_run("other")),
        lambda: closed.finish(run_id, Outcome("failed")),
        lambda: closed.star([run_id]),
        lambda: closed.tag([run_id], ["t"]),
        lambda: closed.set_note([run_id], "n"),
        lambda: closed.delete([run_id]),
        lambda: closed.write(lambda connection: None),
        lambda: closed.open(write=True).__enter__(),
    ]
    for change in changes:
        with pytest.raises(StoreError, match="is read-only here"):
            change()
    assert len(queries.runs(closed)) == int(exists)
    assert store.path.exists() == exists
    assert not exists or store.path.read_bytes() == before


def test_readonly_is_said_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTR_READONLY", "maybe")
    with pytest.raises(StoreError, match="TTR_READONLY is 'maybe'"):
        open_store()
    assert open_store(readonly=True).readonly
    monkeypatch.setenv("TTR_READONLY", "0")
    assert not open_store().readonly


def test_the_log(store: Store, new_run, monkeypatch: pytest.MonkeyPatch) -> None:
    import logging

    with store.driver() as driver:
        run_id = store.claim(driver, new_run()).run_id
        store.finish(run_id, Outcome("finished"))
        logging.getLogger("experiments_db.anything").warning("said while it lives")
    logging.getLogger("experiments_db.anything").warning("said afterwards")
    text = Path(f"{store.path}.log").read_text()
    assert f"{run_id} claimed" in text
    assert f"run {run_id} finished" in text
    assert "said while it lives" in text
    assert "said afterwards" not in text
    for _ in range(3):
        store.log.info("x" * 400_000)
    assert Path(f"{store.path}.log.1").exists()
    monkeypatch.setenv("TTR_LOG", "loud")
    with pytest.raises(StoreError, match="valid levels: DEBUG, INFO"):
        open_store(store.path)
    monkeypatch.setenv("TTR_LOG", "error")
    assert open_store(store.path).log.level == logging.ERROR


def test_every_column_says_what_it_holds(store: Store) -> None:
    with store.open() as connection:
        silent = connection.execute(
            "SELECT table_name, column_name FROM duckdb_columns() "
            "WHERE NOT internal AND comment IS NULL AND table_name != 'run_rows'"
        ).fetchall()
        constraints = connection.execute(
            "SELECT DISTINCT constraint_type FROM duckdb_constraints()"
        ).fetchall()
        indexes = connection.execute("SELECT * FROM duckdb_indexes()").fetchall()
    assert (silent, constraints, indexes) == ([], [("NOT NULL",)], [])
