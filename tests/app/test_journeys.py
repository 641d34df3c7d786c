"""Every page from several addresses, gone from and come back to; long, so among the slow ones."""

from __future__ import annotations

import itertools
import re
import time
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import pytest
from playwright.sync_api import Page, expect

import ttr_core as ttr
from tests.app.browsing import Visit, back, choose, menu, settle, spec_text

pytestmark = pytest.mark.slow

SMALL = {"regression.seq_len": "32", "regression.dim": "4", "regression.sequences": "2"}
EXPLORE: list[dict[str, str | list[str]]] = [
    {},
    {"layer": "mesa-layer", "task.pairs": "3", "task.variant": "overwrite", "model.d_model": "32"},
    {"spec": "Uniform | Linear | RLS", "compare": ""},
    {"spec": "Uniform | Linear | Exact(ridge=0.5)", "regression.constants": "fixed",
     "train.lr": "auto", "train.target": "none", "seed": "7"},
    {"compare": ["gla", "deltanet"], "regression.process": "switching", "regression.noise": "0",
     "regression.switch": "1"},
    {"frame": "paper", "layer": "gla"},
    {"spec": "ExpKernel | Linear | SGD", "drawn": "Uniform | Linear | SGD"},
    {"spec": "Gate | Lineer | SGD", "drawn": "Gate | Linear | SGD"},
]  # fmt: skip
MAP: list[dict[str, str | list[str]]] = [
    {},
    {"map.facet": "weights", "map.cells": "Uniform | Linear | RLS"},
    {"map.facet": "function", "map.hide": "true"},
    {"map.cells": ["Gate | Linear | SGD", "Uniform | Linear | RLS"]},
    {"map.hide": "true", "map.cells": "Uniform | Constant | Exact"},
    {"map.facet": "weights", "map.hide": "true"},
    {"map.facet": "function",
     "map.cells": [str(ttr.catalog[name].spec) for name in ("gla", "retnet", "based")]},
]  # fmt: skip
RUNS: list[dict[str, str | list[str]]] = [
    {},
    {"runs.view": "configurations", "runs.task": "mqar"},
    {"runs.order": "fastest", "runs.limit": "50", "runs.text": "a b"},
    {"runs.status": ["finished", "failed"], "runs.settings": "pairs=8 lr=0.01"},
    {"runs.starred": "true", "runs.limit": "1000"},
    {"runs.archived": "true", "runs.view": "configurations"},
    {"runs.sql": "accuracy > 0.5", "runs.text": "gla"},
]
COMPARE: list[dict[str, str | list[str]]] = [
    {},
    {"compare.run": "gone"},
    {"compare.run": ["gone", "too"], "compare.smooth": "0.5", "compare.logx": "true"},
    {"compare.run": "gone", "compare.of": "runs", "compare.smooth": "0.8"},
    {"compare.run": list("abcdefgh"), "compare.smooth": "0.95"},
    {"compare.run": ["b", "a"], "compare.of": "runs", "compare.logy": "true"},
    {"compare.run": "a", "compare.logx": "true", "compare.logy": "true"},
]
"""Of these four each value of each setting once, alone or with what it may be taken for."""
ANALYZE: list[dict[str, str | list[str]]] = [
    {},
    *({"analyze.view": view} for view in ("settings", "beyond", "rates", "ingredients")),
]
PAPER: list[dict[str, str | list[str]]] = [
    {"paper.claims": "identities"},
    {"paper.claims": "softmax-adapts"},
    {"paper.claims": "recall", "paper.scale": "paper"},
    {},
]
SWEEP: list[dict[str, str | list[str]]] = [
    {"sweep.layers": "gla", "sweep.task.pairs": "4,8", "sweep.seeds": "0,1"},
    {"sweep.layers": "", "sweep.specs": "Gate | Linear | SGD", "sweep.frame": "paper"},
    {"sweep.layers": "", "sweep.specs": "nonsense", "sweep.protocol": "tuned"},
    {},
]
GUIDE: list[dict[str, str | list[str]]] = [{}, {"guide.ingredients": "loss"}]
ADDRESSES = {"": EXPLORE, "map": MAP, "compare": COMPARE, "runs": RUNS, "analyze": ANALYZE,
             "paper": PAPER, "sweep": SWEEP, "guide": GUIDE}  # fmt: skip
NAMES = {"": "Explore", "map": "Map", "compare": "Compare", "runs": "Runs",
         "analyze": "Analyze", "paper": "Paper", "sweep": "Sweep",
         "guide": "Guide"}  # fmt: skip
HEADINGS = {**NAMES, "": "Train it"}


def said(page: Page) -> dict[str, list[str]]:
    """Returns what the address in the browser says."""
    return parse_qs(urlsplit(page.url).query, keep_blank_values=True)


def seen(page: Page) -> list[str]:
    """Returns what the controls and headings of a page show."""
    boxes = page.locator("input:visible, textarea:visible")
    values = boxes.evaluate_all("all => all.map(e => e.checked + e.value)")  # at one moment
    return page.get_by_role("heading").all_inner_texts() + values


def agrees(page: Page, wanted: dict[str, list[str]], first: list[str] | None = None) -> None:
    """Waits until the address says what is wanted, and the page what it did at first."""
    deadline = time.monotonic() + 30
    while said(page) != wanted or (first is not None and seen(page) != first):
        assert time.monotonic() < deadline, (said(page), wanted, seen(page), first)
        page.wait_for_timeout(200)


def hush(page: Page) -> None:
    """Ends what plays by itself, where anything does: who touches something else sees all of it."""
    for _ in range(15):  # some layers have no picture
        if page.locator(".play[data-t]").count():
            break
        page.wait_for_timeout(200)
    page.keyboard.press("Escape")
    page.wait_for_timeout(300)


@pytest.mark.parametrize("place", ADDRESSES)
def test_a_page_shows_its_address_wherever_one_has_been(visit: Visit, place: str) -> None:
    """Every other page is gone to once, from then on the one that is drawn at once."""
    page, others = visit(place), [name for name in NAMES if name != place]
    light = "compare" if place != "compare" else "runs"
    elsewheres = itertools.chain(others, itertools.repeat(light))
    for query, elsewhere in zip(ADDRESSES[place], elsewheres, strict=False):
        query = query if place else {**SMALL, **query}
        wanted = {key: v if isinstance(v, list) else [v] for key, v in query.items()}
        page.goto(urljoin(page.url, f"/{place}?{urlencode(query, doseq=True)}"))
        settle(page)
        agrees(page, wanted)
        if not place:
            hush(page)
        first = seen(page)
        menu(page, NAMES[elsewhere])
        menu(page, NAMES[place])
        agrees(page, wanted, first)  # by the menu
        back(page)
        expect(page).to_have_url(re.compile(f"/{elsewhere}([?].*)?$"))
        expect(page.get_by_role("heading", name=HEADINGS[elsewhere], exact=True)).to_be_visible()
        settle(page)
        back(page)
        agrees(page, wanted, first)  # by Back
    page.reload()  # once: of an address that agrees it asks what opening it has asked above
    settle(page)
    agrees(page, wanted, first)


def test_two_browsers_at_one_address_show_the_same(visit: Visit) -> None:
    one = visit(f"?{urlencode({**SMALL, 'layer': 'gla', 'compare': ''})}")
    choose(one, "Optimizer", "RLS")
    other = visit(one.url.partition("/?")[2].join(["?", ""]))
    for page in (one, other):
        hush(page)
    assert seen(other) == seen(one) and other.url == one.url
    expect(spec_text(other)).to_have_value("ChannelGate | Linear | RLS")
