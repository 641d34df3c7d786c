"""What is written down of cells that are the same layer is what the code gives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import ttr_core as ttr
from ttr_core.tools import equals
from ttr_core.words import equal_cells, same

HOW = "python -m ttr_core.tools.equals --write"


def named(kind: same.Signature) -> str:
    """Returns a kind of layers as text."""
    signals, reach, square = kind
    return " ".join((*signals, f"reach {reach}", *(["square"] if square else [])))


def test_every_choice_and_published_layer_is_covered() -> None:
    assert equals.covering() == equal_cells.COVERED, f"listed choices changed: {HOW}"
    assert tuple(map(str, equals.off_grid())) == equal_cells.OFF_GRID, HOW


@pytest.mark.parametrize("kind", same.kinds(), ids=named)
def test_equal_cells_are_written_down_and_no_others(kind: same.Signature) -> None:
    cells = {str(spec) for spec in same.layers(kind)}
    kept = {text: first for text, first in equal_cells.FIRST.items() if text in cells}
    assert equals.firsts(kind) == kept, HOW


def test_published_layers_off_the_grid_equal_what_is_written_down() -> None:
    for spec in equals.off_grid():
        assert equals.first_equal(spec) == equal_cells.FIRST.get(str(spec), ""), HOW


def test_the_file_is_what_the_command_writes() -> None:
    found = (equal_cells.COVERED, equal_cells.OFF_GRID, equal_cells.FIRST)
    assert equals.FILE.read_text(encoding="utf-8") == equals.file_text(*found)


@pytest.fixture
def a_new_choice(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """OneStep as if it had been added since the file was written."""
    name = "OneStep"
    optimizers = tuple(text for text in equal_cells.COVERED["optimizer"] if text != name)
    kept = {a: b for a, b in equal_cells.FIRST.items() if name not in a + b}
    monkeypatch.setattr(same, "COVERED", {**equal_cells.COVERED, "optimizer": optimizers})
    monkeypatch.setattr(same, "FIRST", kept)
    caches = (same.fresh, same._groups)
    for cache in caches:
        cache.cache_clear()
    yield name
    for cache in caches:
        cache.cache_clear()


def test_a_choice_that_is_new_is_compared(a_new_choice: str) -> None:
    new = f"Decay | Linear | {a_new_choice}"
    assert same.same_as(ttr.Spec.parse("Decay | Linear | Hebbian")) == (new,)
    assert same.same_as(ttr.Spec.parse(new)) == ("Decay | Linear | Hebbian",)


def test_a_layer_that_is_no_cell_is_compared() -> None:
    assert same.same_as(ttr.Spec.parse("Decay(gamma=0.5) | Linear | Hebbian")) == ()
    ridge = ttr.Spec.parse("Uniform | Constant | Exact(ridge=0.0)")
    assert same.equal(ridge, same.layers(same.kind(ridge))) == same.same_as(ridge) != ()


def test_no_cell_of_the_grid_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def computed(spec: ttr.Spec) -> None:
        raise AssertionError(f"{spec} is computed to be compared")

    monkeypatch.setattr(same, "_output", computed)
    assert any(ttr.cell(spec).same_as for spec in ttr.triples() if not spec.objections())
    assert all(ttr.describe(entry.spec).text for entry in ttr.catalog.values())


def test_what_is_learned_is_not_what_stands_though_both_start_alike() -> None:
    learned = same.same_as(ttr.Spec.parse("LearnedDecay | Linear | Hebbian"))
    assert learned == ("LearnedDecay | Linear | OneStep",)
