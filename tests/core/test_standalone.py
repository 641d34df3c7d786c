"""Exported files pass their own tests where nothing but torch is installed."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import ttr_core as ttr
from tests.core.exported import failures
from ttr_core.tools import StandaloneLayer, standalone_layer
from ttr_core.tools.standalone import layer_file, simplify
from ttr_core.tools.standalone.heading import form
from ttr_core.tools.standalone.statements import Statements

COVERING = ("softmax-attention", "Uniform | Linear | Exact")
"""One way each: all pairs in its own frame, prefixes of a fit in the standard one."""

LONGEST = {"softmax-attention": 850, "Uniform | Linear | Exact": 1150}
"""Lines of a file: what becomes longer holds more again than its layer needs."""


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


PLAIN = '''import torch
from torch import nn


class Layer(nn.Module):
    """Doubles."""

    def __init__(self, d_model, num_heads=1, key_heads=None):
        super().__init__()

    def forward(self, x):
        return 2 * x

    def advance(self, x, state):
        return 2 * x, state

    def step(self, x, state):
        return 2 * x, state


def test():
    assert Layer(2)(torch.ones(1)) == 2
'''


def simpler() -> str:
    return simplify.simplified(PLAIN, layer_file.ROOTS, layer_file.OFFERED)


def test_a_rewriting_that_spoils_the_file_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = simpler()

    def spoiled(file: Statements, kept: set[str]) -> Statements:
        return Statements.of(file.text.replace("2 * x", "3*x"))

    monkeypatch.setattr(simplify, "with_expressions", spoiled)
    assert simpler() == plain


def test_a_fault_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(file: Statements, kept: set[str]) -> Statements:
        raise KeyError("ours")

    monkeypatch.setattr(simplify, "with_expressions", wrong)
    with pytest.raises(KeyError, match="ours"):
        simpler()
