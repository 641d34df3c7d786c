"""The server of the explorer: app.py, with headers that Streamlit does not send by itself.

Run as a script, with Streamlit's options: ``python pages/_shared/server.py --server.port=8501``.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import tomllib
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import streamlit as st

APP = Path(__file__).resolve().parents[2] / "app.py"

HEADERS = {
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""What a page of this server may not be used for: no frame of another site shows it, and no other
site hears its address, which holds the whole state."""

HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", re.IGNORECASE)

Message = MutableMapping[str, Any]
Headers = Sequence[tuple[bytes, bytes]]


HEAD = b"<head>"
BASE = (
    HEAD
    + b"""<script>
window.__streamlit = { BACKEND_BASE_URL: location.origin + "/" }
</script>"""
)
"""Where the server is, told to the browser, which else asks below the address of each page."""


class Explorer(st.App):
    """The app as a server, whose every answer has `HEADERS`, and every page `BASE`."""

    async def __call__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answers a request."""
        page = False
        if scope["type"] == "http":
            scope = {**scope, "headers": _plain(scope["headers"])}

        async def answer(message: Message) -> None:
            nonlocal page
            if message["type"] == "http.response.start":
                own = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                page = message["status"] == 200 and _is_page(message.get("headers", []))
                given = _longer(message.get("headers", [])) if page else message.get("headers", [])
                message = {**message, "headers": [*given, *own]}
            elif page and HEAD in message.get("body", b""):
                message = {**message, "body": message["body"].replace(HEAD, BASE, 1)}
            await send(message)

        await super().__call__(scope, receive, answer)


def _plain(headers: Headers) -> Headers:
    """Returns the headers of a request, which for a page asks for nothing packed."""
    if not any(name == b"accept" and b"text/html" in value for name, value in headers):
        return headers
    return [(name, value) for name, value in headers if name != b"accept-encoding"]


def _is_page(headers: Headers) -> bool:
    given = dict(headers)
    return b"text/html" in given.get(b"content-type", b"") and b"content-encoding" not in given


def _longer(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Returns the headers of a page that gets `BASE`."""
    more = len(BASE) - len(HEAD)
    return [
        (name, str(int(value) + more).encode() if name == b"content-length" else value)
        for name, value in headers
        if name != b"etag"
    ]


@asynccontextmanager
async def getting_ready(app: st.App) -> AsyncIterator[None]:
    """Loads the libraries while the first browser is on its way; ``app`` answers meanwhile."""
    from pages._shared import ready  # found where `main` has put the folder of app.py

    threading.Thread(target=ready.prepare, name="ready", daemon=True).start()
    yield


def settings(folder: Path, words: Sequence[str]) -> dict[str, Any]:
    """Returns the settings of the app, whatever the user's own say, and those of its command.

    It answers to the names of this machine's own address, and to those in TTR_HOSTS.

    Args:
        folder: where the app lies, with its ``.streamlit/config.toml``.
        words: as ``--server.port=8501``.
    """
    with (folder / ".streamlit" / "config.toml").open("rb") as file:
        found = dict(_flat(tomllib.load(file)))
    given = dict(word.removeprefix("--").split("=", 1) for word in words)
    port, headless = int(given["server.port"]), given.get("server.headless", "true") == "true"
    hosts = [*found["server.allowedHosts"], *hosts_of(os.environ.get("TTR_HOSTS", ""))]
    return {
        **found, "server.port": port, "server.headless": headless, "server.allowedHosts": hosts,
    }  # fmt: skip


def hosts_of(said: str) -> list[str]:
    """Returns the host names in a text, which commas or spaces part.

    Raises:
        SystemExit: one is none; ``*`` is none, since it would let any site reach the app.
    """
    named = said.replace(",", " ").split()
    if wrong := [name for name in named if not HOST.fullmatch(name)]:
        raise SystemExit(
            f"TTR_HOSTS: {wrong[0]!a} is no host name; say what browsers have between https:// "
            "and the next slash or colon, as runs.example.org."
        )
    return named


def _flat(parts: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in parts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def main() -> None:
    """Serves until it is stopped; Ctrl-C is how it is meant to end, and no error."""
    sys.path.insert(0, str(APP.parent))
    with suppress(KeyboardInterrupt):
        Explorer(APP, lifespan=getting_ready).run(config=settings(APP.parent, sys.argv[1:]))


if __name__ == "__main__":
    main()
