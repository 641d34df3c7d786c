"""The address says what a page shows: it wins over the session, and holds every value."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

import ttr_core as ttr
from experiments_db.run.jobs import MEASURED, Job
from experiments_db.run.request import request, usual_frame
from experiments_db.store import open_store
from experiments_db.store.records import NewRun, Outcome
from pages._explore import asked, sequences
from pages._runs import details
from pages._shared import address, palette, params, snippets, ui
from tests.app.app_text import text_of
from ttr_core.lab import TASKS, Regression
from ttr_core.words import marked_formulas

Opener = Callable[..., AppTest]
SMALL = {"regression.seq_len": "16", "regression.dim": "4", "regression.sequences": "2"}
"""Pictures that are drawn in no time."""


def come_back(app: AppTest, monkeypatch: pytest.MonkeyPatch, **query: Any) -> AppTest:
    """Does as the browser does for Back and Forward."""
    app.query_params.clear()
    app.query_params.update(query)
    with monkeypatch.context() as patched:
        patched.setattr(address, "_by_history", lambda: True)
        return app.run()


def shown(app: AppTest) -> tuple[str, str, str]:
    """Returns what text, picker and title say."""
    return (
        app.text_input(key="spec").value,
        app.selectbox(key="pick.optimizer").value,
        (app.header[0].value),
    )


# --- who decides ---------------------------------------------------------------------------------


def test_back_shows_what_the_address_says_and_not_the_session(
    page: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = page("explore", **{"task.pairs": "4"}, **SMALL)
    before = dict(app.query_params)
    app.selectbox(key="pick.optimizer").select("Hebbian").run()
    app.number_input(key="task.pairs").set_value(2).run()
    app.multiselect(key="compare").set_value([]).run()
    after = dict(app.query_params)
    changed = {"spec": "Gate | Linear | Hebbian", "task.pairs": "2", "compare": ""}
    assert after == {**SMALL, **changed}
    come_back(app, monkeypatch, **before)
    assert shown(app) == ("Gate | Linear | SGD", "SGD", "gated-deltanet")
    assert app.number_input(key="task.pairs").value == 4
    assert app.multiselect(key="compare").value == ["softmax-attention", "linear-attention"]
    come_back(app, monkeypatch, **after)
    assert shown(app)[:2] == ("Gate | Linear | Hebbian", "Hebbian")
    assert app.number_input(key="task.pairs").value == 2
    assert app.multiselect(key="compare").value == [] and not app.exception
    assert dict(app.query_params) == after


@pytest.mark.parametrize("name", ["explore", "map", "runs", "compare", "analyze"])
def test_a_name_that_a_page_does_not_know_is_named(page: Opener, name: str) -> None:
    app = page(name, nosuch="1", embed="false")
    assert not app.exception and "Unknown name in the address 'nosuch'" in text_of(app)
    assert "embed" not in text_of(app).partition("Valid:")[0]


def test_a_run_that_is_not_there_is_named_and_not_picked(page: Opener) -> None:
    app = page("runs", run="nosuch")
    assert not app.exception and "The store has no run 'nosuch'" in text_of(app)
    assert "run" not in app.query_params


def test_a_change_is_not_taken_back_by_the_address_of_a_moment_ago(page: Opener) -> None:
    app = page("explore", **SMALL)
    app.selectbox(key="pick.optimizer").select("Hebbian").run()
    app.query_params.clear()  # a quick second change is sent before the first has been written
    app.number_input(key="task.pairs").set_value(2).run()
    assert app.query_params == {**SMALL, "spec": "Gate | Linear | Hebbian", "task.pairs": "2"}


def test_a_page_is_as_it_was_left_when_the_menu_leads_back(
    page: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = page("explore", layer="mesa-layer", **SMALL)
    said = dict(app.query_params)
    app.query_params.clear()
    app.switch_page("pages/runs.py").run()
    app.query_params.clear()
    app.switch_page("pages/explore.py").run()
    assert app.query_params == said and app.header[0].value == "mesa-layer"
    come_back(app, monkeypatch)  # to the bare address that the menu had led to
    assert app.query_params == said and app.header[0].value == "mesa-layer"


def test_a_link_with_values_resets_every_other_value(page: Opener) -> None:
    app = page("explore", **{"task.pairs": "4", "train.lr": "0.003", "compare": "gla"}, **SMALL)
    app.switch_page("pages/runs.py").run()
    app.query_params.clear()
    app.query_params.update({"layer": "deltanet", **SMALL})
    app.switch_page("pages/explore.py").run()
    assert app.query_params == {"layer": "deltanet", **SMALL}
    assert app.number_input(key="task.pairs").value == 8
    assert app.text_input(key="train.lr").value == "0.01"


# --- every value ---------------------------------------------------------------------------------


def _link() -> None:
    import streamlit as st

    from pages._explore import asked, share
    from pages._shared import address, ui

    address.begin("explore")
    share.read_address()
    for sentence in address.problems():
        st.text(sentence)
    st.code(ui.permalink(share.linked(asked.parsed())))
    address.tell()


def test_a_link_that_names_every_value_keeps_an_emptied_list() -> None:
    app = AppTest.from_function(_link, default_timeout=30)
    app.query_params.update({"compare": "", "train.target": "none"})
    link = app.run().code[0].value
    said = parse_qs(urlsplit(link).query, keep_blank_values=True)
    assert said["compare"] == [""] and said["train.target"] == ["none"]
    assert said["frame"] == ["published"] and said["spec"] == ["Gate | Linear | SGD"]
    again = AppTest.from_function(_link, default_timeout=30)
    again.query_params.update(said)
    assert again.run().code[0].value == link and not again.text and not again.exception


@pytest.mark.parametrize(
    "param",
    [params.Several("layer", ("a", "b"), ("a",)), params.Switch(), params.Words(9),
     params.OneOf("axis", ("x", "y"), "x"),
     *params.settings_of({o.name: o for cls in TASKS.values() for o in cls.options()}).values()],
    ids=str,
)  # fmt: skip
def test_what_a_parameter_writes_it_reads(param: params.Param) -> None:
    assert param.read("name", param.at_default) == (param.default, [])


def test_open_in_explore_names_all_that_a_run_was(page: Opener) -> None:
    sets = {"task.pairs": "3", "train.lr": "auto", "model.d_model": "32"}
    asked_for = request(layer="gla", seed=5, frame="standard", sets=sets, device="cpu")
    store = open_store()
    with store.driver() as driver:
        spec = str(ttr.catalog["gla"].spec)
        run = NewRun(asked_for.config(), "h", "gla", spec, "standard", "mqar", 5, "cpu")
        run_id = str(store.claim(driver, run).run_id)
        store.finish(run_id, Outcome("finished", {"accuracy": 0.5}))
    app = page("explore", layer="mesa-layer", **{"train.steps": "7", "model.depth": "2"}, **SMALL)
    app.query_params.clear()
    app.query_params["run"] = run_id
    app.switch_page("pages/runs.py").run()
    (link,) = [x.proto.query_string for x in app.get("page_link") if "spec" in x.proto.query_string]
    app.query_params.clear()
    app.query_params.update({**SMALL, **{key: v[0] for key, v in parse_qs(link).items()}})
    app.switch_page("pages/explore.py").run()
    assert not app.exception and app.header[0].value == "gla"
    app.session_state["as_code"] = True
    said = text_of(app.run())
    assert snippets.command("mqar", "gla", spec, sets, "standard", 5).split("--set")[0] in said
    assert "train.steps" not in said and "model.depth" not in said
    for key, value in sets.items():
        assert f"--set {key}={value}" in said
    assert "--seed 5" in said and "--frame standard" in said


def test_a_run_without_training_opens_with_its_own_settings() -> None:
    experiment = request(spec="Gate | Linear | SGD", task="regression", sets={"noise": "0.5"})
    run = {"config": experiment.config(), "task": "regression", "layer": None, "frame": "standard",
           "spec": "Gate | Linear | SGD", "seed": 3}  # fmt: skip
    link = details.link(run)
    assert link["regression.noise"] == "0.5" and link["regression.seed"] == "3"
    assert "task" not in link and "seed" not in link


def test_a_run_of_stacked_layers_is_repeated_with_all_of_them() -> None:
    experiment = request(layer="gla", sets={"model.layers": "gla,softmax-attention"})
    run = {"config": experiment.config(), "task": "mqar", "layer": None, "frame": "published",
           "spec": "x, y", "seed": 0}  # fmt: skip
    assert "--set model.layers=gla,softmax-attention" in details._command(run)


# --- one story of the frame ----------------------------------------------------------------------


@pytest.mark.parametrize(("layer", "frame"), [("deltanet", "published"), (None, "standard")])
def test_form_and_command_line_have_one_usual_frame(
    page: Opener, layer: str | None, frame: str
) -> None:
    query = {"layer": layer} if layer else {"spec": "Uniform | Linear | RLS"}
    app = page("explore", **query, **SMALL)
    which = {"layer": layer} if layer else {"spec": "Uniform | Linear | RLS"}
    assert request(**which).model.frame == usual_frame(layer) == frame
    shown = app.segmented_control(key="pick.frame")
    assert shown.value == usual_frame(layer)
    assert ("published" in shown.options) == bool(layer)
    app.session_state["as_code"] = True
    said = text_of(app.run())
    assert "run --" in said and "--frame" not in said and "frame" not in app.query_params


def test_a_chosen_frame_stays_and_the_usual_one_follows_the_layer(page: Opener) -> None:
    app = page("explore", layer="deltanet", compare="", **SMALL)
    app.selectbox(key="pick.optimizer").select("RLS").run()
    assert app.segmented_control(key="pick.frame").value == "standard"
    app.segmented_control(key="pick.frame").set_value("paper").run()
    assert app.query_params["frame"] == "paper"
    app.selectbox(key="layer").select("gla").run()
    assert app.segmented_control(key="pick.frame").value == "paper"
    app.segmented_control(key="pick.frame").set_value("published").run()
    assert "frame" not in app.query_params and not app.exception


# --- what is asked for, and what is drawn --------------------------------------------------------


@pytest.mark.parametrize("text", ["Gate | Linear | SDG", "ExpKernel | Linear | SGD", "nonsense"])
def test_what_is_no_layer_leaves_the_picture_and_says_so(page: Opener, text: str) -> None:
    app = page("explore", layer="gla", **SMALL)
    app.text_input(key="spec").set_value(text).run()
    assert not app.exception and app.header[0].value == "Not a layer"
    assert app.subheader[0].value == "gla" and "shown instead" in text_of(app)
    assert app.get("bidi_component") and "train" not in [b.key for b in app.button]
    drawn = str(ttr.catalog["gla"].spec)
    assert app.query_params == {"spec": text, "drawn": drawn, **SMALL}
    again = page("explore", **app.query_params)
    assert again.subheader[0].value == "gla" and again.text_input(key="spec").value == text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ExpKernel | Linear | SGD", "deltanet"),
        ("Uniform | Lineer | Sgd", "deltanet"),
        ("delta-net", "deltanet"),
        ("Uniform | Linaer | Hebian", "linear-attention"),
    ],
)
def test_the_nearest_layers_have_their_published_names(page: Opener, text: str, name: str) -> None:
    app = page("explore", spec=text, **SMALL)
    offers = {b.key: b.label for b in app.button if str(b.key).startswith("alternative.")}
    key = f"alternative.{ttr.catalog[name].spec}"
    assert f"**{name}" in offers[key]
    app.button(key=key).click().run()
    assert app.header[0].value == name and "drawn" not in app.query_params


def test_every_offer_is_a_layer() -> None:
    for text in ("Uniformm | Lineer | Sgd", "Gate * ExpKernl | Constant | Exact", "mesa"):
        offers = asked._named_first(asked._repaired(text))
        assert offers and not [o for o in offers if ttr.Spec.parse(o).objections()]


# --- one source of the values drawn --------------------------------------------------------------


def test_equations_notes_and_picture_have_the_same_values(page: Opener) -> None:
    app = page("explore", layer="mesa-layer", **{**SMALL, "regression.noise": "0"})
    settings = {key.partition(".")[2]: int(v) for key, v in SMALL.items()} | {"noise": 0}
    made = {**sequences.STARTS, **settings}  # as the page begins
    spec = ttr.catalog["mesa-layer"].spec
    drawn = Regression(**made).constants_of(spec).spec  # type: ignore[arg-type]
    assert drawn != spec, "nothing to tell apart: choose other sizes"
    ridge = f"{drawn.optimizer.ridge:g}"  # type: ignore[attr-defined]
    _, update, _ = map(palette.colored, marked_formulas(drawn))
    assert ttr.describe(drawn).update != ttr.describe(spec).update
    formulas = [latex.value for latex in app.latex]
    assert any(part in formula for part in update.split(r",\qquad ")[:1] for formula in formulas)
    assert app.button(key="lock.optimizer.ridge").label == f"ridge **{ui.escaped(ridge)}**"
    assert f"Tuned: ridge = {ridge}" in text_of(app)


def test_fixed_constants_are_those_of_the_cards(page: Opener) -> None:
    app = page("explore", spec="Uniform | Linear | Exact(ridge=0.5)",
               **{**SMALL, "regression.constants": "fixed"})  # fmt: skip
    keys = [str(knob.key) for knob in app.number_input]
    assert [key for key in keys if "ridge" in key] == ["pick.optimizer.ridge"]
    assert "drawn with" not in text_of(app) and not app.exception
    gated = page("explore", layer="gated-deltanet", **{**SMALL, "regression.constants": "fixed"})
    knobs = [str(k.key) for k in gated.number_input]
    assert {"regression.decay", "regression.step"} <= set(knobs)


def test_a_slow_layer_shows_the_sizes_that_are_drawn(page: Opener) -> None:
    app = page("explore", spec="Uniform | Linear | Exact(ridge=0)")
    known = {str(box.key): box for box in app.text_input}
    for name, value in (("seq_len", "32"), ("dim", "8"), ("constants", "fixed")):
        assert known[f"slow.regression.{name}"].value == value
        assert known[f"slow.regression.{name}"].disabled
    assert "regression.seq_len" not in app.query_params, "what was asked for stays"


# --- estimates, what was cut short --------------------------------------------------------


def test_no_time_is_promised_before_a_pace_is_measured() -> None:
    job = Job("job-1", request(layer="deltanet"))
    job.begin("run")
    for i in range(20):  # the first two steps take seconds, as what is done once does
        job.add({"event": "progress", "step": i + 1, "steps": 100, "loss": 1.0, "lr": 0.1,
                 "tokens_per_second": 1.0, "seconds": 0.1 * i + (9.0 if i else 7.0)})  # fmt: skip
        left = job.snapshot().remaining
        if i + 1 < MEASURED:
            assert left is None
        else:
            assert left == pytest.approx((99 - i) * 0.1)


def _cut_short() -> None:
    from experiments_db.run.jobs import Job
    from experiments_db.run.request import request
    from pages._explore import live

    job = Job("job-1", request(layer="deltanet"))
    job.begin(None)
    job.add({"event": "progress", "step": 20, "steps": 600, "loss": 9.0, "lr": 0.01, "seconds": 1})
    job.add({"event": "evaluated", "step": 20, "metrics": {"accuracy": 0.0}})
    job.end("cancelled")
    live._ended(job.snapshot())


def test_a_cancelled_run_shows_no_test_result() -> None:
    app = AppTest.from_function(_cut_short, default_timeout=30).run()
    assert not app.exception
    labels = [metric.label for metric in app.metric]
    assert "Last accuracy on validation" in labels and "Test accuracy" not in labels


def _written_in_its_midst() -> None:
    from pages._shared import address, params

    address.begin("explore")
    address.take({"name": params.Words(9)})
    address.put("name", "run")
    address.write()
    address.tell()


def test_a_page_may_write_its_address_before_it_ends() -> None:
    app = AppTest.from_function(_written_in_its_midst, default_timeout=30).run()
    assert not app.exception and app.query_params["name"] == "run"


# --- taken elsewhere -----------------------------------------------------------------------------


def test_copied_python_finds_a_checkout_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = [snippets.solve_snippet("Gate | Linear | SGD"), snippets.layer_snippet("gla")]
    texts.append(snippets.run_snippet("mqar", "gla", "", {}))
    monkeypatch.setattr(snippets, "installed", lambda: False)
    monkeypatch.setattr(snippets, "ABOVE", "/some/where")
    away = [snippets.solve_snippet("Gate | Linear | SGD"), snippets.layer_snippet("gla")]
    away.append(snippets.run_snippet("mqar", "gla", "", {}))
    for text in away:
        assert text.startswith("import sys\n\nsys.path.insert(0, '/some/where')\n")
    assert len(texts) == len(away)


def test_copied_python_runs_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a checkout that is not installed: isolated, Python looks nowhere but in its packages."""
    monkeypatch.setattr(snippets, "installed", lambda: False)
    small = {"task.seq_len": 16, "task.dim": 4, "task.sequences": 2}
    texts = [
        snippets.solve_snippet("Gate | Linear | SGD"),
        snippets.layer_snippet("gla"),
        snippets.run_snippet("regression", "deltanet", "", small),
        "print(ttr.__file__)\n",
    ]
    command = [sys.executable, "-I", "-c", "\n".join(texts)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(Path(ttr.__file__))
