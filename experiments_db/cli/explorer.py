"""The explorer in the browser: a free port, and Streamlit on the app that came with this."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys

from ..installation import app_folder
from .screen import say

FIRST_PORT, TRIED = 8501, 50
NEEDED = ("streamlit", "altair")


def serve(port: int, headless: bool) -> None:
    """Becomes the server of the explorer, on this machine's own address alone.

    It takes its settings from the folder of the app, wherever it is started.

    Args:
        port: the first port to try.
        headless: open no browser.

    Raises:
        ModuleNotFoundError: the packages of the app are not installed.
        OSError: no port is free.
    """
    for package in NEEDED:
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(name=package)
    free = free_port(port)
    if free != port:
        say(f"Port {port} is busy; using {free}.")
    say(f"Starting at http://localhost:{free} (Ctrl-C stops it).")
    hidden = str(headless or not has_display()).lower()
    server = app_folder() / "pages" / "_shared" / "server.py"
    words = [f"--server.port={free}", f"--server.headless={hidden}"]
    # -P: a file of the folder one happens to be in must not pass for a module of Python's own
    os.execv(sys.executable, [sys.executable, "-P", str(server), *words])


def has_display() -> bool:
    """Returns whether there is a browser to open: not in CI, nor on Linux without a display."""
    if os.environ.get("CI"):
        return False
    shown = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return sys.platform == "darwin" or bool(shown)


def free_port(first: int) -> int:
    """Returns the first port from ``first`` on that nobody listens on.

    Raises:
        OSError: there is none among the next ones.
    """
    last = min(first + TRIED, 65536) - 1
    for port in range(first, last + 1):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(
        f"No free port from {first} to {last}. Choose another: --port 9000 (make app PORT=9000)."
    )
