"""The examples in the docstrings run, and what is public is documented."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

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


@pytest.mark.parametrize("name", ttr.__all__)
def test_public_names_are_documented(name: str) -> None:
    thing = getattr(ttr, name)
    if callable(thing):
        assert inspect.getdoc(thing)


def test_the_public_surface_is_small() -> None:
    assert len(ttr.__all__) <= 48


@pytest.mark.parametrize("family", ["weights", "function", "optimizer"])
def test_every_choice_has_its_equation_and_source(family: str) -> None:
    for choice in ttr.choices(family):
        text = inspect.getdoc(choice) or ""
        assert "$$" in text, f"{choice.name} has no equation"
        assert "https://" in text or choice.name == "Uniform", f"{choice.name} names no source"
