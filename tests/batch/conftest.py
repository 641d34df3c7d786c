"""A stand-in experiment and a stand-in worker: these tests need neither torch nor time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from experiments_db.run.process import LocalExecutor
from experiments_db.run.supervisor import Supervisor
from experiments_db.store import Outcome, Store, open_store
from tests.ready import copied_stores
from ttr_core.lab import MQAR

if TYPE_CHECKING:
    from experiments_db.sweeps import Planned

FAKE_WORKER = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))


@dataclass(frozen=True)
class FakeExperiment:
    """What the Supervisor asks of an experiment; ``behave`` tells the worker what to do."""

    behave: str = "ok"
    steps: int = 3
    seed: int = 0
    seconds: float | None = None
    device: str = "cpu"

    @property
    def model(self) -> Any:
        return SimpleNamespace(layers=("Gate | Linear | SGD",))

    @property
    def task(self) -> Any:
        return MQAR()

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
            "device": self.device,
            "behave": self.behave,
            "steps": self.steps,
        }


@pytest.fixture(scope="session", autouse=True)
def ready_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A new store is a copy of one that was made before."""
    with copied_stores(tmp_path_factory.mktemp("ready")):
        yield


@pytest.fixture
def fake() -> type[FakeExperiment]:
    return FakeExperiment


@pytest.fixture
def fake_command() -> tuple[str, ...]:
    return FAKE_WORKER


@pytest.fixture
def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has commands start stand-in workers: one is started before a request is looked at."""
    monkeypatch.setattr("experiments_db.run.process.COMMAND", FAKE_WORKER)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "runs.duckdb")


@pytest.fixture
def supervisor(store: Store) -> Iterator[Callable[..., Supervisor]]:
    """Makes Supervisors with stand-in workers and closes them."""
    made: list[Supervisor] = []

    def make(opened: Store | None = store, **options: Any) -> Supervisor:
        settings = {"grace": 0.3, "silence": 5.0, "heartbeat": 0.1, **options}
        made.append(Supervisor(opened, executor=LocalExecutor(FAKE_WORKER), **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the stores of this process commit at once."""
    monkeypatch.setattr("experiments_db.store.store.INTERVAL", 0.05)


@pytest.fixture
def stored(store: Store, prompt: None) -> Iterator[Callable[..., None]]:
    """Stores a result for a run of a plan without running it."""
    from experiments_db.run import outcomes

    with store.driver() as driver:

        def keep(
            run: Planned,
            accuracy: float,
            status: str = "finished",
            metrics: dict[str, Any] | None = None,
            **more: Any,
        ) -> None:
            row = outcomes.new_run(run.experiment, run.config, ())
            claim = store.claim(driver, row)
            assert claim.run_id is not None
            reached = {"validation_accuracy": accuracy, "accuracy": accuracy - 0.01}
            outcome = Outcome(status, metrics={**reached, **(metrics or {})}, **more)
            store.finish(claim.run_id, outcome)

        yield keep
