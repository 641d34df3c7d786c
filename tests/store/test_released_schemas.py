"""Files that released versions wrote are brought up to date with everything in them."""

from __future__ import annotations

import gzip
import json
import math
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest

import ttr_core as ttr
from experiments_db.read import queries
from experiments_db.read.filters import Conditions
from experiments_db.run.request import config_hash
from experiments_db.run.settings import split_names
from experiments_db.store import NewRun, Outcome, Store, open_store
from experiments_db.store.backup import import_runs
from experiments_db.store.migrations import migrations
from ttr_core.lab import TASKS, TrainConfig, fingerprint, identity, outdated

DATA = Path(__file__).parent / "data"
FILES = sorted(DATA.glob("schema_*.duckdb.gz"))


@pytest.fixture(autouse=True)
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments_db.store.store.INTERVAL", 0.0)


@pytest.fixture(params=FILES, ids=lambda file: file.name.split(".")[0])
def released(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A store as a released version left it: runs of every status, tags, notes, an archived one."""
    place = tmp_path / "runs.duckdb"
    place.write_bytes(gzip.decompress(request.param.read_bytes()))
    return place


class Brought(NamedTuple):
    """A store of a released version that this one has opened, and what its hashes were before."""

    store: Store
    hashes: dict[str, str]
    oldest: bool


@pytest.fixture(scope="module", params=FILES, ids=lambda file: file.name.split(".")[0])
def brought(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Brought:
    place = tmp_path_factory.mktemp("brought") / "runs.duckdb"
    place.write_bytes(gzip.decompress(request.param.read_bytes()))
    with duckdb.connect(str(place), read_only=True) as connection:
        hashes = dict(connection.execute("SELECT run_id, config_hash FROM runs").fetchall())
    store = open_store(place)
    queries.runs(store)
    return Brought(store, hashes, "001" in request.param.name)


def rows_of(path: Path) -> dict[str, list[tuple]]:
    """Returns the rows of every table by its columns of old, read without this program."""
    with duckdb.connect(str(path), read_only=True) as connection:
        tables = [row[0] for row in connection.execute("SHOW TABLES").fetchall()]
        kept = [name for name in tables if name not in ("run_rows", "schema_version")]
        return {name: connection.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in kept}


def test_every_released_schema_has_a_file() -> None:
    assert len(FILES) >= len(migrations()) - 1  # the newest is written by the tests themselves


def test_nothing_is_lost(released: Path) -> None:
    before = rows_of(released)
    store = open_store(released)
    table = queries.runs(store, Conditions(archived=True), limit=1000)
    after = rows_of(released)
    assert set(before) <= set(after)
    anew = {"runs": 1, "series": 2}  # the one column of each that a migration writes anew
    for name, rows in before.items():
        width = len(rows[0]) if rows else 0
        old, new = rows, [row[:width] for row in after[name]]
        if name in anew:
            at = anew[name]
            old, new = ([row[:at] + row[at + 1 :] for row in part] for part in (old, new))
        assert sorted(map(str, old)) == sorted(map(str, new))
    (saved,) = released.parent.glob("runs.schema-*.duckdb")
    assert {k: sorted(map(str, v)) for k, v in rows_of(saved).items()} == {
        k: sorted(map(str, v)) for k, v in before.items()
    }
    assert set(table.status) == {"finished", "diverged", "failed", "cancelled", "interrupted"}
    assert table.archived.sum() == 1


def test_what_is_computed_for_old_runs_is_what_new_runs_get(
    brought: Brought, tmp_path: Path
) -> None:
    old = brought.store
    table = queries.runs(old, Conditions(archived=True), limit=1000)
    points = queries.curves(old, list(table.run_id))
    new = open_store(tmp_path / "new.duckdb")

    def ran_again(row: dict[str, Any]) -> None:
        run = NewRun(
            json.loads(row["config"]), row["config_hash"], row["layer"], row["spec"],
            row["frame"], row["task"], row["seed"], row["device"], row["protocol"],
        )  # fmt: skip
        curves = {
            name: part[["step", "value"]].values.tolist()
            for name, part in points[points.run_id == row["run_id"]].groupby("name")
        }
        metric = TASKS[row["task"]].main()
        claim = new.claim(driver, run, fresh=True)
        new.finish(str(claim.run_id), Outcome("finished", curves=curves, metric=metric))

    with new.driver() as driver, ThreadPoolExecutor(len(table)) as pool:  # committed together
        list(
            pool.map(ran_again, table.astype(object).where(table.notna(), None).to_dict("records"))
        )
    again = queries.runs(new, limit=1000)
    columns = ["last", "best", "best_step", "config_group", "series"]
    assert facts(again, columns) == facts(table[table.status.notna()], columns)
    assert table.best.notna().sum() >= 3


def facts(table, columns: list[str]) -> list[tuple]:
    """Returns the rows as comparable tuples, in an order of their own."""
    rows = table[columns].astype(object).where(table[columns].notna(), None).values.tolist()
    return sorted(
        (
            tuple(v if not isinstance(v, float) or math.isfinite(v) else None for v in row)
            for row in rows
        ),
        key=str,
    )


def test_an_old_store_goes_on(released: Path, new_run) -> None:
    store = Store(released)
    known = len(queries.runs(store, Conditions(archived=True)))
    with store.driver() as driver:
        store.finish(str(store.claim(driver, new_run("new")).run_id), Outcome("finished"))
    assert len(queries.runs(store, Conditions(archived=True))) == known + 1
    fresh = open_store(released.with_name("fresh.duckdb"))
    assert import_runs(fresh, released).added == known + 1


def test_an_old_backup_can_be_imported(released: Path) -> None:
    before = released.read_bytes()
    fresh = open_store(released.with_name("fresh.duckdb"))
    assert import_runs(fresh, released).added == len(queries.runs(fresh, Conditions(archived=True)))
    assert released.read_bytes() == before


def test_old_runs_are_found_under_the_hash_of_today(brought: Brought) -> None:
    rows = queries.runs(brought.store, Conditions(archived=True), limit=1000)
    for row in rows.itertuples():
        config = json.loads(row.config)
        ours = identity(config) is not None  # the oldest file has shorter configs, made by hand
        known = config_hash(config) if ours else brought.hashes[row.run_id]
        assert row.config_hash == known, row.spec
        assert ours or brought.oldest
        assert not row.superseded or outdated()
    configs = [json.loads(row.config) for row in rows.itertuples() if TASKS[row.task].trained]
    assert [config for config in configs if fingerprint(config) != config] == []


def test_what_takes_part_in_old_runs_is_named_as_in_new_ones(brought: Brought) -> None:
    with brought.store.open() as connection:
        stored = connection.execute(
            "SELECT any_value(runs.config), any_value(series.parts) FROM runs "
            "JOIN series ON series.series = runs.series GROUP BY runs.series"
        ).fetchall()
    assert stored
    for config, parts in stored:
        found = identity(json.loads(config))
        assert parts == ([] if found is None else list(found.parts)), config


def test_a_run_that_began_otherwise_is_superseded() -> None:
    """The file of schema 003 has a run from before steps began by the curvature of a loss."""
    (file,) = (file for file in FILES if "003" in file.name)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "runs.duckdb"
        place.write_bytes(gzip.decompress(file.read_bytes()))
        table = queries.runs(open_store(place), Conditions(archived=True), limit=1000)
    (run,) = table[table.spec == "Uniform | MLP | SGD"].itertuples()
    assert run.superseded
    found = identity(json.loads(run.config))
    assert found is not None and {*found.parts} & {*outdated()} == {"start/steps@1"}


def test_what_decides_nothing_splits_no_series() -> None:
    """The file has a run of `regression` twice, with another model and with other training."""
    (file,) = (file for file in FILES if "002" in file.name)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "runs.duckdb"
        place.write_bytes(gzip.decompress(file.read_bytes()))
        table = queries.runs(open_store(place), Conditions(archived=True, task="regression"))
    same = table[table.layer == "mesa-layer"]
    assert len(same) == 2 and same.config_group.nunique() == 2
    assert same.config_hash.nunique() == same.series.nunique() == 1


def settings_of(config: dict) -> dict[type, set[str]]:
    """Returns class -> the settings that a stored config has for it."""
    found: dict[type, set[str]] = {
        TASKS[config["task"]["name"]]: {*config["task"]} - {"name"},
        ttr.ModelConfig: {*config["model"]},
        TrainConfig: {*config["train"]},
        **({ttr.Frame: {*config["frames"][0]}}),
    }
    for text in split_names(config["spec"]):
        for part in (one for i in ttr.Spec.parse(text).ingredients for one in i.within()):
            written = re.search(rf"\b{re.escape(part.name)}\(([^()]*(?:\([^()]*\))?[^()]*)\)", text)
            names = re.findall(r"(\w+)=", re.sub(r"\([^()]*\)", "", written[1])) if written else []
            if type(part).listed():
                found[type(part)] = {*names}
    return found


def test_a_setting_that_was_added_says_so() -> None:
    """Stored runs lack it: without ``since`` the default would make all of them other runs."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "runs.duckdb"
        place.write_bytes(gzip.decompress(FILES[-1].read_bytes()))
        configs = queries.runs(open_store(place), Conditions(archived=True), limit=1000).config
    known: dict[type, set[str]] = {}
    for config in map(json.loads, configs):
        for cls, names in settings_of(config).items():
            known[cls] = known.get(cls, set()) | names
    assert len(known) > 50
    for cls, names in known.items():
        first = {opt.name for opt in ttr.options_of(cls) if opt.since == 1} - {"seconds"}
        assert first <= names, f"{cls.__name__}: a setting that was added needs option(since=2)"
        gone = names - first
        assert not gone or cls.revision > 1, f"{cls.__name__}: {gone} decided runs of revision 1"
