"""A page that is left stays left, whatever the server still says of it."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.app.browsing import Visit, back, settle

pytestmark = pytest.mark.slow
FAR = 0.4  # s
HEADINGS = {"Explore": "Train it", "Map": "Map", "Runs": "Runs"}
PATHS = {"Explore": "/", "Map": "/map", "Runs": "/runs"}


class Line(socketserver.ThreadingTCPServer):
    """Leads to a server, whose answers arrive late once ``late`` is set, in seconds.

    Args:
        port: where the server listens, on this machine.
    """

    late = 0.0

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), Carrier)
        self.far, self.address = port, f"http://127.0.0.1:{self.server_address[1]}"


class Carrier(socketserver.BaseRequestHandler):
    """One connection of a line."""

    server: Line

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.far)) as far:
            asking = threading.Thread(target=carry, args=(self.request, far, lambda: 0.0))
            asking.start()
            carry(far, self.request, lambda: self.server.late)
            asking.join()


def carry(source: socket.socket, sink: socket.socket, late: Callable[[], float]) -> None:
    """Passes on what a socket says until it ends, ``late()`` seconds after it was said."""
    with suppress(OSError):
        while data := source.recv(65536):
            time.sleep(late())
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def line(server: str) -> Iterator[Line]:
    with Line(urlsplit(server).port or 0) as made:
        threading.Thread(target=made.serve_forever).start()
        yield made
        made.shutdown()


def shows(page: Page, name: str) -> None:
    """Waits until the address and the page are those of ``name``."""
    settle(page)
    expect(page).to_have_url(re.compile(PATHS[name] + r"([?].*)?$"))
    expect(page.get_by_role("heading", name=HEADINGS[name], exact=True)).to_be_visible()


def go(page: Page, name: str) -> None:
    """Goes to a page by the menu, and waits for it."""
    page.get_by_role("link", name=name).first.click()
    shows(page, name)


def a_setting(page: Page) -> None:
    page.get_by_text("Starred", exact=False).first.click()


def a_link(page: Page) -> None:
    page.get_by_role("link", name="Map").first.click()


@pytest.mark.parametrize("act", [a_setting, a_link])
def test_back_leads_past_a_page_that_still_owes_an_answer(
    line: Line, visit: Visit, act: Callable[[Page], None]
) -> None:
    page = visit("map")
    page.goto(f"{line.address}/map")
    shows(page, "Map")
    for name in ("Runs", "Explore", "Runs"):
        go(page, name)
    line.late = FAR
    act(page)
    page.wait_for_timeout(FAR * 250)  # it has been asked for, and not been answered
    page.evaluate("history.back()")
    page.wait_for_timeout(FAR * 5000)
    line.late = 0
    shows(page, "Explore")
    for name in ("Runs", "Map"):  # each visit once
        back(page)
        shows(page, name)


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize(
    ("left", "entered", "query"),
    [
        ("map", "analyze", "?analyze.view=settings"),
        ("map", "runs", "?run=x"),
        ("", "map", "?map.hide=true"),
        ("map", "", "?layer=gla"),
    ],
)
def test_values_that_come_before_their_page_are_entered_with_it(
    visit: Visit, left: str, entered: str, query: str, bare: bool
) -> None:
    page = visit(left)
    page.mouse.click(1, 1)  # somebody acts
    before = page.evaluate("history.length")
    written, pushed = f"/{left}{query}", f"/{entered}{'' if bare else query}"
    page.evaluate(f"for (const url of ['{written}', '{pushed}']) history.pushState({{}}, '', url)")
    assert page.evaluate("location.pathname + location.search") == f"/{entered}{query}"
    assert page.evaluate("history.length") == before + 1


@pytest.mark.parametrize("left", ["map", ""])
def test_what_a_page_says_of_itself_is_not_given_to_the_next(visit: Visit, left: str) -> None:
    page, query = visit(left), "?map.hide=true" if left else "?layer=gla"
    page.mouse.click(1, 1)
    page.evaluate(
        f"for (const url of ['/{left}{query}', '/runs']) history.pushState({{}}, '', url)"
    )
    assert page.evaluate("location.pathname + location.search") == "/runs"


@pytest.mark.parametrize("query", ["map?map.hide=true", "?layer=gla"])
def test_an_address_that_lost_its_values_gets_them_back(visit: Visit, query: str) -> None:
    page = visit(query)
    path, _, values = query.partition("?")
    said = f"history.replaceState({{}}, '', '/{path}'); pageHas('{path or 'explore'}', '?{values}')"
    page.evaluate(said)
    expect(page).to_have_url(re.compile(f"/{re.escape(query)}$"))
