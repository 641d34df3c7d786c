"""Plans: what is valid, what it amounts to, and how a wrong one is refused."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import ttr_core as ttr
from experiments_db.cli import app
from experiments_db.sweeps import Pace, Work, expansion, in_words, plan_file, values
from experiments_db.sweeps.plan import TOP, checked, load
from ttr_core.errors import RequestError
from ttr_core.solvers import caution

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(
    path
    for path in (ROOT / "examples").glob("*.yaml")
    if "batch.py search" not in path.read_text()  # the plan of a search (test_search.py)
)
LAYER, OTHER = list(ttr.catalog)[:2]
TASK = "tasks: {name: mqar, pairs: 2, seq_len: 16, vocab_size: 64}\n"


def work(plan: str, *sets: str) -> Work:
    return expansion.expanded(*checked(*plan_file.plan_of(plan, "plan.yaml"), sets))


def said(plan: str, *sets: str) -> str:
    with pytest.raises(RequestError) as refused:
        work(plan, *sets)
    return str(refused.value)


# ---- what a plan amounts to


def test_every_combination_is_there_once() -> None:
    plan = f"""
        layers: [{LAYER}, {{name: mesa-layer, ridge: [0.1, 1]}}]
        specs:
          - spec: "{{weights}} | Linear | SGD"
            weights: [Uniform, Gate]
        tasks: {{name: mqar, pairs: [2, 3], seq_len: 16, vocab_size: 64}}
        train: {{lr: [1e-3, 1e-2], steps: 3}}
        seeds: [0, 7]
    """
    runs = work(plan).runs
    assert len(runs) == 5 * 2 * 2 * 2 == len({run.config_hash for run in runs})
    assert [run.experiment.seed for run in runs[:20]] == [0] * 20, "seed by seed"
    assert {run.layer for run in runs} == {
        LAYER, "mesa-layer", "Uniform | Linear | Exact(ridge=0.1)", "Uniform | Linear | SGD",
        "Gate | Linear | SGD",
    }  # fmt: skip
    assert {run.experiment.train.lr for run in runs} == {0.001, 0.01}
    assert str(runs[0]) == f"{LAYER} · mqar pairs=2 · lr=1e-3 · seed 0"
    assert runs[0].config == runs[0].experiment.config()


def test_a_task_without_training_is_not_multiplied_by_the_training() -> None:
    plan = f"layers: {LAYER}\ntasks: [regression, mqar]\nmodel: {{d_model: [16, 32]}}\n"
    assert len(work(plan + "train: {lr: [1e-3, 1e-2]}\n").runs) == 1 + 4
    for more in ("model: {d_model: 16}", "train: {lr: 0.1}"):
        with pytest.raises(RequestError, match="no task of this plan trains anything"):
            work(f"layers: {LAYER}\ntasks: regression\n{more}\n")


def test_what_is_asked_for_twice_is_run_once() -> None:
    found = work(f"layers: [{LAYER}, {LAYER}]\n{TASK}seeds: [0, 0, 1]\n")
    assert (len(found.runs), found.repeated) == (2, 4)


def test_all_is_the_catalog_without_what_the_task_cannot_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fast = {name for name, entry in ttr.catalog.items() if not caution(entry.spec)}
    assert {run.layer for run in work("layers: all\n" + TASK).runs} == fast
    slow = ttr.catalog[OTHER].spec
    monkeypatch.setattr("experiments_db.run.request.caution", {slow: "it is slow"}.get)
    found = work("layers: all\n" + TASK)
    assert f"{OTHER} on mqar" in dict(found.left_out)
    assert OTHER not in {run.layer for run in found.runs}
    assert "too slow" in said(f"layers: [{OTHER}]\n{TASK}"), "what is named is not left out"


def test_a_sample_is_the_same_again_and_has_every_seed() -> None:
    plan = "layers: all\ntasks: {name: mqar, pairs: {from: 1, to: 2}}\nseeds: [0, 1]\n"
    whole = {run.config_hash for run in work(plan).runs}
    first, again, other = (
        [run.config_hash for run in work(plan, "sample.count=5", f"sample.seed={seed}").runs]
        for seed in (0, 0, 1)
    )
    assert first == again != other
    assert len(first) == 10 and set(first) < whole


def test_a_sample_is_drawn_from_a_grid_that_is_never_made() -> None:
    axes = "{" + ", ".join(f"{n}: {{from: 1, to: 9000}}" for n in ("steps", "batch_size")) + "}"
    assert len(work(f"layers: {LAYER}\n{TASK}train: {axes}\nsample: {{count: 3}}\n").runs) == 3


@pytest.mark.parametrize(
    ("raw", "numbers"),
    [
        ({"from": 1, "to": 4}, "1 2 3 4"),
        ({"from": 0, "to": 1, "step": 0.25}, "0 0.25 0.5 0.75 1"),
        ({"from": 4, "to": 32, "count": 4, "scale": "log"}, "4 8 16 32"),
        ({"from": "1e-4", "to": "1e-2", "count": "3", "scale": "log"}, "0.0001 0.001 0.01"),
    ],
)
def test_ranges(raw: dict[str, Any], numbers: str) -> None:
    assert values.texts(values.Range.model_validate(raw)) == tuple(numbers.split())


# ---- --set


def test_set_replaces_what_the_plan_says() -> None:
    plan = f"layers: [{LAYER}]\ntasks: [mqar, regression]\nprotocol: standard\ndevice: cpu\n"
    assert len(work(plan).runs) == 3 * 2
    sets = (
        "protocol=quick", "seeds=4,5", "pairs=2,3", "seq_len=16", "layers=mesa-layer",
        "layer.ridge=0.1,0.2", "lr=0.01", "tags=a",
    )  # fmt: skip
    runs = work(plan, *sets).runs
    assert len(runs) == 2 * (2 + 1) * 2
    assert {run.experiment.seed for run in runs} == {4, 5}
    assert {run.config["task"].get("pairs") for run in runs} == {2, 3, None}
    assert len(work(plan, "layers=all", "protocol=quick", "sample.count=3").runs) == 3


@pytest.mark.parametrize(
    ("setting", "fix"),
    [("pears=3", "task.pairs"), ("pairs", "key=a,b,c"), ("sample.cuont=3", "count"),
     ("layers=delta-net", "deltanet"), ("protocol=standrad", "standard"), ("seeds=x", "whole"),
     ("seed=1", "seeds")],
)  # fmt: skip
def test_a_wrong_set_names_the_fix(setting: str, fix: str) -> None:
    assert fix in said(f"layers: {LAYER}\n{TASK}", setting)


# ---- the protocol of comparisons


def test_the_standard_protocol_tries_every_rate_in_each_run() -> None:
    plan = f"layers: {LAYER}\n{TASK}train: {{steps: 3}}\nprotocol: standard\n"
    runs = work(plan).runs
    assert [run.experiment.seed for run in runs] == [0, 1, 2]
    for run in runs:
        train = run.experiment.train
        assert (train.lr, train.protocol, train.stops_at_target) == ("auto", "standard", False)
    for wrong, fix in (
        ("lr: [0.1]", "remove train.lr"),
        ("seconds: 3", "train.steps"),
        ("protocol: quick", "at the top"),
    ):
        assert fix in said(plan.replace("steps: 3", wrong))
    assert "[0, 1, 2]" in said(plan + "seeds: [0, 1]\n")


def test_a_stack_is_one_model_of_several_layers() -> None:
    plan = f"""
        stacks:
          - [{LAYER}, {OTHER}]
          - ["Gate | Linear | SGD", {LAYER}]
          - [{LAYER}, {OTHER}, {LAYER}]
        tasks: {{name: mqar, pairs: [2, 3], seq_len: 16, vocab_size: 64}}
        seeds: [0, 1]
    """
    runs = work(plan).runs
    assert len(runs) == 3 * 2 * 2 == len({run.config_hash for run in runs})
    two, mixed, three = (run.experiment.model for run in runs[0:6:2])
    assert (two.layers, two.depth, two.frame) == ((LAYER, OTHER), 2, "published")
    assert (mixed.layers[1], mixed.frame) == (LAYER, "standard"), "a spec has no published frame"
    assert three.depth == 3 and runs[0].layer == f"{LAYER}, {OTHER}"
    assert {run.experiment.model.depth for run in work(plan + "    model: {depth: 6}\n").runs} == {
        6
    }
    assert "raise model.depth" in said(plan + "    model: {depth: 1}\n")


# ---- refusals


WRONG = {
    "unknown key": (f"layers: {LAYER}\n{TASK}taggs: [a]\n", 3, "'tags'"),
    "unknown setting": (f"layers: {LAYER}\ntasks:\n- name: mqar\n  pears: 3\n", 4, "'pairs'"),
    "unknown option": (f"{TASK}layers:\n- name: mesa-layer\n  rigde: 3\n", 4, "'ridge'"),
    "unknown training": (f"layers: {LAYER}\n{TASK}train:\n  stesp: 3\n", 4, "'steps'"),
    "unknown layer": (f"{TASK}layers:\n- {LAYER}\n- delta-net\n", 4, "'deltanet'"),
    "unknown task": (f"layers: {LAYER}\ntasks: mqra\n", 2, "'mqar'"),
    "unknown ingredient": (f"{TASK}specs:\n- Gaet | Linear | SGD\n", 3, "'Gate'"),
    "no value for a place": (f"{TASK}specs:\n- '{{w}} | Linear | SGD'\n", 3, "{w}"),
    "unknown in a stack": (f"{TASK}stacks:\n- [{LAYER}, delta-net]\n", 3, "'deltanet'"),
    "a stack of one": (f"{TASK}stacks:\n- [{LAYER}]\n", 3, "two layers or more"),
    "no stack": (f"{TASK}stacks: [{LAYER}, {OTHER}]\n", 2, "two layers or more"),
    "range": (f"{TASK}layers: {LAYER}\nseeds: {{from: 3, to: 1}}\n", 3, "below"),
    "range key": (f"{TASK}layers: {LAYER}\nseeds: {{from: 3, too: 4}}\n", 3, "'to'"),
    "range size": (f"{TASK}layers: {LAYER}\nseeds: {{from: 0, to: 1e12}}\n", 3, "10,000"),
    "no task": (f"layers: {LAYER}\n", 1, "tasks"),
    "no layer": (TASK, 1, "layers: all"),
    "seed": (f"{TASK}layers: {LAYER}\nseeds: [-1]\n", 3, "from 0 to"),
    "repeated key": (f"{TASK}layers: {LAYER}\nlayers: {LAYER}\n", 3, "second time"),
    "alias": (f"{TASK}layers: &a [{LAYER}]\n", 2, "anchors"),
    "merge": (f"layers: {LAYER}\ntasks:\n- name: mqar\n  <<: *a\n", 4, "aliases"),
    "tag": (f"{TASK}layers: !!python/object:os.system [ls]\n", 2, "tags"),
    "not YAML": (f"{TASK}layers: [{LAYER}\n", 3, "not YAML"),
    "second document": (f"{TASK}layers: {LAYER}\n---\na: 1\n", 3, "one plan"),
    "not keys": ("- a\n", 1, "list of keys"),
    "deep": (f"{TASK}layers: {'[' * 40}{']' * 40}\n", 2, "deep"),
    "too many runs": (f"{TASK}layers: all\nseeds: {{from: 1, to: 9999}}\n", 1, "at most 10,000"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_plan_names_its_line_and_the_fix(case: str) -> None:
    plan, line, fix = WRONG[case]
    message = said(plan)
    assert f"plan.yaml, line {line}: " in message and fix in message, message


def test_runs_that_cannot_be_made_are_counted_and_located() -> None:
    plan = f"layers: [{LAYER}, {OTHER}]\n\ntasks:\n- {{name: mqar, pairs: [2, 99], seq_len: 16}}\n"
    message = said(plan)
    assert "2 of 4 configurations" in message
    assert "line 1 and line 4" in message and "pairs=99" in message
    assert "raise seq_len or lower pairs" in message and "1 more for the same reason" in message


def test_many_parts_are_refused_before_they_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_file, "MAX_PARTS", 100)
    assert "parts" in said(f"{TASK}seeds: [{'0, ' * plan_file.MAX_PARTS}0]\n")


PLAIN = st.sampled_from(
    ["layers", "specs", "tasks", "train", "seeds", "sample", "name", "spec", "mqar", "pairs", "lr",
     "from", "to", "count", "scale", "log", "all", LAYER, "Gate | Linear | SGD", "{w} | Constant",
     "0", "3", "-1", "1e9", "nan", "inf", "", "auto", "standard", "~", "x"]
)  # fmt: skip
TREES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3)
)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(TOP), TREES, max_size=5), st.text(max_size=30))
def test_any_text_is_a_plan_or_a_clear_refusal(tree: dict[str, Any], noise: str) -> None:
    valid = {"layers": LAYER, "tasks": {"name": "mqar", "pairs": "2"}}
    written = yaml.safe_dump({**valid, **tree})
    for plan in (written, written[: len(written) // 2] + noise, noise):
        try:
            work(plan)
        except RequestError as refused:
            assert str(refused).startswith("plan.yaml")


# ---- the command


def command(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["sweep", *arguments])
    assert result.exit_code == code, f"{result.stdout}\n{result.stderr}\n{result.exception!r}"
    return result


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_plans(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What a trial of every layer finds has a test of its own; here it would take a minute.
    monkeypatch.setattr("experiments_db.sweeps.tried", lambda runs, told, pace: pace)
    db = tmp_path / "runs.duckdb"
    document = json.loads(command(str(path), "--dry-run", "--json", "--db", str(db)).stdout)
    assert document["planned"] == len(document["runs"]) > 1
    assert document["skipped"] == 0 or "\nevidence: " in path.read_text()
    assert not db.exists(), "a dry run leaves nothing behind"


@pytest.mark.parametrize("path", [*EXAMPLES, ROOT / "docs" / "sweeps.md"], ids=lambda p: p.name)
def test_what_the_documents_show_is_valid(path: Path) -> None:
    lines = path.read_text().splitlines()
    for line in (line.lstrip("# ") for line in lines):
        if line.startswith("python batch.py sweep examples/"):
            _, _, _, file, *rest = shlex.split(line)
            sets = [rest[i + 1] for i, word in enumerate(rest) if word == "--set"]
            assert expansion.expanded(*load(ROOT / file, sets)).runs
    if path.suffix == ".md":
        plan = path.read_text().split("```yaml\n")[1].split("```")[0]
        assert len(work(plan).runs) == (2 + 1 + 1 + 2) * (2 * 3 + 1) * 3


def test_a_dry_run_shows_runs_count_and_estimate() -> None:
    shown = command(str(EXAMPLES[0]), "--dry-run", "--jobs", "3").stdout
    assert LAYER in shown and "to run" in shown and "No estimate" in shown and "3 jobs" in shown


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        ([str(EXAMPLES[0]), "--address", "head:6379"], "--executor ray"),
        ([str(EXAMPLES[0]), "--executor", "locl"], "'local'"),
        ([str(EXAMPLES[0]).replace("catalog", "catalgo")], "catalog.yaml"),
        ([str(ROOT)], "cannot be read"),
        ([str(EXAMPLES[0]), "--set", "steps=none"], "a whole number"),
    ],
)
def test_a_wrong_request_is_exit_2_with_the_fix(arguments: list[str], fix: str) -> None:
    assert fix in command(*arguments, "--json", code=2).stderr


def test_without_ray_a_sweep_by_ray_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "experiments_db.run.cluster", raising=False)
    asked = [str(EXAMPLES[0]), "--executor", "ray", "--db", str(tmp_path / "runs.duckdb")]
    assert "pip install 'test-time-regression[ray]'" in command(*asked, code=1).stderr


# ---- the estimate


def test_an_estimate_goes_by_the_closest_runs() -> None:
    plan = f"layers: [{LAYER}, {OTHER}]\n{TASK}train: {{steps: [100, 200]}}\nseeds: [0, 1]\n"
    runs = work(plan).runs
    short, long, other = (replace(run.kind, ends=0.0) for run in runs[:3])
    assert Pace().seconds(short) is None
    pace = Pace([(runs[0].config, 10.0)])
    tested = runs[4].kind
    assert pace.seconds(replace(tested, ends=0.0)) == pytest.approx(10.0)
    assert pace.seconds(tested) == pytest.approx(10.0 * (1 + tested.ends / 100)), "and its tests"
    assert pace.seconds(long) == pytest.approx(20.0), "in proportion to the steps"
    assert pace.seconds(other) == pytest.approx(10.0), "any layer on this task"
    pace.add(other, 30.0)
    assert pace.seconds(other) == pytest.approx(30.0)
    seconds, missing = pace.total([short, short], 2)
    assert (seconds, missing) == (pytest.approx(10.5), 0)
    assert [in_words(s) for s in (3.2, 600, 7000)] == ["3 s", "10 min", "1 h 57 min"]
