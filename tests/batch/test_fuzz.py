"""Whatever people write: a valid result or one clear error; no traceback, no change, no file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import ttr_core as ttr
from experiments_db.read.sandbox import QueryError, locked, select, where_sql
from experiments_db.run import request
from experiments_db.sweeps import expansion, plan, plan_file
from ttr_core.errors import RequestError
from ttr_core.space.ingredient import REGISTRY

quick = settings(max_examples=150, deadline=None)
SECRET = Path(__file__).with_name("conftest.py")  # a file that nobody asked for, by any name
opened: list[str] = []
watching: list[bool] = []


def _watch(event: str, details: tuple) -> None:
    if watching and event in ("open", "os.listdir", "subprocess.Popen", "os.system"):
        opened.append(f"{event} {details[0]!r}")


sys.addaudithook(_watch)


@contextmanager
def nothing_touched() -> Iterator[None]:
    """Fails if the block opens a file, lists a folder or starts a process."""
    opened.clear()
    watching.append(True)
    try:
        yield
    finally:
        watching.clear()
    code = (".py'", ".pyc'", ".so'", "None")  # an import
    assert [name for name in opened if not any(end in name for end in code)] == []


# ---- specs

NAMES = sorted(name for family in REGISTRY.values() for name in family)
PIECES = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from(
        [" | ", " * ", "(", ")", "=", ", ", "loss=", "readout=", "map=", "ridge=", "eta=", "None",
         "1e309", "-1", "nan", "0.5", "True", "'", '"', "\\", "\n", "\0", "é", "__import__('os')",
         f"open({str(SECRET)!r})", "9" * 400, "((((", "lambda: 0", "[]", "{}"]
    ),
    st.text(max_size=5),
)  # fmt: skip
SPECS = st.one_of(
    st.lists(PIECES, max_size=12).map("".join),
    st.tuples(*[st.sampled_from(NAMES)] * 3).map(" | ".join),
    st.text(max_size=60),
)


@quick
@given(SPECS)
def test_spec_texts(asked: str) -> None:
    with nothing_touched():
        try:
            found = ttr.Spec.parse(asked)
        except RequestError as error:
            assert str(error)
            return
    assert ttr.Spec.parse(str(found)) == found


@settings(quick, max_examples=60)
@given(SPECS, st.lists(st.tuples(PIECES, PIECES).map("=".join), max_size=3))
def test_requests(asked: str, sets: list[str]) -> None:
    with nothing_touched():
        try:
            request.request(spec=asked, task="recall", sets=sets, device="cpu")
        except RequestError as error:
            assert str(error)


# ---- plans

PLAN = """\
layers:
  - deltanet
  - name: gla
specs: ["Gate | Linear | SGD", "Uniform | Linear | Exact(ridge=0.5)"]
tasks:
  - name: mqar
    pairs: [2, 4]
    seq_len: 32
model: {d_model: 32}
train:
  lr: [1e-3, 1e-2]
  steps: 10
seeds: [0, 1]
tags: [fuzz]
"""
KEYS = st.sampled_from([*plan.TOP, "name", "pairs", "lr", "frame", "pears", "", "__class__"])
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
        st.sampled_from([*NAMES[:5], "gla", "mqar", "auto", "1..5", "logspace(1e-4, 1, 6)", "&a"]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def answered(written: str) -> None:
    """Reads a plan and expands it; it may refuse."""
    with nothing_touched():
        try:
            raw, source = plan_file.plan_of(written)
            checked, source = plan.checked(raw, source)
            work = expansion.expanded(checked, source)
        except RequestError as error:
            assert str(error)
            return
    assert len({run.config_hash for run in work.runs}) == len(work.runs)


def test_the_plan_that_is_changed_is_a_plan() -> None:
    raw, source = plan_file.plan_of(PLAN)
    assert len(expansion.expanded(*plan.checked(raw, source)).runs) == 32


@settings(quick, max_examples=60)
@given(st.data())
def test_changed_plans(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(PLAN)))
    cut = data.draw(st.integers(0, 12))
    added = data.draw(
        st.text(max_size=6)
        | st.sampled_from(["&a ", "*a", "!!python/object:os.system", "<<: ", "- ", ": ", "\t", "{"])
    )
    answered(PLAN[:place] + added + PLAN[place + cut :])


@settings(quick, max_examples=60)
@given(st.dictionaries(KEYS, VALUES, max_size=5), KEYS, VALUES)
def test_other_plans(values: dict, key: str, value: object) -> None:
    answered(yaml.safe_dump(values))
    answered(yaml.safe_dump({**yaml.safe_load(PLAN), **values, key: value}))


# ---- conditions

WORDS = [
    "accuracy", "run_id", '"task.pairs"', "tags", "started_at", "'a'", "0.5", "NULL", "runs", "*",
    "=", ">", "<", "AND", "OR", "NOT", "IN", "IS", "LIKE", "BETWEEN", "(", ")", ",", ";", "--",
    "/*", "SELECT", "FROM", "UNION", "EXISTS", "CASE", "WHEN", "END", "DROP TABLE runs",
    "DELETE FROM runs", "UPDATE runs SET run_id = 'x'", "COPY runs TO", "ATTACH", "SET", "PRAGMA",
    "COLUMNS(*)", "unnest(tags)", "sum(accuracy)", "count(*) OVER ()", "random()", "lambda",
    f"read_text('{SECRET}')", f"read_csv('{SECRET}')", f"'{SECRET}'", "glob('/*')",
    "getenv('HOME')", "current_setting('home_directory')", "duckdb_settings()", "x'00'", "$1", "?",
]  # fmt: skip
CONDITIONS = st.one_of(
    st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=10).map(" ".join),
    st.text(max_size=40),
)


READERS = (
    "read_text", "read_csv", "read_json", "read_blob", "glob", "read_parquet", "parquet_scan",
    "sniff_csv", "read_csv_auto",
)  # fmt: skip
FORMS = (
    "(SELECT count(*) FROM {0}('{1}')) > 0",
    "EXISTS (FROM {0}(['{1}']))",
    "run_id IN (SELECT 'a' FROM '{1}')",
    "EXISTS (FROM query('FROM {0}(''{1}'')'))",
    "true) UNION SELECT 'a' FROM {0}('{1}') WHERE (true",
)


@pytest.fixture(scope="module")
def fed() -> object:
    frame = pd.DataFrame(
        {
            "run_id": ["a", "b", "c"],
            "accuracy": [0.1, 0.9, None],
            "task.pairs": [4, 8, 8],
            "tags": [["x"], [], []],
            "started_at": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"]),
        }
    )
    return locked({"runs": pa.Table.from_pandas(frame, preserve_index=False)})


@settings(quick, max_examples=400)
@given(condition=CONDITIONS)
def test_conditions(fed, condition: str) -> None:
    try:
        found, _ = select(fed, where_sql(condition, "run_id"), 10)
    except QueryError as error:
        assert str(error)
    else:
        assert SECRET.read_text()[:50] not in str(found.to_pydict())
    kept = fed.execute('SELECT run_id, accuracy, "task.pairs" FROM runs ORDER BY 1').fetchall()
    assert kept == [("a", 0.1, 4), ("b", 0.9, 8), ("c", None, 8)]
    assert fed.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("runs",)]


@settings(quick, max_examples=50)
@given(function=st.sampled_from(READERS), form=st.sampled_from(FORMS))
def test_no_condition_reads_a_file(fed, function: str, form: str) -> None:
    with pytest.raises(QueryError):
        select(fed, where_sql(form.format(function, SECRET), "run_id"), 10)
