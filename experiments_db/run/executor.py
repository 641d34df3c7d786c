"""Who runs: a worker takes one experiment at a time, an executor says where workers come from.

A Supervisor keeps claims, heartbeats, cancellation and every write to the store, whoever runs. A
worker speaks the messages of `experiments_db.run.worker` and knows nothing of a store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

WOKEN: dict[str, Any] = {}
"""What stands among the messages of a worker where somebody woke who waits for them."""


class WorkerEnded(RuntimeError):
    """The worker is gone by itself, and its run has failed; the text says how."""


class WorkerLost(RuntimeError):
    """What the worker ran on is gone or out of reach, and its run is to be run again."""


class Worker(Protocol):
    """A warm process that runs experiments, as its driver sees it."""

    @property
    def alive(self) -> bool:
        """Whether it can be given a run."""

    @property
    def over_limit(self) -> bool:
        """Whether the system ended it for the processor time that it took."""

    @property
    def environment(self) -> Mapping[str, Any]:
        """The versions and the machine that it runs with."""

    def silence(self) -> float:
        """Returns the seconds since the worker last said anything."""

    def send(self, message: Mapping[str, Any]) -> None:
        """Sends one message.

        Raises:
            WorkerEnded: the worker has ended by itself.
            WorkerLost: it has gone with its host.
        """

    def receive(self, timeout: float) -> dict[str, Any] | None:
        """Returns the next message, or None if none comes in time or `wake` is called.

        Raises:
            WorkerEnded: the worker has ended by itself.
            WorkerLost: it has gone with its host.
        """

    def wake(self) -> None:
        """Ends the wait for a message, now or the next one; any thread may call it."""

    def kill(self) -> str:
        """Ends the worker at once and returns its last lines, if it can be asked for them."""

    def close(self) -> None:
        """Ends the worker and gives back what it holds; safe to call twice."""


class Executor(Protocol):
    """Where workers come from. Many threads may ask for one at a time."""

    def spawn(self, stopping: Callable[[], bool]) -> Worker:
        """Starts a worker; blocks until there is room for one.

        Args:
            stopping: whether nobody needs it anymore.

        Raises:
            OSError: none can be started, or none is needed anymore.
        """

    def slots(self, device: str) -> int:
        """Returns how many runs go side by side on ``cpu`` or ``cuda`` where nobody says so."""

    def gpus(self) -> int | None:
        """Returns among how many GPUs the driver deals out runs; None: a worker has its own."""

    def kill_all(self) -> None:
        """Ends every worker at once, waiting for none; may be called by a signal."""

    def close(self) -> None:
        """Gives back what all workers shared."""
