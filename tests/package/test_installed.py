"""The installed package from an empty folder, as somebody who never saw the repository uses it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from pages._shared import snippets
from tests.package.environment import Environment
from tests.sources import ROOT

pytestmark = pytest.mark.slow
SETS = {"task.pairs": 4, "task.seq_len": 64, "train.steps": 5}
RUN = ("ttr", "run", "--layer", "deltanet", "--task", "mqar", "--set", "pairs=4", "--set",
       "seq_len=64", "--set", "steps=5")  # fmt: skip


@pytest.fixture(scope="module")
def ran(installed: Environment) -> dict[str, object]:
    done = installed.run(*RUN, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_run_is_kept_in_the_folder_of_data(
    installed: Environment, ran: dict[str, object]
) -> None:
    assert (ran["status"], ran["layer"], ran["steps"]) == ("finished", "deltanet", 5)
    said = json.loads(installed.run("ttr", "doctor", "--json").stdout)
    store = Path(said["store"]["path"])
    assert store.is_relative_to(installed.home) and said["store"]["runs"] == {"finished": 1}
    assert [*installed.packages.rglob("*.duckdb")] == [] and [*installed.empty.iterdir()] == []


def test_variables_say_where_else(installed: Environment, tmp_path: Path) -> None:
    for variable, value in (("TTR_HOME", tmp_path), ("TTR_DB", tmp_path / "runs.duckdb")):
        said = json.loads(installed.run("ttr", "doctor", "--json", **{variable: str(value)}).stdout)
        assert said["store"]["path"] == str(tmp_path / "runs.duckdb")


def test_the_command_it_prints_runs_as_it_stands(
    installed: Environment, ran: dict[str, object]
) -> None:
    shown = installed.run(*RUN).stdout
    again = shlex.split(re.search(r"^Find it again: (.+)$", shown, re.M)[1])  # type: ignore[index]
    assert again[0] == str(installed.bin / "ttr")
    done = installed.run(*again, "--json")
    assert [row["run_id"] for row in json.loads(done.stdout)] == [ran["run_id"]]
    path = f"{installed.bin}:/usr/bin:/bin"
    refused = installed.run("ttr", "run", PATH=path)
    assert refused.returncode == 2 and "`ttr layers`" in refused.stderr


@pytest.mark.parametrize("kind", ["layer", "solve", "run"])
def test_copied_python_runs_as_it_stands(
    installed: Environment, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snippets, "installed", lambda: True)
    text = {
        "layer": snippets.layer_snippet("deltanet"),
        "solve": snippets.solve_snippet("Gate | Linear | SGD"),
        "run": snippets.run_snippet("mqar", "deltanet", "Uniform | Linear | SGD", SETS),
    }[kind]
    done = installed.run("python", "-c", text + "\nimport ttr_core; print(ttr_core.__file__)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(installed.packages / "ttr_core" / "__init__.py")


def test_what_lies_in_the_folder_one_is_in_harms_nothing(
    installed: Environment, tmp_path: Path
) -> None:
    """Nor does it reach the worker, which starts in the same folder."""
    for name in ("torch", "ttr_core", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a stranger')\n")
    done = installed.run(*RUN, "--fresh", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "finished"


def test_the_core_works_with_pytorch_alone(core_only: Environment) -> None:
    code = """
import importlib, pkgutil, torch, ttr_core as ttr
y = ttr.catalog["deltanet"].layer(d_model=16)(torch.randn(1, 8, 16))
model = ttr.ModelConfig(layers=("deltanet",), d_model=16)
*_, end = ttr.train(ttr.task("mqar", {"pairs": 2, "seq_len": 16}), model, ttr.TrainConfig(steps=2))
for module in pkgutil.walk_packages(ttr.__path__, "ttr_core."):
    importlib.import_module(module.name)
print(tuple(y.shape), end.status, ttr.__file__)
"""
    done = core_only.run("python", "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(1, 8, 16) finished ") and str(ROOT) not in done.stdout


def test_the_core_alone_says_what_the_command_needs(core_only: Environment) -> None:
    for command in (["ttr"], ["python", str(ROOT / "batch.py")]):
        done = core_only.run(*command, "layers")
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert "pip install 'test-time-regression[lab]'" in done.stderr


def test_documents_are_written_in_a_checkout_alone(installed: Environment) -> None:
    done = installed.run("python", "-m", "ttr_core.tools.documents", "--write")
    assert done.returncode == 2 and "in a checkout of test-time-regression" in done.stderr
    assert not (installed.packages / "docs").exists()
