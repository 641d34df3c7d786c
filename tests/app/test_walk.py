"""Each page in a browser by what one does there first; long ways and every window in the grid."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.app.browsing import LONG, Visit, menu, settle

PLAN = {
    "sweep.layers": ["deltanet", "linear-attention"], "sweep.task.pairs": "2",
    "sweep.task.seq_len": "16", "sweep.model.d_model": "16", "sweep.train.steps": "20",
}  # fmt: skip
PAGES = {
    "": "Train it", "map": "Map", "sweep": "Sweep", "runs": "Runs", "compare": "Compare",
    "analyze": "Analyze", "paper": "Paper", "guide": "Guide",
}  # fmt: skip
WINDOWS: dict[str, ViewportSize] = {
    "desktop": {"width": 1440, "height": 900},
    "phone": {"width": 390, "height": 844},
}
SCHEMES = ["light", "dark"]


def plan_address(**more: str) -> str:
    return f"sweep?{urlencode({**PLAN, **more}, doseq=True)}"


def heading(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", name=name, exact=True).first).to_be_visible()


def test_sweep_counts_what_is_picked(visit: Visit) -> None:
    page = visit(plan_address(**{"sweep.seeds": "0, 1"}))
    expect(page.get_by_text("0 of 4 runs are in the store")).to_be_visible()
    page.get_by_role("textbox", name="Seeds").fill("0")
    page.keyboard.press("Enter")
    expect(page.get_by_text("0 of 2 runs are in the store")).to_be_visible()


def test_compare_and_analyze_say_how_to_get_something(visit: Visit) -> None:
    page = visit("compare?compare.run=gone")
    expect(page.get_by_text("The store has no run gone any more")).to_be_visible()
    page.get_by_role("link", name="Go to Runs").click()
    heading(page, "Runs")
    menu(page, "Analyze")
    heading(page, "Analyze")


def test_a_claim_is_chosen_and_a_step_of_the_guide_is_read(visit: Visit) -> None:
    page = visit("paper?paper.claims=softmax-adapts")
    expect(page.get_by_role("link", name="Try it").first).to_be_visible()
    menu(page, "Guide")
    expect(page.get_by_role("link", name="See it play")).to_have_count(6)


@pytest.mark.slow
def test_a_sweep_runs_is_seen_by_another_and_compared(visit: Visit) -> None:
    """Start, watch in a second browser, on to Runs, and what was run beside each other."""
    page = visit(plan_address(**{"sweep.seeds": "5"}))
    page.get_by_role("button", name="Start").click()
    other = visit(plan_address(**{"sweep.seeds": "5"}))
    for one in (page, other):
        expect(one.get_by_text("2 of 2 runs are in the store")).to_be_visible(timeout=LONG)
    page.get_by_role("link", name="These runs in Runs").click()
    heading(page, "Runs")
    settle(page)
    expect(page.get_by_text("2 finished")).to_be_visible()
    box = page.get_by_role("combobox", name="Look at")
    box.click()
    page.get_by_role("option").first.click()
    settle(page)
    beside = page.get_by_role("link", name="Compare").last
    expect(beside).to_have_attribute("href", re.compile("compare[.]"))  # not yet that of the menu
    beside.click()
    heading(page, "Compare")
    expect(page.get_by_text("What differs")).to_be_visible()


@pytest.mark.slow
def test_a_sweep_is_paused_and_cancelled(visit: Visit) -> None:
    page = visit(plan_address(**{"sweep.train.steps": "100000", "sweep.seeds": "6"}))
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Pause").click(timeout=LONG)
    expect(page.get_by_text(", paused")).to_be_visible(timeout=LONG)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Start")).to_be_visible(timeout=LONG)


@pytest.mark.slow
def test_a_training_is_stopped(visit: Visit) -> None:
    page = visit("?task.pairs=2&task.seq_len=16&train.steps=100000&model.d_model=16&seed=77")
    page.get_by_role("button", name="Train", exact=True).click()
    own = page.get_by_test_id("stMainBlockContainer")  # Streamlit shows a Stop of its own above it
    stop = own.get_by_role("button", name="Stop", exact=True)
    expect(stop).to_be_enabled(timeout=LONG)
    stop.click()
    expect(page.locator(".st-key-live").get_by_text("cancelled")).to_be_visible(timeout=LONG)


@pytest.mark.slow(seconds=25)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("window", WINDOWS)
def test_every_page_fits_every_window(
    browser: Browser, server: str, window: str, scheme: Literal["dark", "light"]
) -> None:
    """Each in both windows and in both colors, half of them in the one so and half in the other."""
    turn = [*WINDOWS].index(window) + SCHEMES.index(scheme)
    context = browser.new_context(viewport=WINDOWS[window], color_scheme=scheme)
    for place in [*PAGES][turn % 2 :: 2]:
        said: list[str] = []
        page = context.new_page()
        page.on("console", lambda m, said=said: said.append(m.text) if m.type == "error" else None)
        page.goto(f"{server}/{place}")
        settle(page)
        heading(page, PAGES[place])
        expect(page.get_by_test_id("stException")).to_have_count(0)
        wider = page.get_by_test_id("stMain").evaluate("e => e.scrollWidth - e.clientWidth")
        assert wider == 0, f"{place}: nothing is scrolled sideways"
        assert not said, place
        page.close()
    context.close()
