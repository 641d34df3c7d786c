"""Both ends of every setting of every task: a page that can be read, a run that ends cleanly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from experiments_db.run.request import request
from pages._explore import sequences
from pages._shared import params, snippets
from tests.app.app_text import text_of
from ttr_core import Option, RequestError, constraints
from ttr_core.lab import TASKS, Event, Regression
from ttr_core.lab.tasks import found_constants

Opener = Callable[..., AppTest]
PROCESSES = next(o for o in Regression.options() if o.name == "process").constraint.values
SMALL = {"seq_len": 16, "dim": 4, "sequences": 2, "pairs": 2, "vocab_size": 32}
LONG = 20_000  # tokens: after a step of so many the run is stopped
REFUSALS = ("could not be computed", "Not possible as asked", "Nothing to draw")
ENDINGS = ("finished", "diverged", "cancelled")


def ends(option: Option) -> Iterator[Any]:
    """Yields what a setting may be at most: the ends of a range, or every value that is listed."""
    constraint = option.constraint
    if option.optional:
        yield None
    if isinstance(constraint, constraints.Numeric):
        for end, inner in ((constraint.low, 1e-9), (constraint.high, -1e-9)):
            if end is not None:
                closed = constraint.holds(constraint.kind(end))
                yield constraint.kind(end) if closed else end + inner
    elif isinstance(constraint, constraints.Listed):
        yield from constraint.values
    elif isinstance(constraint, constraints.Text):
        yield from ("a b", "a b " * 125)
    elif isinstance(constraint, constraints.Flag):
        yield from (False, True)


def small(task: str, but: str) -> dict[str, Any]:
    """Returns sizes of a task that are small, but for one setting."""
    known = {option.name for option in TASKS[task].options()}
    return {name: value for name, value in SMALL.items() if name in known and name != but}


def cases() -> list[Any]:
    """Returns every task with every end of each of its settings."""
    return [
        pytest.param(task, option, end, id=f"{task}.{option.name}={end}")
        for task, cls in TASKS.items()
        for option in cls.options()
        for end in ends(option)
    ]


def test_every_setting_has_ends() -> None:
    for cls in TASKS.values():
        for option in cls.options():
            assert list(ends(option)), option


@pytest.mark.slow
@pytest.mark.parametrize(("task", "option", "end"), cases())
def test_a_run_at_an_end_of_a_setting_ends_cleanly(task: str, option: Option, end: Any) -> None:
    kinds = [{}] if task != Regression.name else [{"process": name} for name in PROCESSES]
    for kind in kinds:
        _ends_cleanly(task, {**small(task, option.name), **kind, option.name: end})


def _ends_cleanly(task: str, sets: dict[str, Any]) -> None:
    if TASKS[task].trained:
        sets |= {"train.steps": 2, "train.eval_examples": 2, "train.batch_size": 2, "d_model": 8}
    written = {key: snippets.written(value) for key, value in sets.items()}
    try:
        experiment = request(spec="Gate | Linear | SGD", task=task, sets=written, device="cpu")
    except RequestError as error:  # two settings that exclude one another, or more than fits
        assert str(error)
        return
    done: list[Event] = []
    for event in experiment.run(lambda: len(done) > 1 and sets.get("seq_len", 0) > LONG):
        done.append(event)
    assert done[-1].to_dict()["status"] in ENDINGS


def drawn(app: AppTest) -> dict[str, Any]:
    """Returns the film that the page plays."""
    (one,) = app.get("bidi_component")
    film: dict[str, Any] = json.loads(one.proto.json)
    return film


def assert_readable(app: AppTest) -> None:
    """Asserts that the page shows a curve that a logarithmic axis can hold, or says why not."""
    assert not app.exception, app.exception
    if any(said in text_of(app) for said in REFUSALS):
        return
    film = drawn(app)
    low, high = film["low"], film["high"]
    assert 0 < low < high < 1e7 * low, "one value makes a flat line of all others"
    errors = [e for layer in film["layers"] for e in layer["values"] if e is not None]
    assert any(low <= e <= high for e in errors)


@pytest.mark.parametrize("process", ["linear", "switching"])
@pytest.mark.parametrize("value", ["0", "10"])
def test_noise_at_its_ends_draws_a_readable_page(page: Opener, value: str, process: str) -> None:
    sizes = {f"regression.{k}": str(v) for k, v in SMALL.items() if k in sequences.MOST}
    asked = {"regression.noise": value, "regression.process": process, "compare": ""}
    assert_readable(page("explore", **{**sizes, **asked}))


def test_what_takes_minutes_is_refused_with_a_size_that_does_not(page: Opener) -> None:
    sizes = {f"regression.{name}": str(most) for name, most in sequences.MOST.items()}
    app = page("explore", layer="local-quadratic-attention", compare="", **sizes)
    assert not app.exception and "would do" in text_of(app)
    assert not app.get("bidi_component")


def test_the_constants_that_are_written_down_are_those_of_the_first_picture() -> None:
    assert found_constants.SETTINGS == sequences.STARTS


@pytest.mark.slow
def test_every_end_of_the_regression_draws_a_readable_page(page: Opener) -> None:
    for option in sequences.options():
        for end in ends(option):
            asked = {**small(Regression.name, option.name), option.name: end}
            query = {f"regression.{k}": snippets.written(v) for k, v in asked.items()}
            assert_readable(page("explore", layer="mesa-layer", compare="", **query))


@pytest.mark.slow
@pytest.mark.parametrize("task", [name for name, cls in TASKS.items() if cls.trained])
def test_every_end_of_a_trained_task_draws_a_readable_page(page: Opener, task: str) -> None:
    quick = {"regression.seq_len": "16", "regression.dim": "4", "regression.sequences": "2"}
    for option in TASKS[task].options():
        for end in ends(option):
            query = {f"task.{option.name}": snippets.written(end), "task": task, "compare": ""}
            app = page("explore", **{**quick, **query})
            assert not app.exception, (option.name, end, app.exception)
            said = text_of(app)
            assert "train" in [b.key for b in app.button] or "Not possible as asked" in said
            assert "Changed in the address" not in said, (option.name, end)


def test_an_end_that_is_not_valid_is_answered_with_the_nearest() -> None:
    option = next(o for o in Regression.options() if o.name == "noise")
    beyond = replace(option, constraint=constraints.Number(0.0, 1.0))
    assert params.checked("regression.noise", beyond, "10")[0] == 1.0
