"""Runs as people see them: the same from all tables as from those that a question names."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from experiments_db.read import relation
from experiments_db.store import Live, Outcome, Store, open_store
from experiments_db.store.driver import Driver
from tests.store.conftest import run_like


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A run of every kind, whose dead driver has left one behind."""
    store = open_store(tmp_path_factory.mktemp("relation") / "runs.duckdb")
    ended = (
        Outcome("finished", {"accuracy": 0.5, "loss": 1.0}, {"gap": {"2-3": 0.5}}, steps=9, lr=0.1,
                curves={"accuracy": [[5, 0.7], [9, 0.5]]}),
        Outcome("diverged", {"accuracy": math.nan, "loss": math.inf}, steps=3),
        Outcome("failed", {}, error="It broke."),
    )  # fmt: skip
    with store.driver() as driver:
        found = [_claimed(store, driver, seed) for seed in range(5)]
        for run_id, outcome in zip(found, ended, strict=False):
            store.finish(run_id, outcome)
        driver.heartbeat([Live(found[3], 4, 10, 2.0, {"accuracy": 0.25})])
    store.star([found[0]])
    store.set_note([found[1]], "look")
    store.archive([found[2]])
    return store


def _claimed(store: Store, driver: Driver, seed: int) -> str:
    tags = ["one", "all"] if seed % 2 else ["all"] if seed else []
    run = run_like(f"h{seed}", seed=seed, tags=tags, layer=None if seed == 4 else "gla")
    return str(store.claim(driver, run).run_id)


@pytest.fixture(autouse=True)
def revised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relation, "outdated", lambda: ["optimizer/SGD@0"])


def answer(store: Store, question: str, whole: bool = False, among: str | None = None) -> list:
    with store.open() as connection:
        asked = relation.put_to(connection, store, question, {}, among, whole)
        table: pd.DataFrame = asked.df()
    return [tuple(map(str, row)) for row in table.itertuples(index=False)]


def test_the_columns_are_those_of_the_view(filled: Store) -> None:
    with filled.open() as connection:
        told = connection.execute("DESCRIBE run_rows").fetchall()
        seen = connection.execute("SELECT * FROM run_rows ORDER BY run_id").fetchall()
        given = {"alive": [], **relation.revised_since()}
        sql = f"{relation.relation_of()} SELECT * FROM shown ORDER BY run_id"
        shown = connection.execute(sql, given).fetchall()
    names = [name for name, *_ in told]
    assert [*names[:-1]] == list(relation.COLUMNS) and names[-1] == "parts"
    changed = {"status", *relation.NUMBERS}  # said otherwise: not driven, not finite
    for name in set(names[:-1]) - changed:
        place = names.index(name)
        assert [row[place] for row in shown] == [row[place] for row in seen], name
    assert {row[names.index("status")] for row in shown} == {
        "finished", "diverged", "failed", "interrupted",
    }  # fmt: skip


def test_a_column_alone_is_as_among_all(filled: Store) -> None:
    with filled.open() as connection:

        def asked(question: str, whole: bool) -> pd.DataFrame:
            return relation.put_to(connection, filled, question, {}, whole=whole).df()

        every = asked("SELECT * FROM shown ORDER BY run_id", True)
        assert list(every) == list(relation.columns_in_sql()) and len(every) == 5
        for name in every:
            alone = asked(f"SELECT {name} FROM shown ORDER BY run_id", False)
            assert list(map(str, alone[name])) == list(map(str, every[name])), name


@pytest.mark.parametrize(
    ("question", "tables"),
    [
        ("SELECT count(*) FROM shown", set()),
        ("SELECT run_id FROM shown WHERE NOT archived ORDER BY started_at", {"marks"}),
        ("SELECT status FROM shown", {"results", "live"}),
        ("SELECT run_id FROM shown WHERE list_has_all(tags, ['one'])", {"tags"}),
        ("SELECT run_id FROM shown WHERE superseded", {"series"}),
    ],
)
def test_no_table_is_read_that_a_question_does_not_name(question: str, tables: set[str]) -> None:
    start = relation.relation_of(question)
    every = ("results", "live", "marks", "series", "tags")
    assert {name for name in every if f"JOIN {name}" in start or f"FROM {name}" in start} == tables


def test_only_the_runs_that_are_meant_are_read(filled: Store) -> None:
    question = "SELECT run_id, status, tags, note FROM shown ORDER BY run_id"
    every = answer(filled, question)
    among = "SELECT run_id FROM runs WHERE seed IN (1, 3)"
    assert answer(filled, question, among=among) == [every[1], every[3]]
    assert answer(filled, question, True, among) == [every[1], every[3]]
