from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from experiments_db.read.sandbox import QueryError, locked, query, select, where, where_sql


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
