"""Every triple has a verdict in words, and every text reads back."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import LAYERS, UNDEFINED, all_pass, by_weights

import ttr_core as ttr
from ttr_core.space.spec import triples
from ttr_core.words.verdicts import VERDICTS


@cache
def cells() -> dict[str, ttr.Cell]:
    """Every cell by its spec."""
    return {cell.spec: cell for cell in ttr.grid()}


def reads_back(spec: ttr.Spec) -> None:
    assert ttr.Spec.parse(str(spec)) == spec
    assert ttr.Spec.parse(spec.expanded) == spec


@pytest.mark.parametrize("specs", by_weights(triples()))
def test_text_reads_back(specs: list[ttr.Spec]) -> None:
    all_pass(specs, reads_back)


def says_why(spec: ttr.Spec) -> None:
    with pytest.raises(ttr.IncompatibleSpec, match="is not a layer") as error:
        ttr.resolve(spec)
    assert error.value.objections and error.value.alternatives
    for text in error.value.alternatives:
        assert not ttr.Spec.parse(text).objections()
    cell = cells()[str(spec)]
    assert cell.verdict == "undefined" and cell.reason and cell.solver is None


@pytest.mark.parametrize("specs", by_weights(UNDEFINED))
def test_what_is_no_layer_says_why_and_what_is(specs: list[ttr.Spec]) -> None:
    all_pass(specs, says_why)


def is_described(spec: ttr.Spec) -> None:
    cell, words = cells()[str(spec)], ttr.describe(spec)
    assert cell.verdict in VERDICTS[:-1] and cell.solver == words.solver
    assert (cell.verdict != "layer") == bool(cell.reason)
    assert (cell.verdict == "slow") == bool(ttr.caution(spec))
    assert words.objective and words.update and words.read and words.state_size and words.cost
    assert words.names == cell.published and words.words and words.forgets
    assert words.names or words.neighbors
    for latex in (words.objective, words.update, words.read):
        assert latex.count("{") == latex.count("}") and "$" not in latex


@pytest.mark.parametrize("specs", by_weights(LAYERS))
def test_what_is_a_layer_is_described(specs: list[ttr.Spec]) -> None:
    all_pass(specs, is_described)


def test_every_triple_is_there_once() -> None:
    assert len(cells()) == len(list(triples())) == len(ttr.grid())


def test_coincidences_are_mutual() -> None:
    for cell in cells().values():
        for other in cell.same_as:
            assert cell.spec in cells()[other].same_as


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("Gate | Linear", "three fields"),
        ("Gat | Linear | SGD", "Did you mean 'Gate'"),
        ("Gate | Linear(mop=elu1) | SGD", "option of Linear 'mop'.*'map'"),
        ("Gate | Linear(map=elu) | SGD", "elu1"),
        ("Gate | Linear | Exact(ridge=-1)", "at least 0|from 0"),
        ("Gate | Linear | Exact(ridge=1e999)", "must be a number"),
        ("Gate | Linear | SGD(residual=sometimes)", "decayed"),
        ("Gate | Linear | SGD | los=Squared", "loss"),
        ("Gate * * Gate | Linear | SGD", "not an ingredient"),
        ("__import__('os') | Linear | SGD", "not an ingredient"),
        ("Gate | Linear | SGD(0.1)", "keyword"),
        ("(" * 900, "three fields"),
        ("Gate" + " * Gate" * 20 + " | Linear | SGD", "at most|nested"),
        ("x" * 5000, "at most"),
        ("Gate | Linear | Exact(ridge=" + "9" * 309 + ")", "must be a number"),
        ("Gate | Linear | Exact(ridge=" + "-" * 900 + "1)", "must be a number"),
        ("Gate | Linear | Exact(ridge=" + "(" * 250 + "1" + ")" * 250 + ")", "not an ingredient"),
        ("Window(size=" + "9" * 309 + ") | Linear | Hebbian", "must be a whole number"),
        ("Gate | Linear(map=" + "elu1(map=" * 90 + ")" * 91 + " | SGD", "no|nested|Unknown"),
        ("Gate | Linear | SGD(\ud800)", "not an ingredient"),
        ("Gate | Linear | SGD(\0)", "not an ingredient"),
    ],
)
def test_a_wrong_text_says_what_to_change(text: str, match: str) -> None:
    with pytest.raises(ttr.RequestError, match=match):
        ttr.Spec.parse(text)


@given(st.text(max_size=60) | st.from_regex(r"[A-Za-z*|()=., 0-9\-]{0,60}"))
def test_any_text_is_a_spec_or_a_clear_error(text: str) -> None:
    try:
        spec = ttr.Spec.parse(text)
    except ttr.RequestError as error:
        assert str(error)
    else:
        assert ttr.Spec.parse(str(spec)) == spec


def test_products_have_one_form() -> None:
    a, b = (
        ttr.Spec.parse(f"{w} | Constant | Exact") for w in ("ExpKernel * Gate", "Gate * ExpKernel")
    )
    assert a == b and str(a) == "Gate * ExpKernel | Constant | Exact"
    twice = ttr.Spec.parse("Gate * Gate | Linear | Hebbian")
    assert [signal.name for signal in twice.signals] == ["decay", "decay.1"]
