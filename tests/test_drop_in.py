"""What a change costs, executed: everything below tests/toys is laid over a copy of the project.

Each row of the table in docs/architecture.md is one file there, or one file and the line that the
row names; the ingredient of README.md and the task of docs/tasks.md are taken from the documents.
Grid, pickers, command line, documents and the project's own tests have to find them by themselves.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOYS = ROOT / "tests/toys"
FOLDERS = ("ttr_core", "experiments_db", "pages", "tests", "docs", ".streamlit")

LINES = {
    "ttr_core/solvers/table.py": (
        ("from .attention import", "from .all_pairs import AllPairs\nfrom .attention import"),
        ("    Attention(),", "    AllPairs(),\n    Attention(),"),
    ),
    "app.py": (
        ("    [\n", '    [\n        st.Page("pages/toy_page.py", title="Toy", help="A toy."),\n'),
    ),
}
"""The lines beside the files: a fast path has a place in SOLVERS, a page one in the navigation."""

PICK = """
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("app.py", default_timeout=60)
app.query_params.update({"spec": "ToyDecay | Linear(map=softplus) | ToyStep"})
app.query_params.update({"regression.seq_len": "32"})
app.run()
assert not app.exception, app.exception
for axis, name in {"weights": "ToyDecay", "optimizer": "ToyStep", "loss": "ToyLogCosh"}.items():
    assert name in app.selectbox(key=f"pick.{axis}").options
assert "ToyDouble" in app.selectbox(key="pick.function").options
assert "softplus" in app.selectbox(key="pick.function.map").options
assert app.text_input(key="spec").value == "ToyDecay | Linear(map=softplus) | ToyStep"
labels = [box.label.lower() for box in app.number_input]
assert all(any(word in label for label in labels) for word in ("rate", "sharpness", "eta")), labels
app.switch_page("pages/toy_page.py").run()
assert not app.exception and app.title[0].value == "A toy of a page"
"""


TOLD = """
import contextlib, io, json, runpy, sys, traceback

def told(name, *words):
    start, out = runpy.run_path if name.endswith(".py") else runpy.run_module, io.StringIO()
    sys.argv = [name, *words]
    try:
        with contextlib.redirect_stdout(out):
            start(name, run_name="__main__")
    except SystemExit as end:
        return [end.code or 0, out.getvalue()]
    except BaseException:
        return [1, traceback.format_exc()]
    return [0, out.getvalue()]

asked = [("batch.py", "grid", "--json"), ("pick.py",), ("ttr_core.tools.documents", "--write")]
print(json.dumps({words[0]: told(*words) for words in asked}))
"""
"""Command line, pages and documents in one process: what they compute of the new cells is kept."""


def snippet(document: str, mark: str) -> str:
    """Returns the Python of a document that holds a mark."""
    found = re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(), re.M | re.S)
    return next(code for code in found if mark in code)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with one of each more."""
    folder = tmp_path_factory.mktemp("drop_in")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name)  # what is compiled stays valid
    for file in (*ROOT.glob("*.py"), *ROOT.glob("*.md"), ROOT / "pyproject.toml"):
        shutil.copy(file, folder)
    shutil.rmtree(folder / "tests/toys")
    shutil.copytree(TOYS, folder, dirs_exist_ok=True)
    (folder / "ttr_core/space/maps/softplus.py").write_text(snippet("README.md", "Softplus"))
    (folder / "ttr_core/lab/tasks/parity.py").write_text(snippet("docs/tasks.md", "class Parity"))
    for name, changes in LINES.items():
        text = (folder / name).read_text()
        for before, after in changes:
            assert text.count(before) == 1, f"{name}: {before!r}"
            text = text.replace(before, after)
        (folder / name).write_text(text)
    return folder


