"""The page Guide: six steps, every layer at its place, every ingredient."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

import ttr_core as ttr
from pages._guide import ingredients, six_steps
from pages._shared.rungs import RUNGS
from tests.app.app_text import text_of
from tests.app.browsing import Visit, settle, spec_text
from ttr_core.words import THEOREMS, lesson

Opener = Callable[..., AppTest]


def test_six_steps_each_end_in_a_state_of_explore(page: Opener) -> None:
    app = page("guide")
    assert not app.exception
    assert len(RUNGS) == 6 and set(RUNGS) == set(six_steps.LESSONS) == set(six_steps.MEASURED)
    said, links = text_of(app), [link.proto for link in app.get("page_link")]
    for name, (text, _) in RUNGS.items():
        assert six_steps.LESSONS[name] in said
        assert ttr.Spec.parse(text).objections() == ()
    assert len(links) >= len(RUNGS)


def test_every_published_layer_stands_somewhere(page: Opener) -> None:
    said = text_of(page("guide"))
    assert [name for name in ttr.catalog if f"explore?layer={name})" not in said] == []


def test_theorems_are_told_with_their_conditions_and_sources(page: Opener) -> None:
    said = text_of(page("guide"))
    for one in THEOREMS.values():
        assert one.claim in said and one.conditions in said
        assert all(paper.url in said and paper.title in said for paper in one.sources)
    assert "[deltanet](explore?layer=deltanet) | :orange[cannot]" in said
    assert "[deltaproduct](explore?layer=deltaproduct) | :green[can]" in said
    assert "[softmax-attention](explore?layer=softmax-attention) |" not in said, "all open"


def test_explore_says_what_a_cell_can_track(page: Opener) -> None:
    said = text_of(page("explore", spec="Uniform | Linear | SGD(link=twice_sigmoid)"))
    assert "one layer can track parity and cannot track Z3, S3, S5" in said
    assert "[reflections](guide#theory-reflections)" in said


@pytest.mark.parametrize("family", ingredients.FAMILIES)
def test_every_ingredient_is_told_with_its_code(page: Opener, family: str) -> None:
    app = page("guide", **{"guide.ingredients": family})
    for cls in ttr.choices(family):  # open its box
        app.session_state[f"code.{family}.{cls.name}"] = True
    assert not app.code and not app.run().exception
    said = text_of(app)
    for cls in ttr.choices(family):
        told = lesson(cls)
        assert told.code.strip() in said and f"class {cls.__name__}" in told.code
        assert told.summary in said
        assert [url for _, _, url in told.sources if url not in said] == []
    shown = [block.value for block in app.latex]
    assert all(text in "".join(shown) for cls in ttr.choices(family)
               for equation, text in lesson(cls).parts if equation)  # fmt: skip


@pytest.mark.parametrize("family", ingredients.FAMILIES)
def test_every_ingredient_can_be_tried(family: str) -> None:
    for cls in ttr.choices(family):
        users = ingredients._users(family, cls.name)
        assert all(name in ttr.catalog for name in users)
        if users or family == "map":
            continue  # tests/core draw every published layer
        text = ingredients._cell(family, cls.name)
        assert ttr.Spec.parse(text).objections() == (), cls.name
        assert ingredients._holds(ttr.Spec.parse(text), family, cls.name)


def test_families_are_those_that_there_are() -> None:
    found = {cls.family for cell in ttr.grid() for cls in map(type, _parts(cell.spec))}
    assert found <= set(ingredients.FAMILIES)


def _parts(text: str) -> list[ttr.Ingredient]:
    spec = ttr.Spec.parse(text)
    return [*spec.weights.factors(), spec.function, spec.optimizer, spec.loss, spec.readout]


@pytest.mark.slow
def test_what_the_steps_say_of_errors_is_measured() -> None:
    task = ttr.task("regression", {"process": "repeated", "seq_len": 128})
    change = task.switch_step
    for name, (text, _) in RUNGS.items():
        errors = task.errors(task.constants_of(ttr.Spec.parse(text)), task.data()).mean(0)
        spans = (errors[change - 16 : change], errors[change + 16 : change + 32], errors[-16:])
        found = tuple(float(span.mean()) for span in spans)
        assert found == pytest.approx(six_steps.MEASURED[name], rel=0.05), name


def test_what_the_steps_say_of_the_ridge_and_the_gate_is_measured() -> None:
    task = ttr.task("regression", {"process": "repeated", "seq_len": 128})
    fits = [ttr.Spec.parse(f"Uniform | Linear | Exact{more}") for more in ("", "(ridge=0.1)")]
    tuned, less = (task.errors(task.constants_of(fit), task.data()).mean(0) for fit in fits)
    before, after = (slice(task.switch_step - 16, task.switch_step), slice(-48, -32))
    assert "with .1 the error " in six_steps.LESSONS["Exact fit"]
    assert float(less[before].mean()) == pytest.approx(0.035, abs=0.002)
    assert float(less[before].mean()) < six_steps.MEASURED["SGD steps"][0]
    assert float(less[after].mean()) > float(tuned[after].mean())
    gate = dict(task.constants_of(ttr.Spec.parse(RUNGS["with a gate"][0])).signals)["decay"]
    assert 3 < math.log(2) / -gate < 4, "a pair's weight is halved within four tokens"


@pytest.mark.slow
def test_a_step_leads_to_its_picture(visit: Visit) -> None:
    page = visit("guide")
    page.get_by_role("link", name="See it play").nth(4).click()
    settle(page)
    assert spec_text(page).input_value() == RUNGS["Exact fit"][0]


@pytest.mark.slow
def test_the_guide_prints_whole(visit: Visit) -> None:
    page = visit("guide?guide.ingredients=loss")
    assert page.pdf().count(b"/Type /Page\n") >= 5 or page.pdf().count(b"/Type /Page ") >= 5
