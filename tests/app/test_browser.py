"""The real app in headless Chromium: one whole journey, nothing leaves the machine."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

import ttr_core as ttr
from experiments_db.run.request import config_hash, request
from experiments_db.store import open_store
from experiments_db.store.records import NewRun, Outcome
from tests.app.browsing import (
    LONG,
    ReducedMotion,
    Visit,
    back,
    chart,
    choose,
    click_cell,
    menu,
    settle,
    shot,
    spec_text,
    still,
)


@pytest.fixture
def motion() -> ReducedMotion:
    """What moves by itself has tests of its own: test_first_seconds.py and test_play.py."""
    return "reduce"


@pytest.fixture(params=[pytest.param("light", marks=pytest.mark.slow(seconds=8)), "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    """Every other test sees the pages in light."""
    return str(request.param)


def test_first_visitor_of_a_server_may_come_by_the_address_of_a_page(visit: Visit) -> None:
    page = visit("runs")
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Explore").first).to_be_visible()
    expect(page).to_have_title("Test-time regression explorer")


def test_no_other_site_may_show_the_app_in_a_frame(server: str) -> None:
    for path in ("/", "/runs", "/_stcore/health", "/nothing-there"):
        with urllib.request.urlopen(server + path) as answer:
            assert answer.headers["X-Frame-Options"] == "DENY", path
            assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'none'", path


def test_journey_from_three_ingredients_to_a_stored_run(visit: Visit) -> None:
    page = visit("?task.pairs=2&task.seq_len=16&task.vocab_size=64&train.steps=60&model.d_model=32")
    choose(page, "Weights", "Uniform")
    choose(page, "Function class", "Linear")
    choose(page, "Optimizer", "SGD")
    expect(page.get_by_role("heading", name="deltanet", exact=True)).to_be_visible()
    expect(chart(page, "Squared error at each step of deltanet")).to_be_visible()
    expect(chart(page, "How much of each past value")).to_be_visible()

    page.get_by_role("button", name="Train", exact=False).first.click()
    live = page.locator(".st-key-live")
    expect(live.get_by_text("finished")).to_be_visible(timeout=LONG)
    settle(page)
    link = live.get_by_role("link", name="All about this run")
    link.click()
    settle(page)
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    expect(page.get_by_text("1 finished")).to_be_visible()
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible()
    shot(page, "journey-runs")


def test_pages_in_light_and_dark(visit: Visit, scheme: str) -> None:
    page = visit("", scheme)
    expect(page.get_by_role("heading", name="gated-deltanet")).to_be_visible()
    shot(page, f"explore-{scheme}")
    menu(page, "Runs")
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    shot(page, f"runs-{scheme}")


@pytest.mark.slow(seconds=18)
def test_back_forward_reload_and_menu_show_what_the_address_says(visit: Visit) -> None:
    page = visit("?regression.seq_len=32&regression.sequences=2&regression.dim=4")
    start = page.url
    choose(page, "Optimizer", "Hebbian")
    expect(page).to_have_url(re.compile("spec=Gate.*Hebbian"))
    page.get_by_label("Clear all").first.click()
    expect(page).to_have_url(re.compile("spec=Gate.*Hebbian.*compare=$"))
    settle(page)
    emptied = page.url
    back(page)
    back(page)
    expect(spec_text(page)).to_have_value("Gate | Linear | SGD")
    expect(page.get_by_role("heading", name="gated-deltanet")).to_be_visible()
    expect(chart(page, "Squared error at each step of gated-deltanet, softmax")).to_be_visible()
    expect(page).to_have_url(start)
    page.go_forward()
    settle(page)
    page.go_forward()
    settle(page)
    for come in (page.reload, lambda: menu(page, "Runs") or menu(page, "Explore"), page.reload):
        come()
        settle(page)
        expect(page).to_have_url(emptied)
        expect(spec_text(page)).to_have_value("Gate | Linear | Hebbian")
        expect(chart(page, "Squared error at each step of gated retention; mean")).to_be_visible()

    text = spec_text(page)
    text.fill("Gate | Linear | SDG")
    text.press("Enter")
    settle(page)
    expect(page.get_by_role("heading", name="Not a layer")).to_be_visible()
    expect(page.get_by_text("shown instead").first).to_be_visible()
    expect(chart(page, "Squared error at each step of gated retention; mean")).to_be_visible()
    shot(page, "explore-typo")
    page.get_by_role("button", name="gated-deltanet Gate | Linear | SGD").click()
    settle(page)
    expect(page.get_by_role("heading", name="gated-deltanet")).to_be_visible()


def test_each_visit_is_one_entry_of_the_history(visit: Visit) -> None:
    """Back leaves the page that the menu has led to, though the page completes its address."""
    page = visit("map?map.facet=weights&map.cells=nothing")
    expect(page).to_have_url(re.compile("/map[?]map.facet=weights$"))  # corrected
    before = page.evaluate("history.length")
    for name in ("Runs", "Map"):
        menu(page, name)
    expect(page).to_have_url(re.compile("/map[?]map.facet=weights$"))
    assert page.evaluate("history.length") == before + 2
    page.get_by_text("Hide rows and columns without a layer").click()
    expect(page).to_have_url(re.compile("map.hide=true"))
    settle(page)
    for address in ("/map[?]map.facet=weights$", "/runs$", "/map[?]map.facet=weights$"):
        back(page)
        expect(page).to_have_url(re.compile(address))
    assert page.evaluate("history.length") == before + 3


def test_explore_has_an_address_of_its_name(visit: Visit) -> None:
    page = visit("explore?layer=deltanet&regression.seq_len=32&regression.sequences=2")
    expect(page.get_by_role("heading", name="deltanet", exact=True)).to_be_visible()
    expect(page.get_by_text("Page not found")).to_have_count(0)


def test_a_click_on_the_map_opens_a_cell_and_shift_collects_it(visit: Visit) -> None:
    page = visit("map")
    click_cell(page, "Gate | Linear | SGD", "Shift")
    expect(page.get_by_text("1 cell collected")).to_be_visible()
    click_cell(page, "Decay | Linear | SGD", "Shift")
    expect(page.get_by_text("2 cells collected")).to_be_visible()
    assert page.evaluate("String(getSelection())") == "", "shift and a click select text"
    click_cell(page, "ExpKernel | Linear | SGD", "Shift")
    expect(page.get_by_text("2 cells collected")).to_be_visible()
    page.get_by_text("Hide rows and columns without a layer").click()
    settle(page)
    expect(page.get_by_text("2 cells collected")).to_be_visible()
    expect(page).to_have_url(re.compile("map.hide=true"))
    collected = page.url
    click_cell(page, "Gate | Linear | SGD")
    page.wait_for_url("**/?spec=*")
    settle(page)
    expect(spec_text(page)).to_have_value("Gate | Linear | SGD")
    back(page)
    expect(page).to_have_url(collected)  # and not the values of Explore under the Map's name
    expect(page.get_by_text("2 cells collected")).to_be_visible()
    page.reload()
    settle(page)
    expect(page.get_by_text("2 cells collected")).to_be_visible()
    click_cell(page, "Gate | Linear | SGD", "Shift")
    expect(page.get_by_text("1 cell collected")).to_be_visible()


def test_the_whole_space_is_on_one_screen_and_its_names_fit(visit: Visit, scheme: str) -> None:
    page = visit("map", scheme)
    page.set_viewport_size({"width": 1440, "height": 900})
    heat_map = chart(page, "Weights by Function class for each optimizer")
    shot(page, f"map-{scheme}")
    box = still(heat_map)
    assert box["x"] >= 0 and box["x"] + box["width"] <= 1440
    last = heat_map.locator("text", has_text="LongConvolution").bounding_box()
    assert last is not None and last["y"] + last["height"] <= 900
    cut = [text for text in heat_map.locator("text").all_text_contents() if "…" in text]
    assert cut == [], "a name is cut"
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(1000)  # the page resizes its charts a while after the window
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390, "the page is pulled"
    shot(page, f"map-phone-{scheme}")
    assert still(heat_map)["width"] > 390
    page.get_by_text("All of it at once").click()
    small = still(heat_map)
    assert small["x"] >= 0 and small["x"] + small["width"] <= 390, "an overview on a phone"


def put(home: Path, layer: str, seeds: range) -> list[str]:
    """Stores finished runs of a layer; returns their ids."""
    store, found = open_store(home / "runs.duckdb"), []
    with store.driver() as driver:
        for seed in seeds:
            config = request(layer=layer, seed=seed, sets={"task.pairs": "3"}).config()
            spec = str(ttr.catalog[layer].spec)
            run = NewRun(config, config_hash(config), layer, spec, "published", "mqar", seed, "cpu")
            found.append(str(store.claim(driver, run).run_id))
            store.finish(found[-1], Outcome("finished", {"accuracy": 0.5, "loss": 1.0}))
    return found


def tick(page: Page, row: int) -> None:
    """Ticks a row of the table of Runs, which is drawn on a canvas."""
    table = page.get_by_test_id("stDataFrame").first
    expect(table.locator("canvas").first).to_be_visible()
    box = still(table)
    page.mouse.click(box["x"] + 18, box["y"] + 35 * (row + 1) + 17)
    settle(page)


@pytest.mark.slow(seconds=30)
def test_picks_on_runs_follow_the_runs(visit: Visit, server_home: Path) -> None:
    ids = put(server_home, "retnet", range(2))
    page = visit("runs?runs.layer=retnet", "dark")
    tick(page, 0)  # the newest first
    expect(page.get_by_text("1 picked", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile(ids[-1]))
    page.get_by_role("button", name="Star", exact=True).click()
    settle(page)
    expect(page.get_by_text("Starred 1 run.")).to_be_visible()
    page.wait_for_timeout(5000)  # longer than between two looks at the store
    expect(page.get_by_role("button", name="Something changed")).to_have_count(0)

    put(server_home, "retnet", range(2, 4))
    page.get_by_role("button", name="Something changed").click(timeout=LONG)
    expect(page.get_by_text("4 runs, newest first")).to_be_visible(timeout=LONG)
    settle(page)
    expect(page.get_by_text("1 picked", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile(ids[-1]))  # new rows above it have not moved it
    shot(page, "runs-picked")

    page.get_by_role("button", name="Archive", exact=True).click()
    settle(page)
    expect(page.get_by_text("0 picked", exact=True)).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    settle(page)
    expect(page.get_by_text("1 picked", exact=True)).to_be_visible()


@pytest.mark.parametrize("place", ["", "runs", "map?map.facet=weights"])
def test_a_page_asks_for_nothing_that_is_not_there(
    visit: Visit, context: BrowserContext, place: str
) -> None:
    """The browser is told where the server is, and does not look for it below each page."""
    refused: list[str] = []
    context.on("response", lambda r: refused.append(r.url) if r.status >= 400 else None)
    visit(place)
    assert not refused


def test_code_is_drawn_when_its_box_is_opened(visit: Visit) -> None:
    """Coloring it took a third of the browser's time at the first opening."""
    page = visit()
    expect(page.get_by_test_id("stCode")).to_have_count(0)
    colored = "() => performance.getEntriesByType('resource').some(r => /Highlighter/.test(r.name))"
    assert not page.evaluate(colored)
    page.get_by_text("The same on the command line and in Python").click()
    expect(page.get_by_text("experiment = request(").first).to_be_visible()
    page.get_by_role("button", name="Source").click()
    expect(page.get_by_text("class Gate(").first).to_be_visible()
