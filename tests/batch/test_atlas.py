"""The atlas: every function by every probe, once; what takes too long says so; the table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

import ttr_core as ttr
from experiments_db.atlas import (
    MEASURED,
    SUMMARY,
    Atlas,
    answers,
    beside,
    charted,
    survey,
    with_earlier,
)
from experiments_db.atlas.agreement import agreement, agreements
from experiments_db.atlas.chart_rows import rows_of
from experiments_db.atlas.functions import first_of_each, matching
from experiments_db.cli import app
from experiments_db.read import queries
from experiments_db.run import outcomes, request
from experiments_db.store import Outcome, Store, StoreError, open_store
from experiments_db.sweeps.estimate import STORED
from ttr_core.lab import PROBES

TWO = ["Gate | Linear | SGD", "Uniform | Linear | Hebbian"]
Cli = Callable[..., Any]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the design space have two functions, and the probe of spectra the fewest transitions."""
    monkeypatch.setattr(survey, "matching", lambda part: tuple(one for one in TWO if part in one))
    firsts = {one: one for one in TWO}
    monkeypatch.setattr("experiments_db.atlas.chart_rows.first_of_each", lambda: firsts)


@pytest.fixture
def cli(
    tmp_path: Path,
    few: None,
    prompt: None,
    fake_command: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> Cli:
    """Runs the command in this process, with a store of its own and a worker that is none."""
    monkeypatch.setenv("TTR_DB", str(tmp_path / "runs.duckdb"))
    monkeypatch.setenv("FAKE_STEPS", "1")
    monkeypatch.setattr("experiments_db.run.process.COMMAND", fake_command)

    def invoke(*arguments: str, code: int = 0) -> Any:
        result = CliRunner().invoke(app, ["atlas", "--jobs", "1", *arguments])
        assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
        return result

    return invoke


def ids(store: Store) -> list[str]:
    return sorted(queries.runs(store)["run_id"])


def test_every_layer_is_the_function_that_comes_first_and_each_is_asked_once() -> None:
    firsts = first_of_each()
    listed = {cell.spec: cell for cell in ttr.grid() if cell.verdict == "layer"}
    assert set(listed) <= set(firsts)
    for text, first in firsts.items():
        assert firsts[first] == first
        assert text == first or text in ttr.cell(first).same_as
    for text, cell in listed.items():
        assert {firsts[other] for other in cell.same_as if other in firsts} <= {firsts[text]}
    assert len(set(matching())) == len(matching()) == len(set(firsts.values()))
    published = {str(one.spec) for one in ttr.catalog.values()}
    assert {text for text in published if ttr.cell(text).verdict == "layer"} <= set(firsts)


def test_a_function_is_found_by_any_of_its_texts_and_names() -> None:
    assert matching("linear-attention")[0] == first_of_each()["Uniform | Linear | Hebbian"]
    assert set(matching("gate | linear | sgd")) <= set(matching())


def test_every_probe_is_asked_under_the_protocol_of_the_atlas(few: None) -> None:
    asked = survey.surveyed()
    assert [(run.layer, run.task) for run in asked.runs] == [
        (text, probe) for probe in PROBES for text in TWO
    ]
    assert len({run.config_hash for run in asked.runs}) == len(asked.runs)
    alone = request.request(spec=TWO[0], task="chaos", device="cpu").config()
    assert request.config_hash(alone) in {run.config_hash for run in asked.runs}


def test_a_restart_does_nothing_twice_and_tells_the_same(cli: Cli, tmp_path: Path) -> None:
    asked = ["--probe", "chaos"]
    counts = json.loads(cli(*asked, "--json").stdout)["probes"]
    assert [(one["probe"], one["measured"]) for one in counts] == [("chaos", 2)]
    store = open_store(tmp_path / "runs.duckdb")
    before, table = ids(store), pd.read_parquet(tmp_path / "runs.atlas.parquet")
    assert len(before) == 2 and set(queries.runs(store)["protocol"]) == {"atlas"}
    again = cli(*asked)
    assert "0 to run" in again.stderr and ids(store) == before
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "runs.atlas.parquet"), table)


