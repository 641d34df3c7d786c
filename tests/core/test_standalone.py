"""Exported files pass their own tests where nothing but torch is installed."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pytest
import torch

import ttr_core as ttr
from ttr_core.tools import StandaloneLayer, standalone_layer
from ttr_core.tools.standalone.heading import form

RUNNER = """
import json, runpy, sys, torch

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ttr_core", "experiments_db", "pages", "tests"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Blocked())
for file in sys.argv[1:]:
    try:
        runpy.run_path(file, run_name="__main__")
        print(json.dumps([file, ""]))
    except BaseException as error:
        print(json.dumps([file, f"{type(error).__name__}: {error}"]))
"""
"""One process for many files: what it costs to load torch is paid once."""

COVERING = ("softmax-attention", "Uniform | Linear | Exact")
"""One way each: all pairs in its own frame, prefixes of a fit in the standard one."""

LONGEST = {"softmax-attention": 850, "Uniform | Linear | Exact": 1150}
"""Lines of a file: what becomes longer holds more again than its layer needs."""


def failures(layers: Iterable[StandaloneLayer], folder: Path) -> dict[str, str]:
    """Writes files, runs each alone, and returns title -> what went wrong."""
    titles = {}
    for i, layer in enumerate(layers):
        (folder / f"layer_{i}.py").write_text(layer.text)
        titles[str(folder / f"layer_{i}.py")] = layer.title
    call = [sys.executable, "-I", "-c", RUNNER, *titles]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True)
    said = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    return {t: said.get(f, done.stderr[-500:]) for f, t in titles.items() if said.get(f) != ""}


@pytest.fixture(scope="module")
def covering() -> dict[str, StandaloneLayer]:
    return {name: standalone_layer(name) for name in COVERING}


def test_files_pass_their_tests_with_torch_alone(
    covering: dict[str, StandaloneLayer], tmp_path: Path
) -> None:
    broken = covering["softmax-attention"].text.replace("tensor(Y", "tensor(SLOPE")
    files = [*covering.values(), StandaloneLayer("broken", "", broken)]
    (said,) = failures(files, tmp_path).items()
    assert said[0] == "broken" and "off by" in said[1]


@pytest.mark.slow
def test_every_entry_passes_its_test_with_torch_alone(tmp_path: Path) -> None:
    assert failures(map(standalone_layer, ttr.catalog), tmp_path) == {}


@pytest.mark.slow
def test_cells_pass_their_tests_with_torch_alone(tmp_path: Path) -> None:
    cells = [cell.spec for cell in ttr.grid() if cell.verdict == "layer"]
    drawn = torch.randperm(len(cells), generator=torch.Generator().manual_seed(0))[:60]
    assert failures((standalone_layer(str(cells[i])) for i in drawn), tmp_path) == {}


def test_a_file_computes_what_the_layer_does(
    covering: dict[str, StandaloneLayer], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("exported")
    monkeypatch.setitem(sys.modules, "exported", module)
    exec(compile(covering["softmax-attention"].text, "exported", "exec"), vars(module))
    ours = ttr.catalog["softmax-attention"].layer(16, 2)
    theirs = vars(module)["Layer"](16, 2)
    theirs.load_state_dict(ours.state_dict())  # the weights have the names that they have here
    x = torch.randn(2, 70, 16)
    torch.testing.assert_close(theirs(x), ours(x))


def test_files_say_what_they_are(covering: dict[str, StandaloneLayer]) -> None:
    for name, made in covering.items():
        tree = ast.parse(made.text)
        assert "ttr_core" not in made.text
        said = " ".join((ast.get_docstring(tree) or "").split())
        assert "[B, T, D] -> [B, T, D]" in said and "Apache License" in said
        assert made.form in said
        if "|" not in name:
            assert ttr.catalog[name].paper.url in said
        kinds = (ast.ClassDef, ast.FunctionDef)
        layer = next(n for n in tree.body if isinstance(n, kinds) and n.name == "Layer")
        assert {"forward", "step"} <= {n.name for n in layer.body if isinstance(n, kinds)}


def test_a_file_holds_what_its_layer_needs(covering: dict[str, StandaloneLayer]) -> None:
    for name, made in covering.items():
        assert len(made.text.splitlines()) <= LONGEST[name]
        body = ast.parse(made.text).body
        first = next(n for n in body if isinstance(n, (ast.ClassDef, ast.FunctionDef)))
        assert first.name == "Layer"


def test_the_form_is_said() -> None:
    assert form(ttr.Spec.parse("ChannelGate | Linear | SGD")).startswith("all tokens of")
    assert form(ttr.Spec.parse("Uniform | MLP | SGD")).startswith("token by token")


@pytest.mark.parametrize(
    ("asked", "frame", "said"),
    [
        ("kdaa", None, "'kda'"),
        ("Gate | Linear | SGDD", None, "'SGD'"),
        ("ExpKernel | Linear | SGD", None, "Uniform | Linear | SGD"),
        ("Uniform | Linear | Exact(ridge=0)", None, "ridge"),
        ("kda", "standrad", "'standard'"),
        ("Gate | Linear | SGD", "published", "published layer's own"),
    ],
)
def test_what_cannot_be_exported_is_refused(asked: str, frame: str | None, said: str) -> None:
    with pytest.raises(ttr.RequestError, match=said.replace("|", r"\|")):
        standalone_layer(asked, frame)
