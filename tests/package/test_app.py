"""``ttr app`` of the installed package, from a folder of somebody else's, in a real browser."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin, urlparse

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.package.environment import Environment
from tests.servers import wait_until_healthy
from tests.sources import ROOT

pytestmark = pytest.mark.slow
TITLES = re.findall(r'title="(\w+)"', (ROOT / "app.py").read_text())
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update"]  # fmt: skip
LISTENING = "0A"  # in /proc/net/tcp
LOOPBACK = "0100007F"


@pytest.fixture(scope="module")
def served(installed: Environment) -> Iterator[tuple[str, Path]]:
    """The explorer of the installed package; yields its address and what it says."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # settings of the user's own must not open the app to others
    settings = installed.home / ".streamlit" / "config.toml"
    settings.parent.mkdir()
    folder = installed.folder / "strange"  # what lies in it must not pass for a part of the app
    for name in ("app.py", "torch.py", "streamlit.py", "pages/explore.py", "pages/__init__.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("raise SystemExit('a stranger')\n")
    settings.write_text('[server]\naddress = "0.0.0.0"\n[browser]\ngatherUsageStats = true\n')
    said = installed.folder / "app.log"
    with said.open("w") as log:
        process = subprocess.Popen(
            [installed.bin / "ttr", "app", "--port", str(port), "--headless"],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=installed.variables(),
        )
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/_stcore/health", process)
        yield f"http://127.0.0.1:{port}", said
    finally:
        process.terminate()
        process.wait(20)
        settings.unlink()
    assert "Traceback" not in said.read_text(), said.read_text()


@pytest.fixture
def page(chromium: str, served: tuple[str, Path]) -> Iterator[Page]:
    """A page of the browser, which must ask nobody but the server."""
    outside: list[str] = []

    def note(url: str) -> None:
        parts = urlparse(url)
        if parts.scheme in ("http", "ws", "https", "wss") and parts.hostname != "127.0.0.1":
            outside.append(url)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        shown = browser.new_page(viewport={"width": 1440, "height": 1000})
        shown.set_default_timeout(60_000)
        shown.on("request", lambda request: note(request.url))
        yield shown
        expect(shown.get_by_test_id("stException")).to_have_count(0)
        browser.close()
    assert outside == []


def test_it_says_its_address(served: tuple[str, Path]) -> None:
    address, said = served
    assert f"Starting at {address.replace('127.0.0.1', 'localhost')} " in said.read_text()


def test_it_listens_on_this_machine_alone(served: tuple[str, Path]) -> None:
    port = urlparse(served[0]).port
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    if not tables[0].exists():
        pytest.skip("needs /proc/net/tcp, which Linux has")
    text = "".join(table.read_text() for table in tables if table.exists())
    rows = [line.split() for line in text.splitlines()]
    places = [row[1].split(":") for row in rows if row[3] == LISTENING]
    assert [place for place, used in places if int(used, 16) == port] == [LOOPBACK]


@pytest.mark.parametrize("title", TITLES)
def test_it_shows_its_pages(served: tuple[str, Path], page: Page, title: str) -> None:
    page.goto(f"{served[0]}/{'' if title == TITLES[0] else title.lower()}")
    app = page.get_by_test_id("stApp")
    expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=60_000)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0, timeout=60_000)
    for named in TITLES:  # the navigation
        expect(page.get_by_role("link", name=named).first).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_text("Page not found")).to_have_count(0)
    if folder := os.environ.get("SHOTS"):
        page.screenshot(path=f"{folder}/installed-{title.lower()}.png")


def test_it_has_its_settings_and_its_icon(served: tuple[str, Path], page: Page) -> None:
    page.goto(served[0])
    app = page.get_by_test_id("stApp")
    expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=60_000)
    expect(page).to_have_title(re.compile("Test-time regression explorer"))
    size = page.evaluate("getComputedStyle(document.documentElement).fontSize")
    assert size == "15px"  # baseFontSize of .streamlit/config.toml, which is 16px elsewhere
    link = page.locator('link[rel~="icon"]').first.get_attribute("href")
    with urllib.request.urlopen(urljoin(served[0], str(link))) as answer:
        assert answer.read() == (ROOT / "docs/images/icon.png").read_bytes()
