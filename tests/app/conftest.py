"""The app under test: pages in-process, and the real server with a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from tests.app.browsing import FLAGS, Visit, settle
from tests.ready import copied_stores
from tests.servers import serving

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 60.0


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
    made = browser.new_context(viewport={"width": 1440, "height": 1000})
    yield made
    made.close()


@pytest.fixture
def visit(context: BrowserContext, server: str) -> Iterator[Visit]:
    """Opens pages; afterwards every request must have stayed here and no error box have shown."""
    outside: list[str] = []
    errors: list[str] = []

    def opened(path: str = "", scheme: str = "light") -> Page:
        page = context.new_page()
        page.emulate_media(color_scheme=scheme)
        page.set_default_timeout(20_000)
        page.on("request", lambda r: outside.append(r.url) if _is_outside(r.url) else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{server}/{path}")
        settle(page)
        return page

    yield opened
    for page in context.pages:
        expect(page.get_by_test_id("stException")).to_have_count(0)
        page.evaluate("localStorage.clear()")
        page.close()
    assert outside == [] and errors == []


def _is_outside(url: str) -> bool:
    parts = urlparse(url)
    inside = parts.hostname in ("127.0.0.1", "localhost")
    return parts.scheme in ("http", "https", "ws", "wss") and not inside
