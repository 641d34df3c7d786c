"""The page Paper: a card for each claim, whatever the store has."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect
from streamlit.testing.v1 import AppTest

from experiments_db import claims
from experiments_db.claims import CLAIMS, Word
from experiments_db.installation import checkout
from experiments_db.store import Store, open_store
from experiments_db.store.backup import import_runs
from pages._explore import asked, regression, training
from pages._paper import evidence_of, pictures
from pages._shared import params
from tests.app.app_text import text_of
from tests.app.browsing import LONG, Visit, back, settle, shot

Opener = Callable[..., AppTest]
EVIDENCE = ("claims_quick.parquet", "parity.parquet")


def test_without_a_run_every_claim_is_told_from_what_was_shipped(page: Opener) -> None:
    app = page("paper")
    assert not app.exception
    said = text_of(app).replace("\\", "")
    shipped = claims.shipped("quick")
    assert shipped is not None and set(shipped.findings) == set(CLAIMS)
    for claim in CLAIMS.values():
        assert claim.sentence in said and shipped.findings[claim.name].verdict.said in said
    assert said.count(f"measured on {shipped.date}") == len(CLAIMS)
    lacking = [name for name in CLAIMS if evidence_of.work(name, "quick").runs]
    assert [b.key for b in app.button if "run." in str(b.key)] == [
        f"run.{claim.name}"
        for family in _shown_order()
        for claim in family
        if claim.name in lacking
    ]


def _shown_order() -> list[tuple[claims.Thesis, ...]]:
    order = ("regression", "mqar", "recall", "state", "literature")
    return [claims.FAMILIES[name] for name in order]


@pytest.fixture
def whole(home: Any) -> Store:
    """A store with the runs that the shipped findings are of."""
    store, root = open_store(), checkout()
    assert root is not None
    for name in EVIDENCE:
        import_runs(store, root / "docs/evidence" / name)
    return store


@pytest.mark.slow
def test_what_was_shipped_is_what_its_runs_come_to(whole: Store) -> None:
    shipped = claims.shipped("quick")
    assert shipped is not None
    for one in claims.judged(whole, list(CLAIMS.values()), "quick"):
        told = shipped.findings[one.claim.name]
        assert not one.missing, one.claim.name
        assert told.verdict.word == one.outcome.verdict.word, one.claim.name
        if one.claim.contenders("quick"):  # rounding of float64 differs from one machine to another
            assert told.verdict.said == one.outcome.verdict.said
            assert told.n == one.outcome.n
            assert told.cpu_seconds == pytest.approx(one.outcome.cpu_seconds, rel=1e-4)
            assert (one.claim.name in shipped.charts) == (one.outcome.chart is not None)


def test_runs_of_the_store_come_before_what_was_shipped(page: Opener, whole: Store) -> None:
    app = page("paper", **{"paper.claims": "forgetting-pays"})
    assert not app.exception
    assert "Of the 15 runs in your store." in text_of(app)
    assert not [b for b in app.button if str(b.key).startswith("run.")]


def test_an_identity_is_computed_when_somebody_asks(page: Opener) -> None:
    app = page("paper", **{"paper.claims": "local-constant"})
    app.button(key="check.local-constant").click().run()
    assert not app.exception and "Computed here" in text_of(app)


def test_what_is_not_there_is_not_settled_and_says_how_much_is_missing(
    page: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "shipped", lambda scale: None)
    evidence_of.shipped.clear()
    try:
        app = page("paper", **{"paper.claims": "mqar-gdn", "paper.scale": "paper"})
    finally:
        evidence_of.shipped.clear()
    assert not app.exception
    said = text_of(app)
    assert "3 of its 3 runs are missing" in said
    assert re.search(r"lacks 3 of its 3 runs: about [\dhmin ]+ on one processor", said)


def test_runs_that_claims_share_are_said_to_be_shared(page: Opener) -> None:
    said = text_of(page("paper", **{"paper.claims": "softmax-adapts"}))
    assert re.search(r"lacks 42 of its 42 runs, shared with 3 other claims: about", said)


def test_a_server_that_only_shows_runs_nothing(
    page: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store()
    monkeypatch.setenv("TTR_READONLY", "1")
    app = page("paper", **{"paper.claims": "recall"})
    assert not app.exception and "lacks 12 of its 12 runs" in text_of(app)
    assert not [b for b in app.button if str(b.key).startswith("run.")]


def test_a_wrong_claim_in_the_address_is_answered_with_the_nearest(page: Opener) -> None:
    app = page("paper", **{"paper.claims": "softmax-adapt", "paper.scale": "papr"})
    said = text_of(app)
    assert not app.exception and "'softmax-adapts'" in said and "'paper'" in said


def known_params() -> dict[str, params.Param]:
    """Returns every name that an address of Explore may have, of any task."""
    plain = {"task": params.OneOf("task", tuple(training.trained_tasks())),
             "frame": params.OneOf("frame", tuple(training.FRAMES))}  # fmt: skip
    return {**asked.params(), **regression.address_params(), **plain}


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: claim.name)
def test_try_it_leads_to_a_state_that_explore_knows(claim: claims.Thesis) -> None:
    said, known = parse_qs(claim.link, strict_parsing=True), known_params()
    if "task" in said:
        groups = training.groups(said["task"][0])
        named = {f"{group}.{o.name}": o for group, options in groups.items() for o in options}
        known |= params.settings_of(named)
    assert {"layer", "spec"} & set(said)
    assert [key for key in said if key not in known] == []
    assert [wrong for key in said for wrong in known[key].read(key, said[key])[1]] == []


def test_pictures_fit_the_dark_page() -> None:
    chart = {"mark": {"color": "#0072B2"}, "config": {"view": {}}, "width": 560}
    assert pictures.in_theme(chart, dark=True)["mark"]["color"] == "#56B4E9"
    light = pictures.in_theme(chart, dark=False)
    assert (light["mark"]["color"], light["width"]) == ("#0072B2", "container")


def test_every_verdict_has_a_look() -> None:
    from pages._paper.cards import LOOKS

    assert set(LOOKS) == set(Word)


@pytest.mark.slow
def test_from_a_claim_to_its_training_and_back(visit: Visit) -> None:
    page = visit("paper?paper.claims=mqar")
    shot(page, "paper")
    page.get_by_role("link", name="Try it").first.click()
    settle(page)
    expect(page.get_by_role("heading", name="Train it", exact=True)).to_be_visible()
    said = parse_qs(urlsplit(page.url).query)
    assert [said[key] for key in ("model.d_model", "train.steps", "frame")] == [
        ["32"], ["300"], ["paper"],
    ]  # fmt: skip
    page.get_by_role("button", name="Train", exact=False).first.click()
    live = page.locator(".st-key-live")
    expect(live.get_by_text(re.compile("Step [1-9]|finished")).first).to_be_visible(timeout=LONG)
    stop = page.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Stop")
    stop.click(force=True)  # it may have ended by itself, and the button with it
    expect(live.get_by_text(re.compile("cancelled|finished")).first).to_be_visible(timeout=LONG)
    for _ in range(4):  # the run has written its name into the address of Explore
        if "/paper" not in page.url:
            back(page)
    expect(page.get_by_role("heading", name="Paper", exact=True)).to_be_visible()
    assert parse_qs(urlsplit(page.url).query) == {"paper.claims": ["mqar"]}


@pytest.mark.slow
def test_what_is_missing_is_run_and_judged_in_place(visit: Visit) -> None:
    page = visit("paper?paper.claims=recall")
    page.get_by_role("button", name="Run what is missing").click()
    expect(page.get_by_text("Of the 12 runs in your store")).to_be_visible(timeout=2 * LONG)
    expect(page.get_by_role("button", name="Run what is missing")).to_have_count(0)


@pytest.mark.parametrize("size", claims.SCALES)
def test_a_layer_has_one_color_on_all_cards_of_a_figure(size: claims.Scale) -> None:
    shipped = claims.shipped(size)
    assert shipped is not None
    seen: dict[str, set[str]] = {}
    for claim in claims.FAMILIES["regression"]:
        for layer in shipped.charts.get(claim.name, {}).get("layer", []):
            color = layer["encoding"].get("color", {}).get("scale")
            hues = (color["domain"], color["range"]) if color else ((), ())
            for label, hue in zip(*hues, strict=True):
                seen.setdefault(label, set()).add(hue)
    assert len(seen) > 6 and all(len(hues) == 1 for hues in seen.values()), seen
