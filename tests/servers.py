"""Waiting for a server of the app."""

from __future__ import annotations

import subprocess
import time
import urllib.request

STARTED_WITHIN = 120.0


def wait_until_healthy(address: str, process: subprocess.Popen[bytes]) -> None:
    """Returns once a server answers."""
    deadline = time.monotonic() + STARTED_WITHIN
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(address, timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the server did not start within {STARTED_WITHIN:g} s")
