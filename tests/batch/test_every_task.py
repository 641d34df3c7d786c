"""Every task that there is: its runs are stored, listed, grouped and written with its metrics."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from experiments_db.read import cells, export, listing
from experiments_db.run.outcomes import new_run
from experiments_db.store import Outcome, Store, open_store
from tests.core.test_training import small
from ttr_core.lab import Finished
from ttr_core.lab.tasks import TASKS


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One small run of every task, as the command line stores it."""
    opened = open_store(tmp_path_factory.mktemp("tasks") / "runs.duckdb")
    with opened.driver() as driver:
        for name in TASKS:
            experiment = small(name)
            *_, last = experiment.run()
            assert isinstance(last, Finished) and last.status == "finished", last
            said = last.to_dict()
            run_id = str(opened.claim(driver, new_run(experiment, experiment.config(), ())).run_id)
            result = {key: said[key] for key in (
                "metrics", "accuracy_by", "curves", "tables", "steps", "seconds", "parameters",
                "state_size", "lr", "lrs_tried")}  # fmt: skip
            opened.finish(run_id, Outcome("finished", metric=TASKS[name].main(), **result))
    return opened


def read_back(path: Path) -> pd.DataFrame | None:
    """Returns the rows of a file, of the kinds that programs read."""
    if path.suffix == ".csv":
        return pd.read_csv(path)
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.DataFrame(json.loads(path.read_text())) if path.suffix == ".json" else None


@pytest.mark.parametrize("suffix", export.WRITERS)
@pytest.mark.parametrize("grouped", [False, True])
def test_runs_and_groups_of_every_task_are_written_with_its_metrics(
    store: Store, tmp_path: Path, suffix: str, grouped: bool
) -> None:
    ask = listing.groups if grouped else listing.runs
    path = export.write(ask(store, None, flat=True), tmp_path / f"table{suffix}")
    rows = read_back(path)
    if rows is None:
        text = path.read_text().replace("\\_", "_").replace("\\-", "-")
        assert [name for name in TASKS if name not in text] == []
        return
    known = rows.set_index("task")
    assert {*known.index} == {*TASKS}
    for name, cls in TASKS.items():
        for metric in cls.metrics if not grouped else cls.metrics[:1]:
            column = f"{metric.name}_mean" if grouped else metric.name
            told = known.loc[name, column]
            # a probe may find nothing to tell of so small a run; its main number is always there
            assert pd.notna(told) or metric is not cls.main(), (name, column)


@pytest.mark.parametrize("name", TASKS)
def test_the_map_knows_the_setting_of_every_task(store: Store, name: str) -> None:
    settings = cells.task_settings(store)
    (row,) = settings[settings["task"] == name].itertuples()
    assert json.loads(row.setting)["name"] == name
    found = cells.cells(store, row.setting, row.protocol)
    assert len(found) == 1 and found["best"].notna().all() and found["n"].eq(1).all()
