"""In what order a plan runs, and what it runs once: settings, cost, layers that are alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import ttr_core as ttr
from experiments_db.cli import app
from experiments_db.read import queries
from experiments_db.read.filters import Conditions
from experiments_db.store import Store, open_store
from experiments_db.sweeps import Pace, Work, expanded, questions, trial, tried
from experiments_db.sweeps.estimate import Kind
from experiments_db.sweeps.plan import checked
from experiments_db.sweeps.plan_file import plan_of
from experiments_db.sweeps.preview import in_order
from ttr_core import RequestError
from ttr_core.lab import Event, Experiment, Progress
from ttr_core.words import defining

SPECS = ("Uniform | Linear | SGD", "Uniform | Linear | Hebbian")
PLAN = f"""
specs: ["{SPECS[0]}", "{SPECS[1]}"]
tasks: {{name: mqar, pairs: [4, 2], seq_len: 16, vocab_size: 64}}
model: {{d_model: [16, 8]}}
train: {{steps: 3}}
"""
LAYERS = """
layers: [{layers}]
tasks: {{name: mqar, pairs: 2, seq_len: 16, vocab_size: 64}}
model: {{frame: [published, standard], d_model: 16}}
alike: first
"""


class Costs(Pace):
    """A pace at which one layer takes longer than another."""

    def seconds(self, run: Kind) -> float | None:
        return 2.0 if "SGD" in run.names[1] else 1.0


def work_of(plan: str) -> Work:
    return expanded(*checked(*plan_of(plan)))


def places(work: Work) -> list[tuple[int, int, str]]:
    return [
        (run.experiment.task.settings()["pairs"], run.experiment.model.d_model, run.layer)
        for run in work.runs
    ]


def test_an_estimate_is_of_the_processor_seconds_that_runs_counted(
    store: Store, stored: Callable[..., None]
) -> None:
    first, second, *_ = work_of(PLAN).runs
    stored(first, 0.5, seconds=900.0, metrics={"cpu_seconds": 3.0})
    stored(second, 0.5, seconds=7.0)
    assert sorted(seconds for _, seconds, _ in questions.past(store, {"mqar"})) == [3.0, 7.0]


def test_a_layer_is_tried_once_and_its_other_kinds_take_their_time_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def seconds(experiment: Experiment) -> float:
        asked.append(str(experiment.model.layers))
        return 0.5

    monkeypatch.setattr("experiments_db.sweeps.trial._step_seconds", seconds)
    runs = work_of(PLAN).runs
    pace = tried(runs)
    assert len(asked) == len(set(asked)) == len(SPECS) < len(runs)
    known = [pace.seconds(run.kind) for run in runs]
    steps = runs[0].kind.steps + runs[0].kind.ends
    assert known[0] == pytest.approx(0.5 * steps), "the first takes what its steps took"
    assert None not in known and len(set(known)) > 1, "others in proportion to their work"


def test_a_trial_counts_warm_steps_as_a_worker_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one thread, and without the first steps, in which much is loaded and made ready."""
    threads: list[int] = []
    clock = iter((100.0, 103.0))
    run = work_of(PLAN).runs[0]

    def told(self: Experiment, stop: Callable[[], bool]) -> Iterator[Event]:
        for step in (5, 10, 15):
            threads.append(torch.get_num_threads())
            yield Progress(step, 3, 1.0, 0.01, tokens_per_second=1.0, seconds=1.0)
            if stop():
                return

    monkeypatch.setattr(Experiment, "run", told)
    monkeypatch.setattr(trial.time, "process_time", lambda: next(clock))
    torch.set_num_threads(2)
    try:
        train = run.experiment.train
        looks = train.eval_examples / (3 * train.eval_every * train.batch_size)
        steps = run.kind.steps + run.kind.ends
        expected = pytest.approx(3.0 / 5 * (1 + looks) * steps)
        assert tried([run]).seconds(run.kind) == expected, "with what looks add to a step"
        assert torch.get_num_threads() == 2, "what others compute with is left as it was"
    finally:
        torch.set_num_threads(1)
    assert threads == [1, 1]


def test_settings_come_in_the_order_of_their_values_and_the_cheapest_first() -> None:
    plain = places(in_order(work_of(PLAN), Costs()))
    assert plain == places(work_of(PLAN)), "without an order the plan's stays"
    found = places(in_order(work_of(f"{PLAN}order: [d_model, pairs, cost]\n"), Costs()))
    named = [(d, pairs) for pairs, d, _ in found]
    assert named == [(d, pairs) for d in (16, 8) for pairs in (4, 2) for _ in SPECS]
    assert ["SGD" in layer for *_, layer in found] == [False, True] * 4


@pytest.mark.parametrize(
    ("order", "said"),
    [("[pears]", "Did you mean 'pairs'"), ("[cost, pairs]", "write `order: \\[pairs, cost\\]`")],
)
def test_an_order_by_nothing_is_refused(order: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        checked(*plan_of(f"{PLAN}order: {order}\n"))


def test_layers_that_are_alike_are_run_once_in_a_frame_that_they_share() -> None:
    names = "qknorm-attention, softmax-attention, gla"
    work = work_of(LAYERS.format(layers=names))
    found = {(run.experiment.layer, run.experiment.model.frame) for run in work.runs}
    own = {(name, "published") for name in names.split(", ")}
    assert found == own | {("softmax-attention", "standard"), ("gla", "standard")}
    assert work.left_out == (
        ("qknorm-attention in the standard frame", "It is the same function as softmax-attention."),
    )
    changed = "{name: gla}, {name: hgrn2}, {name: mesa-layer, ridge: 2}, {name: intention}"
    kept = work_of(LAYERS.format(layers=changed)).left_out
    assert [what for what, _ in kept] == ["hgrn2 in the standard frame"]


def test_the_earliest_of_those_that_are_alike_defines_the_cell() -> None:
    first = defining(ttr.catalog)
    assert [*sorted(first)] == sorted(ttr.catalog)
    for name, of in first.items():
        assert first[of] == of
        assert ttr.catalog[of].paper.year <= ttr.catalog[name].paper.year
    pairs = {(name, of) for name, of in first.items() if name != of}
    assert pairs >= {("hgrn2", "gla"), ("qknorm-attention", "softmax-attention")}
    assert ("intention", "mesa-layer") in pairs


def test_what_follows_comes_next(
    tmp_path: Path, fake_command: Any, monkeypatch: pytest.MonkeyPatch, prompt: Callable[..., Any]
) -> None:
    """A batch that ends early leaves whole rows, not many with one seed each."""
    monkeypatch.setenv("TTR_DB", str(tmp_path / "runs.duckdb"))
    monkeypatch.setattr("experiments_db.run.process.COMMAND", fake_command)
    (tmp_path / "plan.yaml").write_text(f"{PLAN}protocol: tuned\n")
    sweep = ["sweep", str(tmp_path / "plan.yaml"), "--jobs", "1", "--limit"]
    for limit, whole in (("4", 1), ("3", 2)):  # one run is asked for ahead of the one that runs
        result = CliRunner().invoke(app, [*sweep, limit])
        assert result.exit_code == 0, result.stderr
        rows = queries.runs(open_store(tmp_path / "runs.duckdb"), Conditions(), flat=True)
        seeds = rows.groupby(["spec", "task.pairs", "model.d_model"])["seed"].nunique()
        assert (seeds == 3).sum() == whole, seeds
