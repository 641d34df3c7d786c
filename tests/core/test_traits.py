"""A trait declares what its solver computes with: no empty markers."""

from __future__ import annotations

import inspect
from itertools import chain

import pytest

import ttr_core.layers  # noqa: F401 - so that every trait is known
from ttr_core.solvers import SOLVERS
from ttr_core.solvers.base import AnySolver
from ttr_core.space.ingredient import REGISTRY, Ingredient, having
from ttr_core.space.optimizers import Incremental, Sum

SAID = {"phrase", "family", "name", "needs", "notation", "examples"}
"""What is said of a trait, and not computed with."""


def traits() -> list[type[Ingredient]]:
    """Returns every class between a family and its choices."""
    found: dict[type[Ingredient], None] = {}
    for known in REGISTRY.values():
        for choice in known.values():
            above = [c for c in choice.__mro__[1:] if issubclass(c, Ingredient)]
            families = [c for c in above if Ingredient in c.__bases__]
            found |= dict.fromkeys(c for c in above if c not in (*families, Ingredient))
    return list(found)


def declared(trait: type[Ingredient]) -> set[str]:
    """Returns the methods and attributes that a trait adds or defines anew."""
    own = {n for n, value in vars(trait).items() if not n.startswith("_") or n == "__call__"}
    return (own | set(inspect.get_annotations(trait))) - SAID - {"objection"}


@pytest.mark.parametrize("trait", traits(), ids=lambda trait: trait.__name__)
def test_a_trait_declares_something_of_its_own(trait: type[Ingredient]) -> None:
    assert declared(trait), f"{trait.__name__} is an empty marker"
    assert "phrase" in vars(trait), "a refusal has to say what was asked"
    assert trait not in REGISTRY[trait.family].values(), "a trait is no choice"


def test_an_empty_marker_is_noticed() -> None:
    class Marker(Incremental):
        phrase = "an optimizer of some kind"

    assert declared(Marker) == set()


def test_the_choices_with_a_trait_are_listed_from_the_registry() -> None:
    assert having(Sum) == "OneStep or Hebbian"
    assert having(Sum, Incremental) == "Hebbian"


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: solver.name)
def test_a_solver_asks_for_traits_of_the_three_axes(solver: AnySolver) -> None:
    families = [{trait.family for trait in asked} for asked in solver.traits]
    assert families == [{"weights"}, {"function"}, {"optimizer"}]
    every = [*chain(*solver.traits), *solver.losses, *solver.readouts]
    assert [t for t in every if t in REGISTRY[t.family].values()] == [], "a choice, not a trait"
    assert all("phrase" in vars(t) for t in every), "a refusal has to say what was asked"
