"""A store of its own for each test, runs to put into it, and other processes that use it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from experiments_db.store import NewRun, Store, open_store
from tests.ready import copied_stores

ROOT = Path(__file__).resolve().parents[2]

PRELUDE = """
import sys, time
from pathlib import Path
from experiments_db.store import *
from experiments_db.store import series, store as stores
every = series.Series("every", {}, ()), False
stores.series_of = lambda config: every  # what it is asked of, PyTorch, takes a second to import
store = open_store(sys.argv[1])
def new_run(config_hash="h", **changes):
    fields = dict(config={"task": {"name": "mqar"}}, config_hash=config_hash, layer="gla",
                  spec="Decay x Linear x Hebbian", frame="standard", task="mqar", seed=0,
                  device="cpu")
    return NewRun(**{**fields, **changes})
def say(text): print(text, flush=True)
"""


def run_like(config_hash: str = "h", **changes: object) -> NewRun:
    """Returns a plausible new run."""
    config = {
        "version": 1,
        "task": {"name": "mqar", "pairs": 8, "variant": "repeat"},
        "model": {"d_model": 64, "layers": ["gla", "mesa-layer"]},
        "train": {"steps": 100, "lr": 0.001, "target": None},
    }
    fields: dict[str, object] = {
        "config": config,
        "config_hash": config_hash,
        "layer": "gla",
        "spec": "Decay x Linear x Hebbian",
        "frame": "standard",
        "task": "mqar",
        "seed": 0,
        "device": "cpu",
        "environment": {"torch": "2.13.0", "cores": "2"},
    }
    return NewRun(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="session", autouse=True)
def ready_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A new store is a copy of one that was made before."""
    with copied_stores(tmp_path_factory.mktemp("ready")):
        yield


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TTR_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def new_run() -> Callable[..., NewRun]:
    return run_like


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr("experiments_db.store.store.INTERVAL", 0.0)  # most tests write one by one
    return open_store(tmp_path / "runs.duckdb", timeout=20)


Child = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def child(store: Store) -> Iterator[Child]:
    """Starts another process that runs a few lines with `store`, `new_run` and `say`."""
    started: list[subprocess.Popen[str]] = []

    def start(lines: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + lines, str(store.path), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:  # closes its pipes and waits
            process.kill()