def test_what_takes_too_long_says_so_and_the_others_go_on(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_BY_SPEC", json.dumps({"Gate": "busy"}))
    asked = ["--probe", "chaos", "--seconds", "3"]
    (counts,) = json.loads(cli(*asked, "--json").stdout)["probes"]
    assert (counts["measured"], counts["ended"], counts["missing"]) == (1, 1, 0)
    table = pd.read_parquet(tmp_path / "runs.atlas.parquet").set_index("spec")
    assert table.at[TWO[0], "chaos"] == "It was ended after 3 processor seconds."
    assert table.at[TWO[0], "chaos_seconds"] == 3 and pd.isna(table.at[TWO[0], "horizon"])
    assert table.at[TWO[1], "chaos"] == MEASURED
    store = open_store(tmp_path / "runs.duckdb")
    before = ids(store)
    assert "1 more was ended" in cli(*asked).stderr and ids(store) == before
    hashes = [run.config_hash for run in survey.surveyed(["chaos"]).runs]
    assert len(answers.given_up(store, hashes, 3)) == 1
    assert answers.given_up(store, hashes, 4) == set(), "a larger limit asks anew"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--probe", "capcity"], "Did you mean 'capacity'?"),
        (["--cells", "nothing"], "No layer has 'nothing'"),
        (["--output", "atlas.xlsx"], ".parquet"),
        (["--seconds", "0"], "--seconds"),
        (["--executor", "rya"], "rya"),
        (["--address", "head:6379"], "--executor ray"),
    ],
)
def test_a_wrong_request_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.setenv("TTR_DB", str(tmp_path / "runs.duckdb"))
    result = CliRunner().invoke(app, ["atlas", *arguments])
    assert result.exit_code == 2 and said in result.stderr
    assert not (tmp_path / "runs.duckdb").exists()


def test_a_number_counts_more_than_a_later_failure(store: Store, few: None, prompt: None) -> None:
    (run, _) = survey.surveyed(["chaos"]).runs
    row = {"metric": "horizon", "value": 3.0, "low": 2.0, "high": 4.0, "n": 8, "bound": ""}
    done = Outcome("finished", metrics={"horizon": 3.0}, tables={"intervals": [row]})
    with store.driver() as driver:
        for ended in (done, Outcome("failed", error="Broken.\nA trace.")):
            claim = store.claim(
                driver, outcomes.new_run(run.experiment, run.config, ()), fresh=True
            )
            assert claim.run_id is not None
            store.finish(claim.run_id, ended)
    table = rows_of(store, survey.surveyed(["chaos"])).set_index("spec")
    assert table.loc[TWO[0], ["chaos", "horizon", "horizon_high"]].tolist() == [MEASURED, 3.0, 4.0]
    assert pd.isna(table.at[TWO[1], "chaos"]), "what was not asked is empty"


def table_of(parts: str) -> Atlas:
    row = {"spec": TWO[0], "chaos": MEASURED, "chaos_on": "2026-11-26", "chaos_seconds": 2.0}
    return Atlas(pd.DataFrame([{**row, "parts": parts}]).set_index("spec"))


def test_a_cell_whose_revision_has_changed_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    now = table_of("optimizer/SGD@1 task/chaos@1")
    monkeypatch.setattr("experiments_db.atlas.known.outdated", lambda: ["task/noise@1"])
    assert now.stale("chaos") == frozenset()
    for old in ("optimizer/SGD@1", "task/chaos@1"):
        monkeypatch.setattr("experiments_db.atlas.known.outdated", lambda old=old: [old])
        assert now.stale("chaos") == {TWO[0]}


def test_an_estimate_is_made_from_what_the_cells_took_before(store: Store, few: None) -> None:
    asked = survey.surveyed(["chaos"], "Gate")
    ahead, _ = asked.preview(store, 20, 1, table_of(""))
    seconds, missing = ahead.pace.total([run.kind for run in ahead.open], 1)
    assert missing == 0 and seconds == pytest.approx(2.5)  # and half a second for the store
    assert "comes with the program" in ahead.lines()[-1]


def test_jobs_beyond_the_cores_only_wait_at_the_same_time(store: Store, few: None) -> None:
    ahead, _ = survey.surveyed(["chaos"], "").preview(store, 20, 64, table_of(""))
    alone, _ = survey.surveyed(["chaos"], "").preview(store, 20, 1, table_of(""))
    few = len(ahead.open)
    waits = STORED * few
    busy = alone.document()["estimated_seconds"] - waits
    assert ahead.cores is not None and ahead.document()["estimated_seconds"] == pytest.approx(
        busy / min(ahead.cores, few) + waits / few
    )


