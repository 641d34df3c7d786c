from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from experiments_db.read import sandbox
from experiments_db.read.sandbox import QueryError, locked, query, select, where, where_sql
from tests.processes import descendants, resident


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "run_id": ["a", "b", "c"],
            "accuracy": [0.1, 0.9, None],
            "task.pairs": [4, 8, 8],
            "tags": [["x"], [], []],
            "started_at": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"], utc=True),
        }
    )


def in_process(frame: pd.DataFrame) -> object:
    return locked({"runs": pa.Table.from_pandas(frame, preserve_index=False)})


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("accuracy > 0.5", ["b"]),
        ("accuracy IS NULL OR run_id = 'a' -- a comment", ["a", "c"]),
        ('"task.pairs" = 8', ["b", "c"]),
        ("list_contains(tags, 'x')", ["a"]),
        ("started_at > '2024-01-02'", ["c"]),
        ("false", []),
    ],
)
def test_a_condition_keeps_rows(frame: pd.DataFrame, condition: str, kept: list[str]) -> None:
    found, _ = select(in_process(frame), where_sql(condition, "run_id"), 10)
    assert sorted(found["run_id"].to_pylist()) == kept


def test_a_condition_runs_in_a_process_of_its_own(frame: pd.DataFrame) -> None:
    assert where(frame, "accuracy > 0.05", "run_id") == ["a", "b"]


@pytest.mark.parametrize(
    "condition",
    [
        "acuracy > 1",
        "",
        "true); DROP TABLE runs; SELECT (true",
        "(SELECT count(*) FROM read_text('/etc/passwd')) > 0",
        "(SELECT count(*) FROM read_csv('/etc/passwd')) > 0",
        "run_id IN (SELECT content FROM '/etc/passwd')",
        "(SELECT count(*) FROM glob('/etc/*')) > 0",
        "getenv('HOME') = ''",
    ],
)
def test_a_wrong_or_forbidden_condition_is_refused(frame: pd.DataFrame, condition: str) -> None:
    with pytest.raises(QueryError):
        select(in_process(frame), where_sql(condition, "run_id"), 10)


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE runs",
        "INSERT INTO runs SELECT * FROM runs",
        "SET memory_limit = '100GB'",
        "PRAGMA database_list",
        "ATTACH '{path}'",
        "COPY runs TO '{path}'",
        "INSTALL httpfs",
        "LOAD '{path}'",
        "SELECT 1; SELECT 2",
        "CALL pragma_version()",
        "",
    ],
)
def test_only_one_select_runs(frame: pd.DataFrame, statement: str, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    with pytest.raises(QueryError):
        select(in_process(frame), statement.format(path=target), 10)
    assert list(tmp_path.iterdir()) == []


def test_a_slow_query_is_ended(frame: pd.DataFrame) -> None:
    began = time.monotonic()
    slow = "SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b"
    with pytest.raises(QueryError, match="ended after 1 s"):
        query({"runs": frame}, slow, seconds=1)
    assert time.monotonic() - began < 15


def test_a_large_result_is_refused_or_cut(frame: pd.DataFrame) -> None:
    cut, truncated = select(in_process(frame), "SELECT * FROM range(20000)", 100)
    assert (len(cut), truncated) == (100, True)
    with pytest.raises(QueryError, match="MB"):
        query({"runs": frame}, "SELECT repeat('x', 30000000) FROM runs")


def test_the_process_says_what_is_wrong(frame: pd.DataFrame) -> None:
    with pytest.raises(QueryError, match="acuracy"):
        where(frame, "acuracy > 1", "run_id")


def test_a_long_query_is_refused_before_anything_runs(frame: pd.DataFrame) -> None:
    with pytest.raises(QueryError, match="characters"):
        query({"runs": frame}, "SELECT 1 -- " + "x" * 20_000)


# ---- what a query may use

HUNGRY = {
    "texts": "SELECT length(repeat('x', 1500000000) || repeat('y', 1500000000))",
    "one long text": "SELECT length(string_agg(repeat('x', 100000), ',')) FROM range(50000)",
    "a text that doubles": "WITH RECURSIVE t(x) AS (SELECT repeat('x', 1000) UNION ALL "
    "SELECT x || x FROM t WHERE length(x) < 4000000000) SELECT max(length(x)) FROM t",
    "a list": "SELECT len(list(range)) FROM range(300000000)",
    "distinct texts": "SELECT count(*) FROM "
    "(SELECT DISTINCT repeat(md5(range::VARCHAR), 50) FROM range(3000000))",
}


def test_a_hungry_query_is_refused_in_words_and_the_system_holds_its_limit(
    frame: pd.DataFrame,
) -> None:
    for name in ("texts", "one long text"):
        with pytest.raises(QueryError, match=r"needs more memory than it may have \(512 MB"):
            query({"runs": frame}, HUNGRY[name])


def asked() -> list[int]:
    """Returns the processes of this one in which queries run."""
    return descendants(os.getpid(), "sandbox.py")


def watched(size: Callable[[], int], threads: list[threading.Thread]) -> int:
    """Runs threads and returns the largest size meanwhile."""
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, size())
        time.sleep(0.02)
    return most


