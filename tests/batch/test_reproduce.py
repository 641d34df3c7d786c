"""Claims are judged by their runs: what holds, what does not, what nobody knows yet."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import ttr_core as ttr
from experiments_db import claims
from experiments_db.claims import Word
from experiments_db.claims.figure3 import CLAIMS as FIGURE_3
from experiments_db.claims.found import Found, without_run, work_of
from experiments_db.claims.intervals import Interval
from experiments_db.claims.kept import unpacked
from experiments_db.claims.party import Party
from experiments_db.claims.ranking import Duel, Entrant, Ranking
from experiments_db.cli import app
from experiments_db.run.request import config_hash
from experiments_db.store import Store, open_store
from experiments_db.sweeps import as_stored
from ttr_core.tools import EXACT, IDENTITIES, Equality, growth

Cli = Callable[..., Any]


@pytest.mark.parametrize("identity", IDENTITIES, ids=lambda one: one.name)
def test_an_identity_of_the_paper_holds(identity: Equality) -> None:
    assert all(identity.error(seed) <= EXACT for seed in range(3))


def test_an_identity_that_is_none_does_not_hold() -> None:
    found, wanted = IDENTITIES[0].sides(0)
    false = replace(IDENTITIES[0], sides=lambda seed: (found, 1.001 * wanted))
    assert false.error() > 1e-4


class Made(Found):
    """Runs whose metrics are given."""

    def __init__(self, errors: Mapping[str, list[float]]) -> None:
        self.contenders = {label: Party(label, {}) for label in errors}
        self.runs = {label: pd.DataFrame({"run_id": [""] * len(e)}) for label, e in errors.items()}
        self._errors = errors

    @property
    def cpu_seconds(self) -> float:
        return 0.0

    def metric(self, label: str, name: str) -> pd.Series:
        return pd.Series(self._errors[label])


GOOD, BAD, WILD = [1.0, 1.1, 0.9], [10.0, 11.0, 9.0], [1000.0, 0.001, 1.0]


def verdict(errors: Mapping[str, list[float]], higher: bool = False) -> claims.Ruling:
    """Judges that everything whose name is in capitals is better than everything else."""
    pairs = tuple(
        Duel(Entrant(a, "error"), Entrant(b, "error"))
        for a in errors
        for b in errors
        if a.isupper() and not b.isupper()
    )
    claim = Ranking("one", "One.", "ours", asked=lambda labels: pairs, higher=higher)
    return claim.judged(Made(errors), "quick").verdict


def test_the_bound_of_the_paper_holds_and_a_smaller_one_does_not() -> None:
    norms = growth(length=64)
    assert all(one.exact <= one.bound for one in norms)
    assert any(one.exact > 0.02 * one.bound for one in norms), (
        "a bound that is never near says little"
    )
    early, late = norms[0], norms[-1]
    assert late.summed / early.summed > 0.5 * late.step / early.step


def test_the_stability_claim_fails_where_the_bound_does(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = claims.CLAIMS["stability-bound"]
    found = Made({})
    assert claim.judged(found, "quick").verdict.word is Word.HOLDS
    less = [one._replace(bound=0.9 * one.exact) for one in growth()]
    monkeypatch.setattr("experiments_db.claims.equalities.growth", lambda seed: less)
    verdict = claim.judged(found, "quick").verdict
    assert verdict.word is Word.FAILS and "not every step" in verdict.said


@pytest.mark.parametrize("claim", claims.FAMILIES["literature"], ids=lambda claim: claim.name)
@pytest.mark.parametrize("scale", claims.SCALES)
def test_what_is_published_stands_beside_ours_without_a_verdict(
    claim: claims.Thesis, scale: claims.Scale
) -> None:
    ours = Made({one.label: [0.5, 0.6, 0.7] for one in claim.contenders(scale)})
    found = claim.judged(ours, scale)
    assert found.verdict.word is Word.REDUCED and "here it is one" in found.verdict.said
    assert set(found.table["ours"].round(2)) == {0.6}
    assert found.table.drop(columns=["layer", "ours", "± 95 %", "n"]).max(axis=None) <= 1


def test_without_the_convolution_is_the_same_frame_otherwise() -> None:
    plans = {
        one.label: one.plan for one in claims.CLAIMS["one-short-convolution"].contenders("quick")
    }
    (run,) = {plan["model"]["frame"] for plan in plans.values()} - {"paper"}
    ((_, bare),) = ttr.ModelConfig(layers=("deltanet",), frame=run).regressions()
    assert replace(bare, conv=2) == ttr.FRAMES["paper"] and bare.conv == 0


def test_a_ranking_is_judged_by_its_comparisons() -> None:
    assert verdict({"A": GOOD, "b": BAD}).word is Word.HOLDS
    assert verdict({"A": BAD, "b": GOOD}).word is Word.FAILS
    assert verdict({"A": BAD, "b": GOOD}, higher=True).word is Word.HOLDS
    assert verdict({"A": GOOD, "b": WILD}).word is Word.OPEN
    assert verdict({"A": [1.0], "b": [2.0]}).word is Word.OPEN, "one seed says nothing of spread"
    part = verdict({"A": GOOD, "B": [2.0, 2.2, 1.8], "b": [1.5, 1.6, 1.4], "c": BAD})
    assert part.word is Word.PART and part.said.endswith("The plainest: B 2, b 1.5.")
    only = verdict({"A": GOOD, "B": [20.0, 21.0, 22.0], "b": BAD})
    assert only.word is Word.IF and only.said.startswith(
        "B is left out. 1 of 2 comparisons agree, 1 say"
    )
    noisy = verdict({"A": GOOD, "B": [20.0, 21.0, 22.0], "C": WILD, "b": BAD})
    assert (
        noisy.word is Word.IF
        and "B and C are left out" in noisy.said
        and "1 within the noise." in noisy.said
    )


def test_an_interval_is_that_of_student() -> None:
    one = Interval.of([1.0, 2.0, 3.0])
    assert one.mean == 2.0 and one.half == pytest.approx(4.302653 / 3**0.5, rel=1e-6)
    assert Interval.of([0.0, 2.0] * 6).half == pytest.approx(
        2.200985 * (12 / 11 / 12) ** 0.5, rel=1e-6
    )
    assert Interval.of([0.0, 2.0] * 50).half == pytest.approx(
        1.984217 * (100 / 99 / 100) ** 0.5, rel=1e-6
    )
    assert Interval.of([1.0, 1.1]).above_zero == (1.05 - 12.7062 * 0.05 > 0)


@pytest.mark.parametrize("scale", claims.SCALES)
def test_every_claim_can_be_planned(scale: claims.Scale) -> None:
    assert len(set(claims.CLAIMS)) == sum(map(len, claims.FAMILIES.values()))
    labels = [one.label for claim in claims.CLAIMS.values() for one in claim.contenders(scale)]
    assert labels
    for claim in claims.CLAIMS.values():
        own = [one.label for one in claim.contenders(scale)]
        assert len(own) == len(set(own)), claim.name
        assert all(work_of(one).runs for one in claim.contenders(scale))


def test_what_is_reduced_gets_no_verdict() -> None:
    claim = FIGURE_3[0]
    solved = Made({one.label: [1.0] for one in claim.contenders("quick")})
    assert claim.judged(solved, "quick").verdict.word is Word.REDUCED
    assert _recalled([1.0] * 6).word is Word.HOLDS
    assert _recalled([0.95] * 6).word is Word.FAILS
    assert _recalled([0.1] * 6).word is Word.OPEN, "what stands at chance may not have begun"
    assert _recalled([1.0] * 3 + [0.95] * 3).word is Word.PART


class Trained(Made):
    """Accuracies after trainings of which some were not flat when their steps were used up."""

    def __init__(self, errors: Mapping[str, list[float]], rising: bool) -> None:
        super().__init__(errors)
        self._rising = float(rising)

    def metric(self, label: str, name: str) -> pd.Series:
        values = super().metric(label, name)
        return values * 0 + self._rising if name == "still_rising" else values


def _recalled(accuracies: list[float], rising: bool = False) -> claims.Ruling:
    """Judges "with as many pairs as dimensions", its settings in order."""
    claim = FIGURE_3[0]
    labels = [one.label for one in claim.contenders("paper")]
    errors = {label: [x] * 3 for label, x in zip(labels, accuracies, strict=True)}
    return claim.judged(Trained(errors, rising), "paper").verdict


def test_a_training_that_still_rises_settles_nothing_and_one_that_is_solved_does() -> None:
    rising = _recalled([0.5] * 6, rising=True)
    assert rising.word is Word.OPEN and rising.said.count("and still rises") == 6
    assert _recalled([0.9985] * 6).word is Word.OPEN, "nearer than a flat curve tells"
    assert _recalled([1.0] * 6, rising=True).word is Word.HOLDS
    part = _recalled([1.0] * 5 + [0.5], rising=True)
    assert part.word is Word.PART and part.said.startswith("As claimed in 5 of 6 settings; not ")


def test_a_claim_takes_a_run_from_whatever_device_it_was_made_on(
    store: Store, stored: Callable[..., None]
) -> None:
    (party,) = (FIGURE_3[0].contenders("quick")[0],)
    (run,) = work_of(party).runs
    assert without_run(store, [run]) == {run.config_hash}
    elsewhere = "cpu" if run.experiment.device == "cuda" else "cuda"
    config = {**run.config, "device": elsewhere}
    stored(replace(run, experiment=replace(run.experiment, device=elsewhere), config=config), 0.5)
    assert not without_run(store, [run])
    (found,) = as_stored(store, [run])
    assert found.config_hash == config_hash(config) != run.config_hash
    assert Found(store, [party]).missing == 0
    stored(run, 0.6)
    assert as_stored(store, [run]) == [run], "one of this device is taken first"


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs the command in this process, with a store and a folder of its own."""
    monkeypatch.setenv("TTR_DB", str(tmp_path / "runs.duckdb"))
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, code: int = 0) -> Any:
        result = CliRunner().invoke(app, ["reproduce", *arguments])
        assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
        return result

    return invoke