def run(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "TTR_HOME": str(folder / "var"), "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def told(copy: Path) -> dict[str, tuple[int, str]]:
    """What each has ended with, and what it has said."""
    (copy / "pick.py").write_text(PICK)
    said: dict[str, tuple[int, str]] = json.loads(run(copy, "-c", TOLD).splitlines()[-1])
    return said


def said_by(told: dict[str, tuple[int, str]], name: str) -> str:
    code, text = told[name]
    assert code == 0, text[-3000:]
    return text


def test_the_grid_knows_every_ingredient(told: dict[str, tuple[int, str]]) -> None:
    cells = {c["spec"]: c for c in json.loads(said_by(told, "batch.py"))}

    def beside(axis: int, mine: str, other: str) -> tuple[int, int]:
        parts = [spec.split(" | ")[axis] for spec in cells]
        return parts.count(mine), parts.count(other)

    for axis, mine, other in (
        (0, "ToyDecay", "Uniform"), (1, "ToyDouble", "Linear"), (2, "ToyStep", "SGD"),
        (1, "Linear(map=softplus)", "Linear(map=elu1)"),
    ):  # fmt: skip
        count, same = beside(axis, mine, other)
        assert count == same > 100, mine
    assert cells["ToyDecay | Linear | SGD"]["solver"] == "chunked_delta"
    assert cells["Uniform | Linear(map=softplus) | ToyStep"]["solver"] == "chunked_delta"
    assert cells["Gate | ToyDouble | Hebbian"]["solver"] == "all_pairs"
    assert "toy-layer" in cells["Gate | Linear | SGD(residual=undecayed)"]["published"]


TRAINED = "seq_len=8 steps=2 batch_size=2 eval_every=1 eval_examples=4 d_model=8 lr=0.001"


@pytest.mark.slow
def test_the_command_line_runs_them(copy: Path) -> None:
    rows = {row["name"]: row for row in json.loads(run(copy, "batch.py", "layers", "--json"))}
    assert rows["toy-layer"]["solver"] == "chunked_delta"
    assert "gates=toy" in rows["toy-layer"]["frame"]
    spec = "ToyDecay(rate=0.05) | Linear(map=softplus) | ToyStep | loss=ToyLogCosh"
    small = ["--set", "seq_len=16", "--set", "dim=4", "--set", "sequences=2"]
    asked = ["--spec", f"{spec} | readout=ToyHalf", "--task", "regression", *small, "--json"]
    done = json.loads(run(copy, "batch.py", "run", *asked))
    assert done["status"] == "finished" and "rate=0.05" in done["spec_expanded"]
    sets = [word for key in TRAINED.split() for word in ("--set", key)]
    asked = ["--layer", "toy-layer", "--task", "parity", *sets, "--json"]
    assert json.loads(run(copy, "batch.py", "run", *asked))["status"] == "finished"


def test_the_pickers_and_the_navigation_know_them(told: dict[str, tuple[int, str]]) -> None:
    said_by(told, "pick.py")


def test_the_documents_know_them(copy: Path, told: dict[str, tuple[int, str]]) -> None:
    said_by(told, "ttr_core.tools.documents")
    text = (copy / "docs/ingredients.md").read_text()
    for words in ("ToyDecay", "ToyDouble", "ToyStep", "ToyLogCosh", "ToyHalf", "softplus"):
        assert words in text
    assert "share lost per token" in text and "Nobody, 2026" in text
    assert "toy-layer" in (copy / "docs/catalog.md").read_text()


OWN = (
    "tests/test_rules.py", "tests/core/test_docstrings.py", "tests/core/test_catalog.py",
    "tests/core/test_definition.py", "tests/core/test_properties.py", "tests/core/test_tasks.py",
    "tests/core/test_feature_maps.py", "tests/core/test_frames.py", "tests/core/test_layer.py",
    "tests/core/test_solve.py", "tests/core/test_words.py", "tests/core/test_claims.py",
    "tests/test_architecture.py", "tests/test_docs.py",
)  # fmt: skip
TOY = (
    "toy or softplus or parity or all_pairs or AllPairs or home or one_thing or names or navigation"
)


@pytest.mark.slow
def test_the_projects_own_tests_run_them_and_its_rules_hold(copy: Path) -> None:
    out = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", TOY, *OWN)
    assert int(out.rpartition(" passed")[0].split()[-1]) > 170