@pytest.mark.slow
def test_what_the_documents_say_of_the_atlas_is_what_it_comes_to(root: Path) -> None:
    text = (root / "docs/atlas.md").read_text(encoding="utf-8")
    firsts = first_of_each()
    counted = f"{len(firsts)} layers are {len(set(firsts.values()))} functions"
    assert counted in text
    found = agreements(root / "docs/evidence/learning.parquet", charted())
    said = re.findall(r"\| `(\w+)` \| (.+? \[.+?\]) \| (.+? \[.+?\]) \|", text)
    assert len(said) == 7
    for probe, *both in said:
        for training, numbers in zip(("accuracy", "steps_to_99"), both, strict=True):
            (one,) = (
                x for x in found
                if (x.probe, x.training) == (probe, training) and "pairs=32" in x.runs
                and "standard" in x.runs
            )  # fmt: skip
            told = [float(n) for n in re.findall(r"-?\d*\.\d+", numbers)]
            assert told == pytest.approx([one.rho, one.low, one.high], abs=0.0051), (probe, one)
            assert f"{one.n} functions)" in text
    told = re.sub(r"\s+", " ", (root / "docs/tasks.md").read_text(encoding="utf-8"))
    for probe, training in (
        ("pairs_held", "steps_to_99"), ("noise_borne", "steps_to_99"),
        ("bits_per_number", "steps_to_99"), ("pairs_held", "accuracy"),
    ):  # fmt: skip
        (one,) = (
            x for x in found
            if (x.probe, x.training) == (probe, training) and "pairs=32" not in x.runs
            and "standard" in x.runs
        )  # fmt: skip
        numbers = [f"{n:.2f}".replace("0.", ".", 1) for n in (one.rho, one.low, one.high)]
        assert "{} [{}, {}]".format(*numbers) in told, (probe, training, numbers)
        assert f"over {one.n} functions in the standard frame on 8 pairs" in told
    runs = pd.read_parquet(root / "docs/evidence/learning.parquet").query("frame == 'standard'")
    pairs = [json.loads(text)["task"]["pairs"] for text in runs["config"]]
    runs = runs[[number == 8 for number in pairs]]
    means = runs.groupby([firsts.get(spec, "none") for spec in runs["spec"]])["accuracy"].mean()
    assert set(runs["spec"]) - set(firsts) == {str(ttr.catalog["orchid"].spec)}
    assert f"of the {len(means)} that were trained, orchid's" in told
    assert f"{(means.drop('none') > 0.99).sum()} of the {len(means) - 1} end above 99 %" in told


def test_an_agreement_is_that_of_ranks() -> None:
    table = pd.DataFrame({"a": range(12), "b": [x**3 for x in range(12)], "c": 1.0})
    one = agreement(table, "a", "b")
    assert one is not None and (one.rho, one.n) == (1.0, 12)
    assert one.low == pytest.approx(1)
    turned = agreement(table, "a", "b", sign=-1)
    assert turned is not None and turned.rho == -1.0
    assert agreement(table.head(4), "a", "b") is None


def trained(tmp_path: Path, **columns: Any) -> Path:
    """Writes trainings of all functions, which need the fewer steps the more pairs they hold."""
    specs = list(dict.fromkeys(first_of_each().values()))[:30]
    task = {"name": "mqar", **ttr.task("mqar", {"pairs": 32, "seq_len": 256}).settings()}
    rows = [
        {
            "spec": spec, "frame": "standard", "task": "mqar", "status": "finished",
            "metrics": json.dumps({"accuracy": 1.0, "steps_to_99": steps}),
            "config": json.dumps({"task": task}), **columns,
        }
        for i, spec in enumerate(specs)
        for steps in ([None] if i == 0 else [100 - i, 102 - i])
    ]  # fmt: skip
    file = tmp_path / "runs.parquet"
    pd.DataFrame(rows).to_parquet(file)
    return file


