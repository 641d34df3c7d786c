"""The constants that are written down are those that tuning finds, and are used where they hold."""

from __future__ import annotations

from typing import Any

import pytest
from streams import shard

import ttr_core as ttr
from ttr_core.lab import Regression
from ttr_core.lab.tasks import regression
from ttr_core.lab.tasks.constants import Constants, knobs, positions
from ttr_core.lab.tasks.found_constants import FOUND, SETTINGS
from ttr_core.limits import Shape
from ttr_core.tools import tunings

HOW = "python -m ttr_core.tools.tunings --write"
ASKED = {str(spec): spec for spec in tunings.asked()}
TEXT = "Gate | Linear | SGD"
QUICK = 1e9
"""Operations of a curve at the default sizes, beyond which a layer is not tuned by default."""


def operations(spec: ttr.Spec) -> float:
    task = Regression(**SETTINGS)
    shape = Shape(task.sequences, 1, task.seq_len, task.dim, task.dim, spec.feature_size(task.dim))
    return ttr.resolve(spec).estimate(spec, shape).flops


CHEAP = [text for text, spec in ASKED.items() if operations(spec) < QUICK]


def test_every_published_layer_with_knobs_is_tuned() -> None:
    assert FOUND.keys() == ASKED.keys(), HOW
    assert all(len(FOUND[text]) == len(knobs(spec)) for text, spec in ASKED.items())
    assert tunings.FILE.read_text(encoding="utf-8") == tunings.table_text(FOUND)


SHARD = {*shard(CHEAP)}
EVERY = [pytest.param(t, marks=() if t in SHARD else pytest.mark.full_grid) for t in ASKED]


@pytest.mark.parametrize("text", EVERY)
def test_what_is_written_down_is_found(text: str) -> None:
    assert tunings.as_good(ASKED[text], FOUND[text]), HOW


def test_other_constants_are_not_as_good() -> None:
    assert not tunings.as_good(ASKED[TEXT], (-2.0, 0.5))


@pytest.mark.parametrize("text", FOUND)
def test_what_is_written_down_says_the_same_read_back(text: str) -> None:
    spec = ASKED[text]
    assert positions(Constants.at(spec, FOUND[text]), spec) == FOUND[text]


@pytest.mark.parametrize(
    ("settings", "seed", "known"),
    [
        ({}, 0, True),
        ({"sequences": 4, "decay": 0.5, "ridge": 1.0}, 0, True),
        ({}, 1, False),
        ({"noise": 0.1, "seq_len": 16, "dim": 4}, 0, False),
        ({"keys": "raw"}, 0, False),
        ({"constants": "fixed"}, 0, False),
        ({"process": "linear", "seq_len": 16, "dim": 4}, 0, False),
    ],
)
def test_they_are_used_where_tuning_would_find_them(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], seed: int, known: bool
) -> None:
    mark = (-0.123, 0.0456)
    monkeypatch.setattr(regression, "FOUND", {TEXT: mark})
    spec = ttr.Spec.parse(TEXT)
    found = Regression(**(SETTINGS | settings)).constants_of(spec, seed)
    assert (positions(found, spec) == mark) == known


def test_pairs_that_somebody_brings_are_tuned_on(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = (-0.123, 0.0456)
    monkeypatch.setattr(regression, "FOUND", {TEXT: mark})
    spec, task = ttr.Spec.parse(TEXT), Regression(**SETTINGS)
    found = task.constants_of(spec, data=task.data(sequences=2))
    assert positions(found, spec) != mark
