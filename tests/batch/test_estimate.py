"""How long runs are said to take: what a step costs, how many are taken, what waits."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from experiments_db import claims
from experiments_db.cli.sweep import foreseen
from experiments_db.run.request import request
from experiments_db.store import Store
from experiments_db.sweeps import Budget, Pace, Work, expanded, of_text, preview, questions
from experiments_db.sweeps.estimate import FAR, HALVED, STORED, kind, taken

NAMES = ("pairs", "seq_len", "vocab_size", "d_model", "depth", "heads", "mlp", "batch_size")
FIRST = (8, 64, 256, 64, 1, 1, 0, 32)
MEASURED = {
    "gated-deltanet": {
        FIRST: 0.0385,
        (8, 32, 32, 16, 1, 1, 0, 32): 0.0098, (16, 128, 1024, 64, 1, 2, 0, 32): 0.0558,
        (32, 128, 8192, 32, 1, 1, 0, 16): 0.0362, (64, 256, 130, 64, 1, 1, 0, 32): 0.0969,
        (64, 256, 8192, 64, 1, 1, 0, 32): 0.2799, (8, 128, 18, 128, 2, 1, 2, 32): 0.3385,
        (64, 256, 8192, 128, 2, 2, 0, 32): 0.8387,
    },
    "linear-attention": {
        FIRST: 0.0223,
        (8, 32, 32, 16, 1, 1, 0, 32): 0.0070, (16, 128, 1024, 64, 1, 2, 0, 32): 0.0516,
        (32, 128, 8192, 32, 1, 1, 0, 16): 0.0330, (64, 256, 130, 64, 1, 1, 0, 32): 0.0650,
        (64, 256, 8192, 64, 1, 1, 0, 32): 0.2328, (8, 128, 18, 128, 2, 1, 2, 32): 0.2370,
        (64, 256, 8192, 128, 2, 2, 0, 32): 0.6944,
    },
}  # fmt: skip
"""Processor seconds of a training step in the standard frame, on one thread, once (2026-11-27)."""

PLAN = """
layers: [gated-deltanet, gla]
tasks: {{name: mqar, pairs: 2, seq_len: 16, vocab_size: 64}}
train: {{steps: 400, lr: {lr}, target: none}}
seeds: [0, 1]
"""


def config_of(layer: str, sizes: tuple[int, ...], **more: Any) -> dict[str, Any]:
    given = dict(zip(NAMES, sizes, strict=True)) | more
    return request(layer=layer, frame="standard", sets=given).config()


def work_of(lr: str) -> Work:
    return expanded(*of_text(PLAN.format(lr=lr)))


@pytest.mark.parametrize("layer", MEASURED)
def test_a_step_of_another_size_is_estimated_within_a_half(layer: str) -> None:
    """From one run, over 86 times the seconds; by tokens and width alone .24 to 2.2 of it."""
    first = kind(config_of(layer, FIRST))
    pace = Pace()
    pace.add(first, MEASURED[layer][FIRST] * first.steps)
    for sizes, seconds in MEASURED[layer].items():
        asked = kind(config_of(layer, sizes))
        found = (pace.seconds(asked) or 0.0) / (asked.steps + asked.ends)
        assert found / seconds == pytest.approx(1, abs=0.5), sizes


def test_the_vocabulary_is_counted_by_itself() -> None:
    """It takes a slow layer no longer than a fast one."""
    small, large = (kind(config_of("gla", (*FIRST[:2], n, *FIRST[3:]))) for n in (256, 8192))
    assert small.work == large.work and large.shared == pytest.approx(32 * small.shared)
    added = []
    for seconds in (0.02, 0.2):
        pace = Pace()
        pace.add(small, seconds * small.steps)
        added.append((pace.seconds(large) or 0.0) - (pace.seconds(small) or 0.0))
    steps = large.steps + large.ends
    assert added[0] == pytest.approx(added[1]) == pytest.approx(31 / 32 * large.shared * steps)
    assert large.shared == pytest.approx(2.5e-11 * 6 * 32 * 8 * 8192 * 64)


def test_what_was_flat_early_says_nothing_of_the_steps_of_another_setting() -> None:
    config = config_of("gla", FIRST, steps=1000, lr=0.01)
    pace = Pace([({**config, "seed": 1}, 13.2, 132.0)])
    same, slower = kind(config), kind(config_of("gla", FIRST, steps=1000, lr=0.003))
    for one in (same, slower):
        assert pace.seconds(one) == pytest.approx(0.1 * (132 + one.ends)) and pace.settles(one)
    for more in ({"pairs": 4}, {"steps": 999}, {"lr": "auto"}):
        given = {"steps": 1000, **more}
        other = kind(config_of("gla", FIRST, **given))
        least = 0.9 * 0.1 * other.steps
        assert (pace.seconds(other) or 0) > least and not pace.settles(other), more


def test_all_rates_of_a_run_count(store: Store, stored: Callable[..., None]) -> None:
    run = work_of("auto").runs[0]
    rates = [{"lr": 0.01, "steps": 50}, {"lr": 0.001, "steps": 150}]
    tables = {"learning_rates": rates}
    cost = {"cpu_seconds": 30.0}
    stored(run, 0.5, seconds=99.0, steps=150, metrics=cost, tables=tables, lrs_tried=[0.01, 0.001])
    assert [found[1:] for found in questions.past(store, {"mqar"})] == [(40.0, 200.0)]
    assert taken({"steps": 150, "tables": tables}) == 200 and taken({"steps": 7}) == 7
    assert run.kind.steps == 400 * HALVED


def test_only_a_run_of_about_its_size_knows_another() -> None:
    small = kind(config_of("gla", FIRST))
    pace = Pace()
    pace.add(small, 1.0)
    large = kind(config_of("gla", (8, 64 * 16, *FIRST[2:])))
    assert large.work > FAR * small.work and not pace.knows(large) and pace.knows(small)
    assert pace.seconds(large) is not None, "it is estimated all the same"
    pace.add_trial(large, 0.5)
    assert pace.knows(large) and not pace.settles(large)
    assert pace.told == "1 past run and 1 trial of a few steps"


def test_a_claim_of_a_large_model_is_tried_before_it_is_run(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("experiments_db.sweeps.trial._step_seconds", lambda experiment: 0.9)
    work, known = work_of("0.01"), Pace()
    known.add(work.runs[0].kind, 1.0)
    ahead = foreseen(store, work, 1, False, (), False, Budget(), known)
    assert "trying 2 runs for a few steps" in capsys.readouterr().err, "those of the other layer"
    (gla,) = {run.kind for run in work.runs if run.layer == "gla" and run.experiment.seed == 0}
    assert ahead.pace.seconds(gla) == pytest.approx(0.9 * (400 + gla.ends), rel=0.05)
    assert "(at most: many end earlier, when they are flat)" in ahead.lines()[-1]
    idle = foreseen(store, work, 1, False, (), False, Budget(seconds=0), Pace())
    assert not idle.pace.trials, "not for a budget of nothing"


def test_what_others_took_says_beside_the_most_what_is_likely(store: Store) -> None:
    work, pace = work_of("0.01"), Pace()
    run = work.runs[0].kind
    pace.add(replace(run, names=("elsewhere", "elsewhere", *run.names[2:])), 100.0, run.steps / 4)
    assert not pace.settles(run) and pace.guessed([run]) < 0.35
    said = preview(store, work, 1, pace=pace).lines()[-1]
    found = re.search(r"Estimate: (\d+) min .*flat; (\d+) min where they are as early", said)
    assert found, said
    assert int(found[2]) == pytest.approx(pace.guessed([run]) * int(found[1]), abs=1)
    pace.add(run, 100.0, run.steps / 4)
    assert pace.settles(run) and pace.guessed([run]) == 1.0
    assert Pace().guessed([run]) == 1.0


def test_the_wait_for_the_store_takes_no_processor(store: Store) -> None:
    work, pace = work_of("0.01"), Pace()
    for run in work.runs:
        pace.add(run.kind, 100.0 * run.kind.steps / (run.kind.steps + run.kind.ends))
    kinds = [run.kind for run in work.runs]
    assert pace.processor(kinds) == (pytest.approx(400), 0)
    for jobs, cores, seconds in ((1, None, 400 + 4 * STORED), (4, None, 100 + STORED),
                                 (4, 2, 200 + STORED), (64, 2, 200 + STORED)):  # fmt: skip
        assert pace.total(kinds, jobs, cores)[0] == pytest.approx(seconds)
    told = preview(store, work, 1, pace=pace).lines()[-1]
    assert "7 min with 1 job, 7 min of processor in all" in told and "at most" not in told


def test_a_claim_takes_in_no_runs_that_it_does_not_use(store: Store) -> None:
    assert claims.with_evidence(store, claims.named_claims("delta-rule"), "quick") == []
    assert not store.path.exists()
    for scale, count in (("quick", 2), ("paper", 8)):
        (said,) = claims.with_evidence(store, claims.named_claims("parity"), scale)
        assert said.startswith(f"{count} runs are taken in from ")
    assert claims.with_evidence(store, claims.named_claims("all"), "paper") == []
