"""The app under test: pages in-process, and the real server with a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlparse

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Error,
    Page,
    Request,
    ViewportSize,
    expect,
    sync_playwright,
)
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from tests.app.browsing import FLAGS, ReducedMotion, Visit, settle
from tests.ready import copied_stores
from tests.servers import serving

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 60.0
WINDOW: ViewportSize = {"width": 1440, "height": 1000}
VISITS = 30  # entries of a history, which ends at 50: a page that has more is not used again


@pytest.fixture(scope="session", autouse=True)
def ready_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A new store is a copy of one that was made before."""
    with copied_stores(tmp_path_factory.mktemp("ready")):
        yield


@pytest.fixture(scope="session", autouse=True)
def components() -> Iterator[None]:
    """Installed packages are searched for components once, not for every page that is opened."""
    found = manifest_scanner.scan_component_manifests()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(manifest_scanner, "scan_component_manifests", lambda: found)
        yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store of this test's own."""
    monkeypatch.setenv("TTR_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def page(home: Path) -> Callable[..., AppTest]:
    """Opens a page of the app as an address would: ``page("runs", status="finished")``."""

    def opened(name: str = "explore", **query: str | list[str]) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=TIMEOUT)
        if name != "explore":
            app.switch_page(f"pages/{name}.py")
        app.query_params.update(query)
        return app.run()

    return opened


@pytest.fixture(scope="session")
def server_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the store of `server`."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="session")
def server(server_home: Path) -> Iterator[str]:
    """The real app on a free port with an empty store; yields its address."""
    with serving(server_home) as (address, _):
        yield address


@pytest.fixture(scope="module")  # two sessions of Playwright exclude each other
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """What keeps the scripts of the app between two visits; every page is a session of its own."""
    made = browser.new_context(viewport=WINDOW)
    yield made
    made.close()


@pytest.fixture
def motion() -> ReducedMotion:
    """Whether a visitor wishes for less motion; drawing what moves takes a third of a core."""
    return "no-preference"


@pytest.fixture
def visit(context: BrowserContext, server: str, motion: ReducedMotion) -> Iterator[Visit]:
    """Opens pages; afterwards every request must have stayed here and no error box have shown.

    A test begins in the tab of the one before it, where the scripts are compiled: half the work of
    a new one. It is loaded anew, as a session of its own; a test that closes it leaves none.
    """
    outside: list[str] = []
    errors: list[str] = []
    used: list[Page] = []

    def asked(request: Request) -> None:
        if _is_outside(request.url):
            outside.append(request.url)

    def failed(error: Error) -> None:
        errors.append(str(error))

    def opened(path: str = "", scheme: str = "light") -> Page:
        left = [] if used else context.pages
        page = left[0] if left else context.new_page()
        used.append(page)
        page.set_viewport_size(WINDOW)
        page.emulate_media(color_scheme=scheme, reduced_motion=motion)
        page.set_default_timeout(20_000)
        page.on("request", asked)
        page.on("pageerror", failed)
        page.goto(f"{server}/{path}")
        settle(page)
        return page

    yield opened
    try:
        for page in context.pages:
            expect(page.get_by_test_id("stException")).to_have_count(0)
            page.evaluate("localStorage.clear(), sessionStorage.clear()")
    finally:
        _left(context, used)
        for page in used:
            page.remove_listener("request", asked)
            page.remove_listener("pageerror", failed)
    assert outside == [] and errors == []


def _left(context: BrowserContext, used: list[Page]) -> None:
    """Leaves the first page of a test for the next one, empty, and closes the others."""
    for page in context.pages:
        if page in used[:1] and page.evaluate("history.length") < VISITS:
            page.goto("about:blank")
        else:
            page.close()


def _is_outside(url: str) -> bool:
    parts = urlparse(url)
    inside = parts.hostname in ("127.0.0.1", "localhost")
    return parts.scheme in ("http", "https", "ws", "wss") and not inside
