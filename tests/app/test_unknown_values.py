"""Whatever value of a link no page knows, the page says so in a sentence, where it stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from experiments_db.store import open_store
from experiments_db.store.importing import import_runs
from pages._analyze import inquiry
from pages._analyze.empty import EVIDENCE
from pages._shared import address
from pages._shared.params import Param
from tests.app.app_text import text_of

ROOT = Path(__file__).resolve().parents[2]
Opener = Callable[..., AppTest]
SMALL = {"regression.seq_len": "16", "regression.dim": "4", "regression.sequences": "2"}
PAGES = {
    "explore": SMALL, "map": {}, "sweep": {}, "runs": {}, "compare": {"compare.run": "gone"},
    "analyze": {}, "paper": {"paper.claims": "identities"}, "guide": {},
}  # fmt: skip
ANY_WORD = {
    "explore": {"regression.text", *SMALL},  # words to be played; said to be small above
    "runs": {"runs.text"},  # it is searched for, and nothing found
}
"""Names whose value may be any word."""

IN_WORDS = {"pairs": "The pairs in the address cannot be read"}
"""What is said of a value that is not for people to read."""


def nonsense(key: str) -> str:
    """Returns a value that nothing has."""
    return f"zz={key}" if key == "hold" else f"zz{key.replace('.', '')}"


def is_said(key: str, app: AppTest) -> bool:
    return IN_WORDS.get(key, nonsense(key)) in text_of(app)


def params_of(app: AppTest, name: str) -> dict[str, Param]:
    known: dict[str, Param] = app.session_state[address.KEPT][name].params
    return known


@pytest.mark.parametrize("name", PAGES)
def test_an_unknown_value_is_said_where_it_stands(page: Opener, name: str) -> None:
    keys = set(params_of(page(name, **PAGES[name]), name)) - ANY_WORD.get(name, set())
    assert keys
    app = page(name, **{**PAGES[name], **{key: nonsense(key) for key in keys}})
    assert not app.exception
    silent = [key for key in sorted(keys) if not is_said(key, app)]
    for key in list(silent):  # what another one hides is said where it is alone
        alone = page(name, **{**PAGES[name], key: nonsense(key)})
        assert not alone.exception
        if is_said(key, alone):
            silent.remove(key)
    assert not silent


@pytest.mark.slow
def test_every_view_of_analyze_says_it(page: Opener, home: Path) -> None:
    import_runs(open_store(), ROOT / EVIDENCE)
    for view in inquiry.VIEWS:
        named = {key: nonsense(key) for key in inquiry.OF_VIEW[view]}
        app = page("analyze", **{"analyze.view": view, **named})
        read = set(params_of(app, "analyze")) & set(named)
        assert not app.exception and (read or view == "settings"), view  # none has two points
        assert [key for key in read if not is_said(key, app)] == [], view


@pytest.mark.parametrize(
    "said",
    [
        {
            ("hold", ("signal.stepp=0.5", "nosuch")): (
                "Did you mean 'signal.step'?",
                "hold is 'nosuch' in the address, not NAME=NUMBER",
            ),
            ("beside", "linear-atention"): ("Did you mean 'linear-attention'?",),
            ("t", "16"): ("t is 16 in the address; the last step is 15.",),
            ("run", "nosuch"): ("The store has no run 'nosuch'",),
            ("compare", ("linear-attention", "gla", "deltanet", "retnet", "based", "rwkv7", "kda")):
                ("compare names 7 in the address; the first 6 are read.",),
        },
        {
            ("layer", "gla"): ("whose spec is another",),
            ("spec", "Uniform | Linear | RLS"): (),
            ("frame", "published"): ("only a published layer has",),
            ("drawn", "Gate | Linear | SDG"): ("drawn is no layer in the address",),
        },
    ],
    ids=["of the picture", "of the layer"],
)  # fmt: skip
def test_what_explore_does_not_have_is_said(
    page: Opener, said: dict[tuple[str, str | tuple[str, ...]], tuple[str, ...]]
) -> None:
    query = {key: [value] if isinstance(value, str) else list(value) for key, value in said}
    app = page("explore", **{**SMALL, **query})
    assert not app.exception and "Changed in the address" in text_of(app)
    assert [x for sentences in said.values() for x in sentences if x not in text_of(app)] == []


def test_what_explore_has_is_no_complaint(page: Opener) -> None:
    app = page("explore", t="15", beside="linear-attention", hold="signal.step=0.5", **SMALL)
    assert "in the address" not in text_of(app) and not app.exception


def test_a_switch_that_is_neither_on_nor_off_names_both(page: Opener) -> None:
    app = page("runs", **{"runs.starred": "ture"})
    assert "Unknown value of runs.starred 'ture'. Did you mean 'true'?" in text_of(app)
    assert not app.toggle(key="runs.starred").value
