"""What cells have learned: from the runs of a store, and those that the project keeps."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from experiments_db.read import learned as kept
from experiments_db.read.learned import SKILLS, as_table, beside_cells, best_known, skills_told
from experiments_db.store import Outcome, Store, open_store
from experiments_db.store.importing import import_runs
from tests.store.conftest import run_like
from ttr_core.lab import TASKS

ROOT = Path(__file__).resolve().parents[2]


def put(
    store: Store, spec: str, number: int, task: dict[str, object],
    model: dict[str, int] | None = None, **told: object,
) -> None:  # fmt: skip
    settings = {**TASKS[str(task["name"])]().settings(), **task}
    config = {"task": settings, "model": model or {}, "train": {}, "seed": number}
    with store.driver() as driver:
        new = run_like(f"h{number}", config=config, seed=number, spec=spec, task=str(task["name"]))
        run_id = str(store.claim(driver, new).run_id)
        store.finish(run_id, Outcome("finished", **told))  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = open_store(tmp_path / "runs.duckdb")
    mqar = {"name": "mqar", "pairs": 8}
    put(opened, "A | B | C", 0, mqar, metrics={"accuracy": 0.96})
    put(opened, "A | B | C", 1, {**mqar, "pairs": 16}, metrics={"accuracy": 0.94})
    flat = {"accuracy": 0.5, "still_rising": 0.0}
    put(opened, "A | B | C", 2, {**mqar, "variant": "overwrite"}, metrics=flat, steps=600)
    rows = [{"first": 1, "seq_len": 40, "scaled_accuracy": 0.99},
            {"first": 41, "seq_len": 80, "scaled_accuracy": 0.951},
            {"first": 81, "seq_len": 160, "scaled_accuracy": 0.94}]  # fmt: skip
    words = {"name": "words", "group": "Z2"}
    put(opened, "A | B | D", 3, words, metrics={"accuracy": 0.5}, tables={"generalization": rows})
    other = {**words, "group": "Z3"}
    longer = [{**row, "scaled_accuracy": 0.96} for row in rows]
    put(opened, "A | B | D", 4, other, metrics={}, tables={"generalization": longer})
    heart = {"generalization": [{**row, "scaled_accuracy": 0.96 / row["first"]} for row in rows]}
    put(opened, "A | B | D", 5, {**words, "group": "S3"}, metrics=flat, steps=600, tables=heart)
    return opened


def test_the_most_pairs_and_the_longest_words_count(store: Store) -> None:
    found = kept.learned(store)
    assert list(found.columns) == [*SKILLS] and list(found.index) == ["A | B | C", "A | B | D"]
    first, second = found.loc["A | B | C"], found.loc["A | B | D"]
    assert (
        first["recall"] == 8
        and first["overwrite"] == 0
        and first[["parity", "Z3", "S3"]].isna().all()
    )
    known = ["parity", "Z3", "S3"]
    assert second[known].tolist() == [80, 160, 0], (
        "by heart up to the trained length is no tracking"
    )
    assert second.drop(known).isna().all()


def test_a_short_rung_of_a_search_is_no_word_on_what_a_cell_cannot(store: Store) -> None:
    mqar = {**TASKS["mqar"]().settings(), "name": "mqar"}
    for number, accuracy in ((10, 0.04), (11, 0.97)):
        config = {"task": mqar, "model": {}, "train": {}, "seed": number}
        spec = f"A | B | {number}"
        with store.driver() as driver:
            new = run_like(f"h{number}", config=config, spec=spec, task="mqar", protocol="search")
            run_id = str(store.claim(driver, new).run_id)
            told = {"accuracy": accuracy, "still_rising": 0.0}
            store.finish(run_id, Outcome("finished", metrics=told, steps=600))
    found = kept.learned(store)
    assert "A | B | 10" not in found.index and found.loc["A | B | 11", "recall"] == 8


@pytest.mark.parametrize(
    ("rising", "steps", "model", "said"),
    [
        (0.0, 600, {}, 0), (0.0, 599, {}, None), (1.0, 600, {}, None), (None, 600, {}, None),
        (0.0, 600, {"key_dim": 4}, None), (0.0, 600, {"key_dim": 0}, 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("task", ["mqar", "words"])
def test_only_a_whole_run_that_rises_no_more_says_that_something_was_not_learned(
    tmp_path: Path, task: str, rising: float | None, steps: int, model: dict[str, int],
    said: int | None,
) -> None:  # fmt: skip
    opened = open_store(tmp_path / "runs.duckdb")
    settings = {"mqar": {"name": "mqar", "pairs": 8}, "words": {"name": "words", "group": "S3"}}
    rows = {"generalization": [{"first": 1, "seq_len": 40, "scaled_accuracy": 0.1}]}
    told = {"accuracy": 0.1} | ({} if rising is None else {"still_rising": rising})
    put(opened, "A | B | C", 0, settings[task], model, metrics=told, steps=steps, tables=rows)
    found = kept.learned(opened)
    most = None if found.empty else found.iloc[0].dropna().tolist()
    assert most == (None if said is None else [said])


def test_a_grid_says_what_was_learned_in_the_store_and_before(store: Store, tmp_path: Path) -> None:
    rows = beside_cells([{"spec": "A | B | C"}, {"spec": "X | Y | Z"}], store)
    assert rows[0]["learned_recall"] == 8 and rows[0]["learned_parity"] is None
    nothing = {f"learned_{name}": None for name in SKILLS}
    assert rows[1] == {"spec": "X | Y | Z", **nothing, "learned_variants": ""}
    assert as_table(rows)["learned_recall"].tolist() == [8, pd.NA]
    twice = "Uniform | Linear | SGD(link=twice_sigmoid)"
    assert best_known(store).loc[twice, "parity"] == 256
    away = open_store(tmp_path / "not_there.duckdb")
    assert best_known(away).equals(kept.kept_skills()) and not away.path.exists()


def test_what_a_cell_learned_at_other_options_is_said_of_the_cell_that_is_listed() -> None:
    plain, twice = "Uniform | Linear | SGD", "Uniform | Linear | SGD(link=twice_sigmoid)"
    told = kept.variants(kept.kept_skills(), [plain])
    assert "tracked parity over 256 tokens" in told[plain] and told[plain].startswith(twice)
    assert "did not" not in told[plain], "what was not learned at other options says nothing"
    assert plain not in kept.variants(kept.kept_skills(), [plain, twice])


@pytest.mark.slow
def test_what_is_shipped_was_learned_in_kept_runs(tmp_path: Path) -> None:
    """Newer evidence may say more: `learned(store).sort_index().to_csv(SHIPPED)` writes it."""
    store = open_store(tmp_path / "runs.duckdb")
    for file in sorted((ROOT / "docs/evidence").glob("*.parquet")):
        import_runs(store, file)
    told, found = kept.kept_skills(), kept.learned(store)
    assert len(told) > 60 and {*told.index} <= {*found.index}
    found = found.loc[told.index]
    assert (found.notna() >= told.notna()).all(axis=None)
    assert (found.fillna(0) >= told.fillna(0)).all(axis=None)


def test_it_is_told_in_words() -> None:
    told = {"recall": 32, "overwrite": 0, "parity": 256, "S3": 0, "S5": pd.NA}
    said = "recalled 32 pairs, overwrote none, tracked parity over 256 tokens, did not track S3"
    assert skills_told(told) == said
    assert skills_told(dict.fromkeys(SKILLS)) == ""
