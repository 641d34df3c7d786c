"""Every page in every state it can be in, in-process."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import ttr_core as ttr
from experiments_db.installation import command
from experiments_db.read import queries
from experiments_db.store import open_store
from experiments_db.store.records import NewRun, Outcome
from tests.app.app_text import text_of
from ttr_core.words import called

ROOT = Path(__file__).resolve().parents[2]
Opener = Callable[..., AppTest]


def pages() -> list[str]:
    """Returns the names of the pages in the navigation."""
    tree = ast.parse((ROOT / "app.py").read_text())
    strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [Path(s).stem for s in strings if isinstance(s, str) and s.startswith("pages/")]


def test_every_page_file_is_in_the_navigation() -> None:
    files = {path.stem for path in (ROOT / "pages").glob("[!_]*.py")}
    assert files == set(pages())


@pytest.mark.parametrize("name", pages())
def test_page_opens_on_an_empty_store(page: Opener, name: str) -> None:
    app = page(name)
    assert not app.exception
    assert app.header


def test_runs_by_configuration_opens_on_an_empty_store(page: Opener) -> None:
    app = page("runs", **{"runs.view": "configurations"})
    assert not app.exception and app.header


SHOWN = [
    pytest.param(name, marks=[] if i % 8 == 0 else [pytest.mark.full_grid])
    for i, name in enumerate(ttr.catalog)
]


@pytest.mark.parametrize("layer", SHOWN)
def test_every_published_layer_can_be_shown(page: Opener, layer: str) -> None:
    small = {"regression.seq_len": "32", "regression.dim": "16", "regression.sequences": "2"}
    app = page("explore", layer=layer, **small)
    assert not app.exception
    assert app.header[0].value == called(layer, app.session_state["pick.frame"])
    assert app.selectbox(key="layer").value == layer
    assert app.text_input(key="spec").value == str(ttr.catalog[layer].spec)


@pytest.mark.parametrize("found", [(), ("one GPU", "another")])
def test_a_device_is_chosen_where_there_is_more_than_one(
    page: Opener, monkeypatch: pytest.MonkeyPatch, found: tuple[str, ...]
) -> None:
    monkeypatch.setattr("pages._explore.training.gpus", lambda: found)
    monkeypatch.setattr("ttr_core.lab.devices.gpus", lambda: found)
    small = {"regression.seq_len": "16", "regression.dim": "4", "regression.sequences": "2"}
    app = page("explore", layer="deltanet", compare="", device="cuda", **small)
    shown = [control for control in app.segmented_control if control.key == "device"]
    assert not app.exception and len(shown) == bool(found)
    assert not app.code, "code is colored when its box is opened"
    app.session_state["as_code"] = True
    app.run()
    said = "".join(block.value for block in app.code)
    assert ("--device cuda" in said) == ("device='cuda'" in said) == bool(found)
    if found:
        assert all(name in shown[0].help for name in found)
        shown[0].set_value("cpu").run()
        assert not app.exception and "--device cpu" in "".join(one.value for one in app.code)
    else:
        assert "auto" in text_of(app)


def verdicts() -> dict[str, str]:
    """Returns a spec of each verdict that the grid has."""
    return {cell.verdict: cell.spec for cell in reversed(ttr.grid())}


@pytest.mark.parametrize("verdict", verdicts())
def test_each_verdict_can_be_shown(page: Opener, verdict: str) -> None:
    app = page("explore", spec=verdicts()[verdict])
    assert not app.exception
    assert app.header


def test_what_is_no_layer_says_why_and_offers_layers(page: Opener) -> None:
    text = "ExpKernel | Linear | SGD"
    app = page("explore", spec=text)
    spec = ttr.Spec.parse(text)
    assert app.header[0].value == "Not a layer"
    assert all(reason in text_of(app) for reason in spec.objections())
    wanted = spec.alternatives()[0]
    app.button(key=f"alternative.{wanted}").click().run()
    assert app.text_input(key="spec").value == wanted
    assert app.header[0].value != "Not a layer"


def test_changing_an_ingredient_changes_the_spec(page: Opener) -> None:
    app = page("explore", spec="Uniform | Linear | SGD")
    app.selectbox(key="pick.optimizer").select("Hebbian").run()
    assert app.text_input(key="spec").value == "Uniform | Linear | Hebbian"
    app.selectbox(key="pick.function").select("Linear").run()
    app.selectbox(key="pick.function.map").select("elu1").run()
    assert app.text_input(key="spec").value == "Uniform | Linear(map=elu1) | Hebbian"
    assert not app.exception


def test_weights_multiply(page: Opener) -> None:
    app = page("explore", spec="Gate | Linear | Hebbian")
    app.multiselect(key="pick.times").select("Importance").run()
    assert app.text_input(key="spec").value == "Gate * Importance | Linear | Hebbian"
    assert not app.exception


def test_choosing_a_layer_fills_the_pickers(page: Opener) -> None:
    app = page("explore", spec="Uniform | Linear | Hebbian")
    app.selectbox(key="layer").select("mesa-layer").run()
    assert app.text_input(key="spec").value == str(ttr.catalog["mesa-layer"].spec)
    assert app.selectbox(key="pick.optimizer").value == "Exact"


def test_vital_signs_are_measured_when_somebody_asks(page: Opener) -> None:
    app = page("explore", layer="deltanet")
    assert not app.table
    app.toggle(key="vitals").set_value(True).run()
    assert not app.exception
    (table,) = app.table
    assert [*table.value.columns[1:]] == [*ttr.FRAMES]
    assert all(table.value[frame].iloc[0] not in ("–", "0") for frame in ttr.FRAMES)


def test_every_registered_choice_is_offered(page: Opener) -> None:
    app = page("explore")
    for family in ("weights", "function", "optimizer", "loss", "readout"):
        offered = app.selectbox(key=f"pick.{family}").options
        assert offered == [cls.name for cls in ttr.choices(family)]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"layer": "delta-net"}, "deltanet"),
        ({"spec": "Uniform | Linear | Sgd"}, "SGD"),
        ({"spec": "nonsense"}, "weights | function | optimizer"),
        ({"spec": "("}, "weights | function | optimizer"),
        ({"task.pairs": "9999999"}, "16384"),
        ({"task.pairs": "many"}, "not a whole number from 1 to 16384"),
        ({"regression.process": "lineer"}, "linear"),
        ({"train.steps": "-3"}, "using 1"),
        ({"task.parrs": "4"}, "'task.pairs'"),
        ({"seed": "-1"}, "using 0"),
    ],
)
def test_a_wrong_address_is_answered_in_words(
    page: Opener, query: dict[str, str], said: str
) -> None:
    app = page("explore", **query)
    assert not app.exception
    assert said in text_of(app)


def test_none_is_a_value_of_the_address(page: Opener) -> None:
    app = page("explore", **{"train.target": "none", "train.steps": "7"})
    assert not app.exception
    assert app.number_input(key="train.target").value is None
    app.session_state["as_code"] = True
    app.run()
    assert "--set train.steps=7 --set train.target=none" in text_of(app)


def test_settings_that_cannot_go_together_say_what_to_change(page: Opener) -> None:
    app = page("explore", **{"task.pairs": "64", "task.seq_len": "64"})
    assert not app.exception
    assert "raise seq_len or lower pairs" in text_of(app)


def test_text_from_people_is_no_markdown(page: Opener) -> None:
    app = page("explore", spec="**bold** <b> | Linear | SGD")
    markdown = "\n".join(str(m.value) for m in [*app.markdown, *app.caption])
    assert "**bold**" not in markdown


# --- runs --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A store with a finished, a diverged and a failed run; ids in order."""
    store = open_store(tmp_path_factory.mktemp("three") / "runs.duckdb")
    found = []
    with store.driver() as driver:
        for seed, status in enumerate(("finished", "diverged", "failed")):
            claim = store.claim(driver, _new_run(seed))
            assert claim.run_id is not None
            store.finish(claim.run_id, _outcome(status))
            found.append(claim.run_id)
    return store.path, found


