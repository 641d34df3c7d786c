"""The examples in the docstrings run, and what is public is documented."""

from __future__ import annotations

import ast
import dataclasses
import doctest
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Callable

import pytest

import ttr_core as ttr

MODULES = sorted(module.name for module in pkgutil.walk_packages(ttr.__path__, prefix="ttr_core."))


@pytest.mark.parametrize("name", ["ttr_core", *MODULES])
def test_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} says nothing of itself"
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_there_are_examples_and_they_can_fail() -> None:
    tests = [
        t
        for n in ("ttr_core", *MODULES)
        for t in doctest.DocTestFinder().find(importlib.import_module(n))
    ]
    assert sum(bool(test.examples) for test in tests) >= 10
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner(verbose=False).run(wrong, out=lambda text: None).failed == 1


DOORS = ("ttr_core", "ttr_core.lab", "ttr_core.words", "ttr_core.tools")
PUBLIC = {
    f"{door}.{name}": thing
    for door in DOORS
    for name in importlib.import_module(door).__all__
    if callable(thing := getattr(importlib.import_module(door), name))
}


def parameters(thing: Callable[..., object]) -> list[str]:
    """The parameters of a function or class whose meaning no declared setting tells."""
    declared: set[str] = set()
    if isinstance(thing, type) and dataclasses.is_dataclass(thing):
        declared = {option.name for option in ttr.options_of(thing) if option.help}
    plain = issubclass(thing, Exception) if isinstance(thing, type) else False
    if plain and "__init__" not in vars(thing):
        return []  # an error that is made from its text
    return [name for name in inspect.signature(thing).parameters if name not in declared]


@pytest.mark.parametrize("name", PUBLIC)
def test_what_is_public_is_documented(name: str) -> None:
    thing = PUBLIC[name]
    text = inspect.getdoc(thing) or ""
    first, _, rest = text.partition("\n")
    assert first and (not rest or rest.startswith("\n")), "no first line that stands alone"
    section = re.search(r"^Args:\n((?:    .*\n|\n)*)", f"{rest}\n", re.M)
    told = re.findall(r"^    (\w+):", section[1], re.M) if section else []
    assert [parameter for parameter in parameters(thing) if parameter not in told] == []
    examples = re.findall(r"^Example:\n((?:    .*\n|\n)*)", f"{rest}\n", re.M)
    assert ">>> " in "".join(examples), "no example; test_examples_run executes it"


def raised(thing: Callable[..., object]) -> list[str]:
    """The errors that a function, or the making of a class, raises in its own body."""
    own = ("__init__", "__new__", "__post_init__")
    bodies = [vars(thing).get(name) for name in own] if isinstance(thing, type) else [thing]
    made = [inspect.unwrap(body) for body in bodies if body is not None]
    ours = [
        body for body in made if inspect.isfunction(body) and "ttr_core" in inspect.getfile(body)
    ]
    written = [inspect.getsource(body) for body in ours]
    trees = [ast.parse(textwrap.dedent(text)) for text in written if " raise " in text]
    return [
        ast.unparse(node)
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
    ]


RAISING = [name for name in PUBLIC if raised(PUBLIC[name])]


@pytest.mark.parametrize("name", RAISING)
def test_what_raises_says_so(name: str) -> None:
    assert re.search(r"^Raises:\n    \w+: ", inspect.getdoc(PUBLIC[name]) or "", re.M)


def test_what_raises_is_found() -> None:
    assert {"ttr_core.Frame", "ttr_core.choices", "ttr_core.lab.Experiment"} <= {*RAISING}


def test_the_public_surface_is_small() -> None:
    assert len(ttr.__all__) <= 48


@pytest.mark.parametrize("family", ["weights", "function", "optimizer"])
def test_every_choice_has_its_equation_and_source(family: str) -> None:
    for choice in ttr.choices(family):
        text = inspect.getdoc(choice) or ""
        assert "$$" in text, f"{choice.name} has no equation"
        assert "https://" in text or choice.name == "Uniform", f"{choice.name} names no source"
