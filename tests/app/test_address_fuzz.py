"""Whatever an address says: a valid value, with a sentence where it was not; never a traceback."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from pages._shared import params
from ttr_core.lab import TASKS, TrainConfig
from ttr_core.layers.model import ModelConfig
from ttr_core.space.constraints import Either, Flag, Listed, Names, Number, Numeric
from ttr_core.space.option import Option, options_of

OPTIONS = [
    *options_of(TrainConfig),
    *options_of(ModelConfig),
    *(option for task in TASKS.values() for option in task.options()),
]
ODD = (
    "", "none", "None", "nan", "inf", "-inf", "1e400", "-0", "0x10", "1_000", "९", "true", "[]",
    "../../etc/passwd", "<script>", "'; DROP TABLE runs", "\0",
)  # fmt: skip
LETTERS = st.text(st.characters(codec="utf-8"), max_size=20)
RAW = st.one_of(
    st.sampled_from(ODD),
    st.integers().map(str),
    st.floats().map(str),
    LETTERS,
    st.just("9" * 5000),
)  # fmt: skip


def valid(option: Option, value: Any) -> bool:
    if value is None:
        return option.optional or option.default is None
    constraint = option.constraint
    if isinstance(constraint, Either):
        return value == "auto" or valid(replace(option, constraint=constraint.second), value)
    if isinstance(constraint, Numeric):
        low = -math.inf if constraint.low is None else constraint.low
        high = math.inf if constraint.high is None else constraint.high
        whole = isinstance(value, int) or isinstance(constraint, Number)
        return whole and math.isfinite(value) and low <= value <= high
    if isinstance(constraint, Listed):
        return value in constraint.values
    if isinstance(constraint, Names):
        return isinstance(value, tuple)
    return isinstance(value, bool if isinstance(constraint, Flag) else str)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(OPTIONS), RAW)
def test_a_value_in_the_address(option: Option, raw: str) -> None:
    value, problem = params.checked(option.name, option, raw)
    assert valid(option, value), (option.name, option.constraint, value)
    assert problem is None or (option.name in problem and len(problem) < 10_000)


def page() -> None:
    import streamlit as st

    from pages._explore import share
    from pages._shared import address

    address.begin("explore")
    share.read_address()
    for sentence in address.problems():
        st.text(sentence)
    address.tell()


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(
        st.sampled_from(["layer", "spec", "compare", "task", "mqar.pairs", "train.lr", "model.x"])
        | LETTERS,
        RAW,
        max_size=4,
    )
)
def test_an_address(said: dict[str, str]) -> None:
    at = AppTest.from_function(page, default_timeout=30)
    for key, value in said.items():
        at.query_params[key] = value
    at.run()
    assert not at.exception, at.exception


@pytest.mark.parametrize("name", ["a" * 100_000, "é" * 50])
def test_a_name_that_is_no_layer(name: str) -> None:
    at = AppTest.from_function(page, default_timeout=30)
    at.query_params["layer"] = name
    at.run()
    assert not at.exception
    assert len(at.text[0].value) < 10_000
