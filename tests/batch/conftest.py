"""A stand-in experiment and a stand-in worker: these tests need neither torch nor time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from experiments_db.runner import Supervisor
from experiments_db.store import Store, open_store

FAKE_WORKER = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))


@dataclass(frozen=True)
class FakeExperiment:
    """What the Supervisor asks of an experiment; ``behave`` tells the worker what to do."""

    behave: str = "ok"
    steps: int = 3
    seed: int = 0
    seconds: float | None = None

    @property
    def model(self) -> Any:
        return SimpleNamespace(layers=("Gate | Linear | SGD",))

    @property
    def train(self) -> Any:
        return SimpleNamespace(seconds=self.seconds)

    def config(self) -> dict[str, Any]:
        return {
            "version": 1,
            "layer": None,
            "spec": "Gate | Linear | SGD",
            "task": {"name": "mqar"},
            "model": {"frame": "standard"},
            "train": {"protocol": "quick"},
            "seed": self.seed,
            "device": "cpu",
            "behave": self.behave,
            "steps": self.steps,
        }


@pytest.fixture
def fake() -> type[FakeExperiment]:
    return FakeExperiment


@pytest.fixture
def fake_command() -> tuple[str, ...]:
    return FAKE_WORKER


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "runs.duckdb")


@pytest.fixture
def supervisor(store: Store) -> Iterator[Callable[..., Supervisor]]:
    """Makes Supervisors with stand-in workers and closes them."""
    made: list[Supervisor] = []

    def make(opened: Store | None = store, **options: Any) -> Supervisor:
        settings = {"grace": 0.3, "silence": 5.0, "heartbeat": 0.1, **options}
        made.append(Supervisor(opened, command=FAKE_WORKER, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()
