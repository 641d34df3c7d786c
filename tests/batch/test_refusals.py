"""What makes no sense together is refused before anything is stored, with what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from experiments_db.cli import app
from experiments_db.cli.door import Exit, door
from experiments_db.read import listing
from experiments_db.read.sandbox import QueryError
from experiments_db.run.gpus import EACH_GPU, runs_per_gpu
from experiments_db.run.request import request
from experiments_db.run.room import IN_ALL, room
from experiments_db.store import Store
from experiments_db.sweeps import of_text
from experiments_db.sweeps.plan import checked
from experiments_db.sweeps.plan_file import plan_of
from ttr_core import RequestError
from ttr_core.lab import TASKS

SPEC = "Gate | Linear | SGD"
TASK = "tasks: {name: mqar, pairs: 2, seq_len: 16, vocab_size: 64}\n"
UNTRAINED = [name for name, one in TASKS.items() if not one.trained]


@pytest.mark.parametrize("task", UNTRAINED)
@pytest.mark.parametrize("key", ["train.lr", "steps", "model.d_model"])
def test_a_task_that_trains_nothing_takes_no_training(task: str, key: str) -> None:
    with pytest.raises(
        RequestError, match=f"{task} trains nothing, .*{key}.* It takes layer"
    ) as it:
        request(spec=SPEC, task=task, sets={key: "8"})
    assert all(f"task.{option.name}" in str(it.value) for option in TASKS[task].options())
    assert request(spec=SPEC, task=task, frame="standard").task.name == task


@pytest.mark.parametrize("key", ["warmup", "eval_every"])
def test_what_begins_after_the_last_step_is_refused(key: str) -> None:
    said = f"train.{key} is 100,000, and the training has 50 steps at most: .*train.{key}=50 or"
    with pytest.raises(RequestError, match=said):
        request(layer="deltanet", sets={key: 100_000, "steps": 50})
    for steps in (1, 50, 100_000):  # the default fits any training
        request(layer="deltanet", sets={"steps": steps})
    request(layer="deltanet", sets={key: 50, "steps": 50})
    with pytest.raises(RequestError, match="has 30 steps at most"):
        request(layer="deltanet", sets={key: 31, "steps": 30})


MISPLACED = {
    f'layers: ["{SPEC}"]': f'put it under `specs:`, as - "{SPEC}"',
    f'layers: [{{name: "{SPEC}", step: 0.5}}]': f'as - {{spec: "{SPEC}", step: ...}}',
    f'layers: [{{spec: "{SPEC}"}}]': "this is a spec, no name of a layer: put it under `specs:`",
    "layers: {weights: Gate, function: Linear, optimizer: SGD}": f'as - {{spec: "{SPEC}"}}',
    "specs: [{weights: Gate, function: Linear, optimizer: SGD, step: 1}]": f'"{SPEC}", step: 1}}',
    "specs: [gla]": "'gla' is the name of a layer, no spec: put it under `layers:`, as - gla.",
    "specs: {name: gla}": "this is a layer by its name, no spec: put it under `layers:`",
}


@pytest.mark.parametrize("plan", MISPLACED)
def test_what_stands_under_the_wrong_key_is_told_where_it_belongs(plan: str) -> None:
    with pytest.raises(RequestError) as refused:
        of_text(f"{plan}\n{TASK}")
    said = str(refused.value)
    assert MISPLACED[plan] in said and said.startswith("plan, line 1: ")
    assert len(said) < 250 and "\n" not in said, "and not with the names of all layers"


def test_a_spec_for_a_name_and_a_name_for_a_spec_are_told_apart() -> None:
    with pytest.raises(RequestError, match=r"Linear \| SGD' is a spec, .* as --spec\.$"):
        request(layer=SPEC)
    with pytest.raises(RequestError, match=r"'gla' is the name of a layer, .* as --layer\.$"):
        request(spec="gla")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("train={lr: 1}", "--set train has no value of its own: give --set train....="),
        ("sample=5", "give --set sample.count="),
        ("layer=gla", "--set layers=..."),
        ("task=words", "--set tasks=..."),
    ],
)
def test_what_a_sweep_cannot_set_is_not_passed_over(given: str, said: str) -> None:
    with pytest.raises(RequestError) as refused:
        checked(*plan_of(f"layers: gla\n{TASK}"), [given])
    assert said in str(refused.value)


@pytest.mark.parametrize("condition", ["", "  "])
def test_an_empty_condition_is_said_to_be_empty(store: Store, condition: str) -> None:
    with pytest.raises(QueryError, match="--where is empty"):
        listing.chosen(store, condition)


UNKIND = {
    "layers: [gla]\ntasks: {mqar: {pairs: 8}}": "the name: write - {name: mqar, pairs: 8}.",
    "layers: [{gla: {map: elu1}}]\ntasks: mqar": "the name: write - {name: gla, map: elu1}.",
    "layers: gla, kda\ntasks: mqar": "several are a list, `layers: [gla, kda]`.",
    "layers:\ntasks: mqar": "`layers` is empty: name at least one",
    "layers: gla\ntasks:": "`tasks` is empty: name at least one",
    "layers: [[gla]]\ntasks: mqar": "it must be keys with values, as {key: value}.",
    "layers: gla\ntasks: mqar\nsample: 5": "it must be keys with values, as {key: value}.",
    "layers: gla\ntasks: mqar\nlr: 0.1": "'lr' is a setting of train: write `train: {lr: ...}`.",
    "layers: gla\ntasks: mqar\nd_model: 8": "is a setting of model: write `model: {d_model",
    "layers: gla\ntasks: mqar\ntags: {a: b}": "it must be a text.",
}


@pytest.mark.parametrize("plan", UNKIND)
def test_a_malformed_plan_is_answered_in_a_line_with_how_it_is_written(plan: str) -> None:
    with pytest.raises(RequestError) as refused:
        of_text(plan)
    said = str(refused.value)
    assert UNKIND[plan] in said and said.startswith("plan, line ")
    assert len(said) < 200 and "\n" not in said and "Entry" not in said


@pytest.mark.parametrize("name", [EACH_GPU, IN_ALL])
@pytest.mark.parametrize("said", ["many", "0", "-1", "9" * 5000])
def test_a_variable_that_says_nonsense_is_a_wrong_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    monkeypatch.setenv(name, said)
    with pytest.raises(typer.Exit) as ended, door():
        runs_per_gpu()
        room()
    assert ended.value.exit_code == Exit.WRONG
    told = capsys.readouterr().err
    assert f"{name} is" in told and "1 or more" in told and len(told) < 250


@pytest.mark.parametrize(
    ("name", "said", "valid"), [("TTR_LOG", "loud", "DEBUG"), ("TTR_READONLY", "maybe", "or 0")]
)
def test_a_store_is_not_opened_by_nonsense(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, said: str, valid: str
) -> None:
    monkeypatch.setenv(name, said)
    arguments = ["import", "nofile", "--db", str(tmp_path / "runs.duckdb")]
    if name == "TTR_LOG":
        (tmp_path / "nofile.parquet").touch()
        arguments[1] = str(tmp_path / "nofile.parquet")
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2 and f"{name} is" in done.stderr and valid in done.stderr
    assert not (tmp_path / "runs.duckdb").exists()


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_to_replace_a_file_has_one_name(command: str) -> None:
    done = CliRunner().invoke(app, [command, "x", "--force"])
    assert done.exit_code == 2 and "There is no --force here: --overwrite replaces" in done.stderr
