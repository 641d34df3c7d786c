"""One class in one file is enough: grid, pickers, command line, docs and tests find it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("ttr_core", "experiments_db", "pages", "tests", "docs")

TOY = '''"""A toy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ..option import option
from ...stream import Stream
from .base import MemorylessWeights, Params, Recency


@dataclass(frozen=True)
class ToyDecay(MemorylessWeights):
    r"""Every token takes the same bite out of the past.

    $$\\gamma_i^{(t)} = (1 - r)^{t - i}$$

    Args:
        rate: r, the bite.

    Reference: A toy (Nobody, 2026) https://example.org
    """

    rate: float = option(0.25, "share lost per token", low=0.01, high=0.99)
    notation: ClassVar[str] = r"(1 - r)^{t-i}"

    def recency(self, x: Stream, params: Params) -> Recency:
        log = torch.full_like(x.k[..., :1], 1 - self.rate).log()
        return Recency(log, None)
'''

PICK = """
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("app.py", default_timeout=60)
app.query_params.update({"spec": "ToyDecay | Linear | SGD", "regression.seq_len": "32"})
app.run()
assert not app.exception, app.exception
assert "ToyDecay" in app.selectbox(key="pick.weights").options
assert app.text_input(key="spec").value == "ToyDecay | Linear | SGD"
assert [box for box in app.number_input if "rate" in box.label.lower()], app.number_input
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with one file more."""
    folder = tmp_path_factory.mktemp("drop_in")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (*ROOT.glob("*.py"), ROOT / "pyproject.toml"):
        shutil.copy(file, folder)
    (folder / "ttr_core/space/weights/toy.py").write_text(TOY)
    return folder


def run(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "TTR_HOME": str(folder / "var"), "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_grid_and_the_command_line_know_it(copy: Path) -> None:
    cells = {c["spec"]: c for c in json.loads(run(copy, "batch.py", "grid", "--json"))}
    toys = {spec: c for spec, c in cells.items() if spec.startswith("ToyDecay")}
    assert len(toys) == len([spec for spec in cells if spec.startswith("Uniform |")])
    assert toys["ToyDecay | Linear | SGD"]["solver"] == "chunked_delta"
    assert toys["ToyDecay | Linear | Hebbian"]["verdict"] == "layer"
    arguments = ["--spec", "ToyDecay(rate=0.05) | Linear | SGD", "--task", "recall", "--json"]
    done = json.loads(run(copy, "batch.py", "run", *arguments))
    assert done["status"] == "finished" and "rate=0.05" in done["spec_expanded"]


def test_the_pickers_know_it(copy: Path) -> None:
    (copy / "pick.py").write_text(PICK)
    run(copy, "pick.py")


def test_the_docs_know_it(copy: Path) -> None:
    run(copy, "-m", "ttr_core.tools.documents", "--write")
    text = (copy / "docs/ingredients.md").read_text()
    assert "ToyDecay" in text and "share lost per token" in text and "Nobody, 2026" in text


def test_the_property_tests_run_it(copy: Path) -> None:
    chosen = ["tests/core/test_definition.py", "tests/core/test_properties.py"]
    chosen += ["tests/core/test_docstrings.py"]
    out = run(copy, *["-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "ToyDecay"], *chosen)
    assert int(out.rpartition(" passed")[0].split()[-1]) > 50, out[-500:]