def test_probes_are_compared_with_trainings_function_by_function(tmp_path: Path) -> None:
    file = trained(tmp_path)
    specs = list(dict.fromkeys(first_of_each().values()))[:30]
    held = pd.DataFrame({"pairs_held": range(30), "microseconds": 1.0}, index=specs)
    (one,) = agreements(file, Atlas(held))
    assert (one.probe, one.training, one.n) == ("pairs_held", "steps_to_99", 30)
    assert one.rho == pytest.approx(1), "of what never got there it is known that it is the last"
    assert one.runs == "mqar pairs=32 seq_len=256 (standard frame)"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"status": "failed"}, "no training that ended"),
        ({"task": "chaos"}, "no training"),
        ({"config": "?"}, "config or metrics"),
        ({"metrics": None}, "config or metrics"),
    ],
)
def test_what_holds_no_trainings_is_refused(
    tmp_path: Path, columns: dict[str, str], said: str
) -> None:
    with pytest.raises(StoreError, match=said):
        agreements(trained(tmp_path, **columns), charted())
    other = tmp_path / "other.parquet"
    pd.DataFrame({"spec": ["a"]}).to_parquet(other)
    for file, why in ((other, "no column frame"), (tmp_path / "none.parquet", "There is no file")):
        with pytest.raises(StoreError, match=why):
            agreements(file, charted())


@pytest.mark.parametrize("words", [b"", b"PAR1", None], ids=["empty", "cut", "another table"])
def test_what_lies_beside_a_store_and_is_no_atlas_is_told(
    tmp_path: Path, words: bytes | None
) -> None:
    place = tmp_path / "runs.atlas.parquet"
    if words is None:
        pd.DataFrame({"x": [1]}).to_parquet(place)
    else:
        place.write_bytes(words)
    with pytest.raises(
        StoreError, match=r"runs\.atlas\.parquet is no table of an atlas: move it away"
    ):
        beside(open_store(tmp_path / "runs.duckdb"))


def test_what_was_measured_here_counts_and_a_row_is_as_old_as_its_oldest_number() -> None:
    row = {"spec": TWO[0], "chaos": MEASURED, "horizon": 1.0, "noise": MEASURED, "parts": "a@1"}
    below = Atlas(pd.DataFrame([row]).set_index("spec"))
    for noise, parts in ((MEASURED, "a@2"), (None, "a@1 a@2")):
        own = {**row, "horizon": 2.0, "noise": noise, "parts": "a@2"}
        table = below.under(Atlas(pd.DataFrame([own]).set_index("spec"))).table
        assert table.loc[TWO[0], ["horizon", "noise", "parts"]].tolist() == [2.0, MEASURED, parts]


def test_what_comes_with_the_program_tells_every_number_or_why_there_is_none() -> None:
    atlas = charted()
    assert atlas.table.index.is_unique and atlas.date >= "2026-11-26"
    for name, probe in PROBES.items():
        said = atlas.table[name]
        assert said.notna().all(), "a function was not asked"
        measured = atlas.table.loc[said[said == MEASURED].index]
        main = probe.main().name
        assert measured[main].notna().all() and measured[f"{name}_on"].notna().all()
        assert (measured[f"{main}_low"] <= measured[main]).all()
        assert (measured[main] <= measured[f"{main}_high"]).all()


def test_a_call_for_some_keeps_what_others_measured_beside_the_store(
    store: Store, tmp_path: Path, few: None
) -> None:
    """One for all replaces the table: what it does not know is gone."""
    earlier = {"spec": TWO[0], "chaos": MEASURED, "horizon": 9.0, "parts": "a@1"}
    own = pd.DataFrame([{"spec": TWO[1], "noise": MEASURED, "noise_borne": 1.5, "parts": "a@1"}])
    assert with_earlier(store, own) is own
    pd.DataFrame([earlier]).to_parquet(store.path.with_suffix(SUMMARY))
    found = with_earlier(store, own).set_index("spec")
    assert found.at[TWO[0], "horizon"] == 9.0 and found.at[TWO[1], "noise_borne"] == 1.5
    assert not survey.surveyed(["chaos"]).whole and survey.surveyed().whole
    assert not survey.surveyed((), TWO[0]).whole


def test_all_that_is_known_is_written_without_a_run(cli: Cli, tmp_path: Path) -> None:
    target, own = tmp_path / "all.csv", tmp_path / "runs.atlas.parquet"
    earlier = {"spec": TWO[1], "noise": MEASURED, "noise_borne": 1.5, "parts": ""}
    pd.DataFrame([earlier]).to_parquet(own)
    cli("--probe", "chaos", "--minutes", "0", "--output", str(target))
    assert pd.read_parquet(own).set_index("spec").at[TWO[1], "noise_borne"] == 1.5
    found = pd.read_csv(target).set_index("spec")
    known = charted().table.loc[TWO[0], "horizon"]
    assert found.at[TWO[0], "horizon"] == pytest.approx(known)
    assert ids(open_store(tmp_path / "runs.duckdb")) == []
