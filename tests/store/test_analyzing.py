"""What a result depends on: which runs are pooled, fronts, windows of rates, effects with n."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import ttr_core as ttr
from experiments_db.read import analyzing, effects, noted
from experiments_db.run.request import config_hash, request
from experiments_db.store import Store, open_store
from experiments_db.store.records import NewRun, Outcome
from ttr_core.lab import Metric, metrics

ACCURACY = metrics()["accuracy"]


def put(store: Store, layer: str, accuracy: float | None, seed: int = 0, state: int = 64,
        tried: list[dict[str, Any]] | None = None, **sets: Any) -> str:  # fmt: skip
    """Keeps a run that reached an accuracy; ``sets`` has settings with __ for the dot."""
    frame, chosen = sets.pop("frame", None), sets.pop("chosen", None)
    given = {key.replace("__", "."): str(value) for key, value in sets.items()}
    one = request(layer=layer, frame=frame, seed=seed, sets=given, device="cpu")
    config = one.config()
    run = NewRun(
        config, config_hash(config), layer, str(ttr.catalog[layer].spec), one.model.frame,
        "mqar", seed, "cpu", protocol=config["train"]["protocol"],
    )  # fmt: skip
    noted = {} if tried is None else {"learning_rates": tried}
    measured = {} if accuracy is None else {"accuracy": accuracy}
    with store.driver() as driver:
        run_id = str(store.claim(driver, run).run_id)
        status = "diverged" if accuracy is None else "finished"
        outcome = Outcome(
            status, measured, steps=9, seconds=1.0, tables=noted, state_size=state, lr=chosen
        )
        store.finish(run_id, outcome)
    return run_id


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "runs.duckdb")


def comparable(store: Store) -> list[tuple[analyzing.Comparable, int]]:
    with analyzing.CompleteRuns(store) as reading:
        return analyzing.comparable(reading)


def configurations(store: Store) -> pd.DataFrame:
    """Returns those of the most runs that are comparable."""
    with analyzing.CompleteRuns(store) as reading:
        return analyzing.configurations(reading, analyzing.comparable(reading)[0][0], ACCURACY)


def best(store: Store, place: int = 0, metric: Metric = ACCURACY) -> pd.DataFrame:
    with analyzing.CompleteRuns(store) as reading:
        among = analyzing.comparable(reading)[place][0]
        return analyzing.best_of_rates(reading, among, metric)


def test_frames_protocols_and_trainings_are_never_pooled(store: Store) -> None:
    put(store, "gla", 0.5)
    put(store, "gla", 0.7, seed=1)
    put(store, "gla", 0.9, frame="standard")
    put(store, "gla", 0.8, train__protocol="standard", train__lr="auto")
    put(store, "gla", 0.6, train__steps=77)
    found = comparable(store)
    assert [runs for _, runs in found] == [2, 1, 1, 1]
    assert len({(one.frame, one.protocol, one.training) for one, _ in found}) == 4
    (row,) = best(store).to_dict("records")
    assert (row["name"], row["n"], row["runs"]) == ("gla", 2, 2)
    assert row["mean"] == pytest.approx(0.6) and row["se"] == pytest.approx(0.1)


def test_superseded_archived_and_repeated_runs_do_not_count(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "gla", 0.5)
    store.archive([put(store, "gla", 0.9, seed=1)])
    put(store, "deltanet", 0.4)
    monkeypatch.setattr(analyzing, "revised_since", lambda: {"outdated": ["entry/gla@1"]})
    assert [runs for _, runs in comparable(store)] == [1]
    assert list(best(store)["name"]) == ["deltanet"]


def test_the_best_rate_stands_for_a_configuration_and_says_of_how_many(store: Store) -> None:
    for lr, accuracy in ((0.001, 0.2), (0.01, 0.8), (0.1, None)):
        put(store, "gla", accuracy, train__lr=lr)
    (row,) = best(store).to_dict("records")
    assert (row["mean"], row["rates"], float(row["rate"])) == (0.8, 2, 0.01)
    (row,) = best(store, metric=SimpleNamespace(name="accuracy", rises=False)).to_dict("records")
    assert (row["mean"], row["rates"], float(row["rate"])) == (0.2, 2, 0.001)


def test_the_front_has_what_nothing_beats() -> None:
    rows = pd.DataFrame({"state": [4, 1, 2, 4, 8], "mean": [0.9, 0.5, 0.5, 0.8, 0.95]})
    assert analyzing.front(rows, "state", ACCURACY)["mean"].tolist() == [0.5, 0.9, 0.95]
    falls = analyzing.front(rows, "state", metrics()["error"])
    assert falls["mean"].tolist() == [0.5]


def test_lines_hold_everything_else(store: Store) -> None:
    for pairs, width in ((4, 32), (8, 32), (8, 64)):
        put(store, "gla", pairs / 10, task__pairs=pairs, model__d_model=width)
    put(store, "deltanet", 0.3, task__pairs=4)
    table = best(store)
    assert analyzing.varied(table, ("task.pairs",)) == ["task.pairs", "model.d_model"]
    data = analyzing.against(table, "task.pairs")
    assert data["x"].tolist() == [4, 8] and set(data["name"]) == {"gla"}
    assert set(data["rest"]) == {"d_model 32"}


def row(lr: float, accuracy: float | None) -> dict[str, Any]:
    return {"lr": lr, "steps": 9, "accuracy": accuracy, "diverged": accuracy is None}


def test_windows_are_around_the_best_rate_without_a_gap(store: Store) -> None:
    reached = (0.97, 0.5, 0.96, 0.99, 0.95, None)
    rates = [row(10.0**-i, x) for i, x in zip(range(6, 0, -1), reached, strict=True)]
    put(store, "gla", 0.99, tried=rates)
    put(store, "gla", 0.99, seed=1, tried=rates[:5])
    put(store, "deltanet", 0.9)
    among = comparable(store)[0][0]
    one = best(store).iloc[0]
    found = noted.tried_rates(store, among, one["setting"], one["sizes"], ACCURACY)
    assert found["n"].tolist() == [2, 2, 2, 2, 2]
    (window,) = noted.windows(found, ACCURACY).to_dict("records")
    assert (window["best"], window["tried"]) == (pytest.approx(1e-3), 5)
    assert (window["low"], window["high"]) == (pytest.approx(1e-4), pytest.approx(1e-2))


def test_effects_compare_only_what_differs_in_one_ingredient() -> None:
    cells = pd.DataFrame(
        [("Uniform", "Linear", "SGD", 0.5), ("Gate", "Linear", "SGD", 0.7),
         ("Uniform", "Linear", "Hebbian", 0.2), ("Gate", "Linear", "Hebbian", 0.3),
         ("Gate", "Affine", "Hebbian", 0.9)],
        columns=["weights", "function", "optimizer", "mean"],
    )  # fmt: skip
    (gate,) = effects.main_effects(cells, "weights", "Uniform").to_dict("records")
    assert gate["n"] == 2 and gate["difference"] == pytest.approx(0.15)
    assert gate["se"] == pytest.approx(math.sqrt(2 * 0.05**2) / math.sqrt(2))
    (affine,) = effects.main_effects(cells, "function", "Linear").to_dict("records")
    assert affine["n"] == 1 and math.isnan(affine["se"])
    assert affine["difference"] == pytest.approx(0.6)
    base = effects.references(cells)
    (crossed,) = effects.interactions(cells, "weights", "optimizer").to_dict("records")
    sign = 1 if (base["weights"] == "Gate") == (base["optimizer"] == "SGD") else -1
    assert crossed["n"] == 1 and crossed["difference"] == pytest.approx(sign * 0.1)


def test_cells_are_the_best_of_their_numbers_and_a_stack_has_no_place() -> None:
    specs = ["Uniform | Linear | Exact(ridge=1.0)", "Uniform | Linear | Exact(ridge=2.0)",
             "Uniform | Linear | Exact, Uniform | Linear | SGD", "of another program"]  # fmt: skip
    table = pd.DataFrame({"spec": specs, "mean": [0.1, 0.4, 0.9, 0.9]})
    cells = effects.cells_of(table, ACCURACY)
    assert cells["mean"].tolist() == [0.4] and cells["optimizer"].tolist() == ["Exact"]
    assert effects.cells_of(table, Metric("pooled_distance", "lower"))["mean"].tolist() == [0.1]


def test_an_empty_table_has_no_effects() -> None:
    cells = effects.cells_of(pd.DataFrame({"spec": [], "mean": []}), ACCURACY)
    assert effects.main_effects(cells, "weights").empty
    assert effects.interactions(cells, "weights", "optimizer").empty
    assert json.loads(cells.to_json(orient="records")) == []
