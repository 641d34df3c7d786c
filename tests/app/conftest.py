"""The app under test: pages in-process, and the real server with a real browser."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.servers import wait_until_healthy

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 60.0


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store of this test's own."""
    monkeypatch.setenv("TTR_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def page(home: Path) -> Callable[..., AppTest]:
    """Opens a page of the app as an address would: ``page("runs", status="finished")``."""

    def opened(name: str = "explore", **query: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=TIMEOUT)
        if name == "explore":
            app.query_params.update(query)
            return app.run()
        app.run()
        app.query_params.clear()
        app.query_params.update(query)
        return app.switch_page(f"pages/{name}.py").run()

    return opened


@pytest.fixture(scope="session")
def server_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the store of `server`."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="session")
def server(server_home: Path) -> Iterator[str]:
    """The real app on a free port with an empty store; yields its address."""
    home = server_home
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
            env={**os.environ, "TTR_HOME": str(home)},
        )
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/_stcore/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
    said = (home / "server.log").read_text()
    assert "Traceback" not in said and "warning" not in said.lower(), said
