"""A server of the app, and waiting for one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

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


@contextmanager
def serving(home: Path, **settings: str) -> Iterator[tuple[str, int]]:
    """Serves the real app on a free port until the block ends, as Ctrl-C ends it.

    Args:
        home: the folder of its store; its log goes into ``server.log`` there.
        settings: further variables of its environment.

    Yields:
        Its address and its process id.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "pages/_shared/server.py", f"--server.port={port}"]
    with (home / "server.log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TTR_HOME": str(home), **settings},
        )
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/_stcore/health", process)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
    assert code == 0
    said = (home / "server.log").read_text()
    assert "Traceback" not in said and "warning" not in said.lower(), said
