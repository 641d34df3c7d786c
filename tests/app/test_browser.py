"""The real app in headless Chromium: one whole journey, nothing leaves the machine."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

import ttr_core as ttr
from experiments_db.run.request import config_hash, request
from experiments_db.store import open_store
from experiments_db.store.records import NewRun, Outcome

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
LONG = 60_000  # ms
expect.set_options(timeout=20_000)  # a busy machine is slow and not wrong
Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def visit(browser: Browser, server: str) -> Iterator[Visit]:
    """Opens pages; afterwards every request must have stayed here and no error box have shown."""
    outside: list[str] = []
    errors: list[str] = []
    contexts: list[BrowserContext] = []

    def opened(path: str = "", scheme: str = "light") -> Page:
        context = browser.new_context(color_scheme=scheme, viewport={"width": 1440, "height": 1000})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("request", lambda r: outside.append(r.url) if _is_outside(r.url) else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{server}/{path}")
        settle(page)
        return page

    yield opened
    for context in contexts:
        for page in context.pages:
            expect(page.get_by_test_id("stException")).to_have_count(0)
        context.close()
    assert outside == [] and errors == []


def _is_outside(url: str) -> bool:
    parts = urlparse(url)
    inside = parts.hostname in ("127.0.0.1", "localhost")
    return parts.scheme in ("http", "https", "ws", "wss") and not inside


def settle(page: Page) -> None:
    """Waits until the script has run and everything is drawn."""
    page.wait_for_timeout(150)  # Streamlit marks the run a moment after the click
    app = page.get_by_test_id("stApp")
    expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=LONG)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0, timeout=LONG)


def choose(page: Page, label: str, value: str) -> None:
    """Chooses from a list as a keyboard user does: type, then Enter."""
    box = page.get_by_role("combobox", name=label, exact=True).first
    box.click()
    box.fill(value)
    page.get_by_role("option", name=value, exact=True).first.click()
    settle(page)


def chart(page: Page, name: str) -> Locator:
    """Returns the drawing whose name for screen readers begins with ``name``."""
    return page.locator(f'[aria-label^="{name}"]').locator("svg, canvas").first


def shot(page: Page, name: str) -> None:
    """Keeps a picture of the page where SHOTS says so."""
    folder = os.environ.get("SHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


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
    page.wait_for_timeout(300)
    shot(page, f"explore-{scheme}")
    page.get_by_role("link", name="Runs").first.click()
    settle(page)
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    shot(page, f"runs-{scheme}")


def test_address_survives_a_reload(visit: Visit) -> None:
    page = visit()
    choose(page, "Optimizer", "Hebbian")
    assert "Hebbian" in page.url
    page.reload()
    settle(page)
    expect(page.get_by_role("textbox", name="The same as text")).to_have_value(
        "Gate | Linear | Hebbian"
    )


def click_cell(page: Page, spec: str, *keys: str) -> None:
    """Clicks a cell of the Map, found by what its mark says to a screen reader."""
    mark = page.locator(f'path[aria-label*="spec: {spec};"]').first
    mark.scroll_into_view_if_needed()
    page.wait_for_timeout(500)  # what is drawn above it may still push it down
    box = mark.bounding_box()
    assert box is not None
    for key in keys:
        page.keyboard.down(key)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for key in keys:
        page.keyboard.up(key)
    settle(page)


def test_a_click_on_the_map_opens_a_cell_and_shift_collects_it(visit: Visit) -> None:
    page = visit("map")
    click_cell(page, "Gate | Linear | SGD", "Shift")
    expect(page.get_by_text("1 cell collected")).to_be_visible()
    click_cell(page, "Decay | Linear | SGD", "Shift")
    expect(page.get_by_text("2 cells collected")).to_be_visible()
    assert page.evaluate("String(getSelection())") == "", "shift and a click select text"
    page.get_by_text("Hide rows and columns without a layer").click()
    settle(page)
    expect(page.get_by_text("2 cells collected")).to_be_visible()
    click_cell(page, "Gate | Linear | SGD")
    page.wait_for_url("**/?spec=*")
    settle(page)
    text = page.get_by_role("textbox", name="The same as text")
    expect(text).to_have_value("Gate | Linear | SGD")
    page.get_by_role("link", name="Map").first.click()
    settle(page)
    expect(page.get_by_role("heading", name="Map", exact=True)).to_be_visible()


def test_the_names_of_the_map_fit_their_cells(visit: Visit, scheme: str) -> None:
    page = visit("map", scheme)
    heat_map = chart(page, "Weights by Function class for Exact")
    for width in (1440, 900):
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(1000)  # the page resizes its charts a while after the window
        cell = heat_map.locator('path[aria-label*="spec: Gate * ExpKernel | Constant | Exact;"]')
        name = heat_map.locator("text", has_text="forg")
        within, box = cell.bounding_box(), name.bounding_box()
        assert within is not None and box is not None
        assert within["x"] <= box["x"]
        assert box["x"] + box["width"] <= within["x"] + within["width"]
    shot(page, f"map-{scheme}")


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
    box = page.get_by_test_id("stDataFrame").first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 18, box["y"] + 35 * (row + 1) + 17)
    settle(page)


def test_picks_on_runs_follow_the_runs(visit: Visit, server_home: Path) -> None:
    ids = put(server_home, "retnet", range(2))
    page = visit("runs?runs.layer=retnet", "dark")
    tick(page, 0)  # the newest first
    expect(page.get_by_text("1 picked", exact=True)).to_be_visible()
    assert ids[-1] in page.url
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
    assert ids[-1] in page.url, "new rows above it have moved it"
    shot(page, "runs-picked")

    page.get_by_role("button", name="Archive", exact=True).click()
    settle(page)
    expect(page.get_by_text("0 picked", exact=True)).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    settle(page)
    expect(page.get_by_text("1 picked", exact=True)).to_be_visible()