@pytest.mark.slow
def test_the_five_hungriest_queries_stay_below_the_limit_and_small_ones_live(
    frame: pd.DataFrame,
) -> None:
    def ask() -> None:
        for statement in HUNGRY.values():
            with pytest.raises(QueryError, match=r"needs more memory|was ended after"):
                query({"runs": frame}, statement)
            for _ in range(4):
                answers.append(where(frame, "accuracy > 0.05", "run_id"))

    answers: list[list[str]] = []
    used = watched(lambda: max(map(resident, asked()), default=0), [threading.Thread(target=ask)])
    print(f"\nthe largest child used {used / 2**20:.0f} MB, of {sandbox.PROCESS_MB}")
    assert answers == [["a", "b"]] * 4 * len(HUNGRY)
    assert 0 < used < sandbox.PROCESS_MB * 2**20


@pytest.mark.slow
def test_four_who_ask_at_once_stay_below_two_gigabytes(frame: pd.DataFrame) -> None:
    """Children, and what the asking process takes meanwhile, as the system counts it."""
    own = os.getpid()
    before = resident(own)

    def ask(statement: str) -> None:
        with pytest.raises(QueryError):
            query({"runs": frame}, statement)

    askers = [threading.Thread(target=ask, args=(sql,)) for sql in [*HUNGRY.values()][:4]]
    most = watched(lambda: sum(map(resident, [own, *asked()])) - before, askers)
    print(f"\nfour queries at once and who asks: {most / 2**20:.0f} MB at most")
    assert 0 < most < 2 * 2**30


def test_a_query_that_fills_its_own_memory_fits_into_the_process(frame: pd.DataFrame) -> None:
    """The limit of the process is beyond that of the database, whose words say more."""
    filling = "SELECT count(*) FROM (SELECT DISTINCT md5(range::VARCHAR) FROM range(3000000))"
    found, _ = query({"runs": frame}, filling)
    assert found.iloc[0, 0] == 3_000_000


def test_the_limit_is_the_operating_system_s(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told.py"
    told.write_text(
        "import resource, runpy, sys\n"
        f"found = runpy.run_path({sandbox.__file__!r})\n"
        "found['main'].__globals__['_serve'] = lambda: sys.exit(\n"
        "    ' '.join(str(resource.getrlimit(limit)[0]) for limit in found['LIMITS']))\n"
        "found['main']()\n"
    )
    monkeypatch.setattr(sandbox, "__file__", str(told))
    with pytest.raises(QueryError) as said:
        query({"runs": frame}, "SELECT 1")
    assert str(said.value) == " ".join(map(str, sandbox.LIMITS.values()))


@pytest.mark.parametrize("ending", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_a_death_by_a_signal_becomes_a_sentence(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    fatal = tmp_path / "fatal.py"
    fatal.write_text(f"import os, signal\nos.kill(os.getpid(), signal.{ending})\n")
    monkeypatch.setattr(sandbox, "__file__", str(fatal))
    with pytest.raises(QueryError, match="needs more memory than it may have"):
        query({"runs": frame}, "SELECT 1")


def test_a_process_runs_one_query_at_a_time(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, most, real = 0, 0, sandbox.subprocess.run

    def counted(*arguments: object, **how: object) -> object:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return real(*arguments, **how)  # type: ignore[call-overload]
        finally:
            running -= 1

    monkeypatch.setattr(sandbox.subprocess, "run", counted)
    kept: list[list[str]] = []
    askers = [
        threading.Thread(target=lambda: kept.append(where(frame, "accuracy > 0.5", "run_id")))
        for _ in range(3)
    ]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert (kept, most) == ([["b"]] * 3, 1)
    monkeypatch.setattr(sandbox, "WAIT_SECONDS", 0.01)
    with sandbox._alone, pytest.raises(QueryError, match="Other queries have kept this one"):
        query({"runs": frame}, "SELECT 1")


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Lima"])
def test_now_means_the_same_everywhere(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    now = pd.Timestamp.now("UTC").tz_localize(None)
    ages = pd.to_timedelta([10, 50, 70, 600], unit="min")
    frame = pd.DataFrame({"run_id": list("abcd"), "started_at": now - ages})
    assert where(frame, "started_at > now() - INTERVAL 1 HOUR", "run_id") == ["a", "b"]
