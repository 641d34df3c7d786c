"""A house that grows without forgetting: what is added relabels no run, what changes hides none."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.commands import given

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("ttr_core", "experiments_db")

ADDED = 'later: float = option(0.25, "a setting that was added", 0.0, 1.0, since=2)'
GROWS = {
    "ttr_core/layers/frame.py": r"(?=    rope: float)",
    "ttr_core/layers/model.py": r"(?=    mlp: int)",
    "ttr_core/lab/protocol.py": r"(?=    clip: float)",
    "ttr_core/lab/tasks/mqar.py": r"(?=    variant: str)",
    "ttr_core/lab/tasks/regression.py": r"(?=    process: str)",
    "ttr_core/space/optimizers/retrospective.py": r"(?=    ridge: float)",
}
"""File -> where a setting is added: to the frame, the model, training, two tasks, an ingredient."""

SMALL = ["--set", "seq_len=16", "--set", "steps=2", "--set", "d_model=8", "--set", "vocab_size=64"]
SMALL += ["--set", "pairs=2", "--set", "eval_examples=4", "--set", "batch_size=4"]
ASKED = {
    "regression": ["--layer", "mesa-layer", "--task", "regression", "--set", "seq_len=16",
                   "--set", "dim=4", "--set", "sequences=2"],
    "mqar": ["--layer", "mesa-layer", "--task", "mqar", "--frame", "published", *SMALL],
}  # fmt: skip


def copied(folder: Path) -> Path:
    """Copies the project."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name)  # what is compiled stays valid
    for file in (ROOT / "batch.py", ROOT / "pyproject.toml"):
        shutil.copy(file, folder)
    return folder


def batch(folder: Path, store: Path, *commands: list[str]) -> list[Any]:
    """Gives commands to the project in a folder and returns what each prints."""
    return [json.loads(said) for said in given(folder, store, *([*c, "--json"] for c in commands))]


def changed(folder: Path, file: str, pattern: str, new: str) -> None:
    path = folder / file
    text, times = re.subn(pattern, new, path.read_text(), count=1, flags=re.M)
    assert times == 1, f"{pattern} is not in {file}"
    path.write_text(text)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A store with a run of each task, made by the project as it is."""
    folder = tmp_path_factory.mktemp("before")
    store = folder / "runs.duckdb"
    made = batch(ROOT, store, *(["run", *asked] for asked in ASKED.values()))
    runs = {task: run["run_id"] for task, run in zip(ASKED, made, strict=True)}
    return {"store": store, "runs": runs}


def store_of(before: dict[str, Any], folder: Path) -> Path:
    return Path(shutil.copy(before["store"], folder / "runs.duckdb"))


@pytest.mark.slow
def test_added_settings_relabel_no_run(before: dict[str, Any], tmp_path: Path) -> None:
    folder = copied(tmp_path / "grown")
    for file, place in GROWS.items():
        changed(folder, file, place, f"    {ADDED}\n")
    store = store_of(before, tmp_path)
    again = [["run", *asked] for asked in ASKED.values()]
    later = [*ASKED["regression"], "--frame", "standard", "--set", "layer.Exact.later=0.5"]
    *made, groups, other = batch(
        folder, store, *again, *([*one, "--seed", "1"] for one in again), ["runs", "--group"],
        ["run", *later],
    )  # fmt: skip
    assert [run["run_id"] for run in made[: len(again)]] == list(before["runs"].values()), (
        "was run anew"
    )
    for new in (run["config"] for run in made[len(again) :]):
        held = [new["task"], new["model"], new["train"], *new["frames"]]
        assert [settings["later"] for settings in held] == [0.25] * len(held), "they were added"
        assert "later=0.25" in new["spec"]
    assert [group["n"] for group in groups] == [2, 2], "old and new seeds are one series"
    assert not any(group["superseded"] for group in groups)
    assert other["run_id"] not in before["runs"].values() and "later=0.5" in other["spec_expanded"]


CHANGES = {
    "frame": ("ttr_core/layers/frame.py", {"mqar"}),
    "training": ("ttr_core/lab/protocol.py", {"mqar"}),
    "task": ("ttr_core/lab/tasks/regression.py", {"regression"}),
    "ingredient": ("ttr_core/space/optimizers/retrospective.py", {"mqar", "regression"}),
}
OWN = {"task": r"^    name: ClassVar\[str\] = .*\n",
       "ingredient": r"^class Exact\([^)]*\):\n(    r?\"\"\"(.|\n)*?\"\"\"\n)"}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", CHANGES)
def test_a_revision_makes_new_runs(before: dict[str, Any], tmp_path: Path, what: str) -> None:
    file, touched = CHANGES[what]
    folder, store = copied(tmp_path / "revised"), store_of(before, tmp_path)
    if what in OWN:
        changed(folder, file, OWN[what], r"\g<0>    revision: ClassVar[int] = 99\n")
    else:
        changed(folder, file, r"revision: ClassVar\[int\] = \d+", "revision: ClassVar[int] = 99")
    *made, listed, groups, kept = batch(
        folder, store, *(["run", *asked] for asked in ASKED.values()), ["runs"],
        ["runs", "--group"], ["runs", "--where", "NOT superseded"],
    )  # fmt: skip
    for (task, run_id), again in zip(before["runs"].items(), made, strict=True):
        assert (again["run_id"] != run_id) == (task in touched), task
    rows = {row["run_id"]: row for row in listed}
    for task, run_id in before["runs"].items():
        assert rows[run_id]["superseded"] == (task in touched), task
    assert len(rows) == 2 + len(touched)
    assert [group["n"] for group in groups] == [1] * len(rows), "old and new are never pooled"
    assert sum(group["superseded"] for group in groups) == len(touched)
    assert len(kept) == 2, "a condition may ask for them"
    (own,) = batch(ROOT, store, ["runs"])
    assert sum(row["superseded"] for row in own) == 0, "by its own lights"


MAP = """
import json
from experiments_db.read.cells import cells, task_settings
from experiments_db.store import open_store
store = open_store()
found = task_settings(store)
print(json.dumps([
    [row.task, row.runs, cells(store, row.setting, row.protocol, "error")["n"].tolist()]
    for row in found.itertuples() if row.task == "regression"
]))
"""


@pytest.mark.slow
def test_the_map_pools_no_superseded_run(before: dict[str, Any], tmp_path: Path) -> None:
    folder, store = copied(tmp_path / "revised"), store_of(before, tmp_path)
    file, _ = CHANGES["ingredient"]
    changed(folder, file, OWN["ingredient"], r"\g<0>    revision: ClassVar[int] = 99\n")
    asked = ["run", *ASKED["regression"]]
    batch(folder, store, asked, [*asked, "--seed", "1"])
    environment = {**os.environ, "TTR_DB": str(store), "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", MAP]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert json.loads(done.stdout) == [["regression", 2, [2]]], done.stderr


HASH = """
from experiments_db.run.request import config_hash, request
print(config_hash(request(layer="gla", task="mqar", device="cpu").config()))
"""


def test_a_hash_is_the_same_in_every_process() -> None:
    def told(seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", HASH]
        return subprocess.run(command, env=environment, capture_output=True, text=True).stdout

    assert told("1") == told("2") != ""