@pytest.fixture
def three_runs(home: Path, made: tuple[Path, list[str]]) -> list[str]:
    """The ids of the runs of `made`, in a store of this test's own."""
    shutil.copy(made[0], open_store().path)
    return made[1]


def _new_run(seed: int) -> NewRun:
    from experiments_db.run.request import config_hash, request

    config = request(layer="deltanet", seed=seed, sets={"task.pairs": "4"}).config()
    return NewRun(config, config_hash(config), "deltanet", str(ttr.catalog["deltanet"].spec),
                  "published", "mqar", seed, "cpu", tags=["first"])  # fmt: skip


def _outcome(status: str) -> Outcome:
    return Outcome(
        status,
        metrics={"accuracy": 0.9, "loss": 0.4, "packed_state_size": 6176.0},
        accuracy_by={"gap": {"2-3": 1.0, "4-7": 0.8}},
        curves={"train_loss": [[1, 4.0], [10, 0.4]], "accuracy": [[1, 0.0], [10, 0.9]]},
        steps=10,
        seconds=1.5,
        state_size=8192,
        error="it *broke*" if status == "failed" else None,
    )


def test_runs_are_listed_newest_first(page: Opener, three_runs: list[str]) -> None:
    app = page("runs")
    assert not app.exception
    assert app.dataframe[0].value["run_id"].tolist() == three_runs[::-1]


def test_filters_come_from_the_address(page: Opener, three_runs: list[str]) -> None:
    app = page("runs", **{"runs.status": "failed"})
    assert app.dataframe[0].value["run_id"].tolist() == three_runs[2:]


def test_an_unknown_status_in_the_address_is_named(page: Opener, three_runs: list[str]) -> None:
    app = page("runs", **{"runs.status": "finishd"})
    assert not app.exception
    assert "'finished'" in text_of(app)


def test_a_run_of_the_address_is_shown_in_full(page: Opener, three_runs: list[str]) -> None:
    app = page("runs", run=three_runs[2])
    assert not app.exception
    said = text_of(app)
    assert three_runs[2] in said and "it *broke*" in said
    assert command("run", "--layer", "deltanet") in said
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["State"] == "8\u2009192" and shown["Packed"] == "6\u2009176"


def test_a_run_that_does_not_exist_is_no_crash(page: Opener, three_runs: list[str]) -> None:
    assert not page("runs", run="20000101-nothing").exception


def test_star_tag_note_archive(page: Opener, three_runs: list[str]) -> None:
    app = page("runs", run=three_runs[0])
    app.button(key="act.Star").click().run()
    app.text_area(key=f"note.{three_runs[0]}").set_value("remember").run()
    app.button(key="act.Archive").click().run()
    assert not app.exception
    row = queries.run(open_store(), three_runs[0])
    assert row is not None
    assert (row["starred"], row["note"], row["archived"]) == (True, "remember", True)


def test_read_only_shows_and_changes_nothing(
    page: Opener, three_runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTR_READONLY", "1")
    runs = page("runs", run=three_runs[0])
    assert not runs.exception
    assert not [b.key for b in runs.button if str(b.key).startswith("act.")]
    explore = page("explore")
    assert not explore.exception
    assert "train" not in [b.key for b in explore.button]
