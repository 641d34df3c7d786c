"""Sweep: composing a plan, what the store has of it, starting it, its squares."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from experiments_db.read import queries
from experiments_db.store import open_store
from experiments_db.sweeps import expanded, of_text
from pages._sweep import going, squares
from tests.app.app_text import text_of
from tests.batch.conftest import FAKE_WORKER
from ttr_core.lab import MQAR

Opener = Callable[..., AppTest]
SMALL = {
    "sweep.layers": ["linear-attention", "deltanet"],
    "sweep.specs": "Gate | Linear | SGD",
    "sweep.task.pairs": "2, 4",
    "sweep.seeds": "0, 1",
}


def plan_on(app: AppTest) -> str:
    return next(one.value for one in app.code if one.language == "yaml")


def test_a_line_of_a_link_that_is_cut_says_so(page: Opener) -> None:
    app = page("sweep", **{"sweep.seeds": ",".join(map(str, range(3000)))})
    assert not app.exception and "sweep.seeds has 13889 letters in the address" in text_of(app)


def test_pickers_make_the_plan_that_a_terminal_runs(page: Opener) -> None:
    app = page("sweep", **SMALL, **{"sweep.model.d_model": "32", "sweep.frame": "paper"})
    assert not app.exception
    runs = expanded(*of_text(plan_on(app))).runs
    assert len(runs) == 3 * 2 * 2 and "12 runs" in text_of(app)
    assert {run.experiment.model.frame for run in runs} == {"paper"}
    assert {run.experiment.task.settings()["pairs"] for run in runs} == {2, 4}
    app.text_input(key="sweep.task.pairs").set_value("2").run()
    assert "6 runs" in text_of(app)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"sweep.layers": "", "sweep.specs": ""}, "Choose a published layer"),
        ({"sweep.layers": "no such layer"}, "no such layer"),
        ({"sweep.layers": "", "sweep.specs": "nonsense"}, "weights | function | optimizer"),
        ({"sweep.task.pairs": "many"}, "many"),
        ({"sweep.task.pairs": "-1"}, "-1"),
        ({"sweep.train.lr": "0.1", "sweep.protocol": "tuned"}, "tries the learning rates"),
        ({"sweep.seeds": "nan"}, "nan"),
        ({"sweep.seeds": ",".join(map(str, range(25))), "sweep.train.steps": "1,2,3,4,5,6,7"},
         "525 runs"),
        ({"sweep.task": "'); DROP"}, "DROP"),
    ],
)  # fmt: skip
def test_whatever_is_asked_is_answered_in_a_sentence(
    page: Opener, asked: dict[str, str], said: str
) -> None:
    app = page("sweep", **asked)
    assert not app.exception and said in text_of(app).replace("\\", "").replace("\u2009", "")


def test_a_sweep_is_started_once_and_found_again(
    page: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments_db.run.process.COMMAND", FAKE_WORKER)
    monkeypatch.setattr("experiments_db.store.store.INTERVAL", 0.05)
    monkeypatch.setenv("FAKE_STEPS", "2")
    app = page("sweep", **SMALL)
    app.button(key="sweep.start").click().run()
    (name,) = [known for known in going._known() if known.startswith("sweep-")]
    served = going._known()[name]
    assert served.wait(60)
    app = page("sweep", **SMALL)  # another browser at the same address
    assert not app.exception and going._known()[name] is served
    assert app.button(key="sweep.start").disabled
    assert "12 are in the store" in text_of(app)
    runs = queries.runs(open_store())
    assert set(runs["status"]) == {"finished"} and len(runs) == 12
    assert all(tags == [name] for tags in map(list, runs["tags"]))
    del going._known()[name]


def test_a_server_that_only_shows_starts_nothing(
    page: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTR_READONLY", "1")
    app = page("sweep", **SMALL)
    assert not app.exception and "sweeps are off" in text_of(app)
    assert "sweep.start" not in [button.key for button in app.button] and plan_on(app)


def test_a_square_says_how_its_run_stands() -> None:
    runs = expanded(*of_text("layers: [deltanet]\ntasks: [mqar]\nseeds: [0, 1, 2, 3]")).runs
    first, second, third, _ = (run.config_hash for run in runs)
    results = {
        first: {"status": "finished", "metrics": {"accuracy": 0.987}},
        second: {"status": "diverged", "metrics": {}},
    }
    held = {first: "complete", second: "complete", third: "running"}
    data = squares.how_they_stand(runs, held, results, {}, {})
    assert data["state"].tolist() == ["done", "diverged", "elsewhere", "to run"]
    assert data["short"].tolist() == ["99", "", "", ""] and data["value"].notna().sum() == 1
    assert squares.drawn_squares(data, MQAR.main(), dark=False).to_dict()