def _small(scale: claims.Scale) -> tuple[Party, ...]:
    task = {"name": "regression", "seq_len": "16", "dim": "4", "sequences": "4"}
    layers = {"EXACT": "Uniform | Linear | Exact", "sum": "Uniform | Linear | Hebbian"}
    return tuple(
        Party(label, {"specs": [spec], "tasks": [task], "seeds": ["0", "1", "2", "3"]})
        for label, spec in layers.items()
    )


def test_a_claim_is_run_judged_drawn_and_not_run_again(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (Duel(Entrant("EXACT", "error"), Entrant("sum", "error")),)
    claim = Ranking(
        "small", "Small.", "ours", runs=_small, asked=lambda labels: asked, curve="error"
    )
    monkeypatch.setitem(claims.FAMILIES, "recall", (claim,))
    first = json.loads(cli("recall", "--budget", "0", "--json").stdout)
    assert (first["claims"][0]["verdict"], first["claims"][0]["missing"]) == ("not settled", 8)
    done = json.loads(cli("recall", "--json").stdout)["claims"][0]
    assert done["missing"] == 0 and done["n"] == 4 and done["verdict"] != "not settled"
    folder = tmp_path / "reproduced"
    assert {path.name for path in folder.iterdir()} == {
        "report.md", "claims.csv", "findings.json.gz", "small.csv", "small.svg", "small.png",
    }  # fmt: skip
    kept = unpacked((folder / "findings.json.gz").read_bytes())
    assert kept.findings["small"].verdict.word == done["verdict"]
    assert kept.charts["small"]["layer"] and len(kept.times) == 2
    assert "Small." in (folder / "report.md").read_text(encoding="utf-8")
    again = cli("recall")
    assert "8 are in the store" in again.stderr and "finished" not in again.stderr
    with open_store(tmp_path / "runs.duckdb").open() as connection:
        assert connection.execute(
            "SELECT count(*) FROM runs WHERE task = 'regression'"
        ).fetchone() == (8,)


def test_what_cannot_be_is_said_before_anything_runs(cli: Cli, tmp_path: Path) -> None:
    assert "Did you mean 'identities'" in cli("identity", code=2).stderr
    assert "Did you mean 'paper'" in cli("--scale", "papr", code=2).stderr
    (tmp_path / "file").touch()
    assert "Cannot write to" in cli("identities", "--output", "file/in", code=1).stderr
    assert not (tmp_path / "runs.duckdb").exists()


def test_identities_are_reported(cli: Cli, tmp_path: Path) -> None:
    cli("identities", "--output", "here")
    table = pd.read_csv(tmp_path / "here/claims.csv")
    assert table["verdict"].tolist() == ["holds"] * len(claims.FAMILIES["identities"])


def test_derivatives_are_taken_in_float64() -> None:
    found, wanted = IDENTITIES[0].sides(0)
    assert found.dtype == wanted.dtype == torch.float64
