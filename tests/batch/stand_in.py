"""Workers without processes: what a driver costs beside thousands of them, and what it says."""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from experiments_db.run.executor import WOKEN


class Clock(threading.Thread):
    """Says to workers, at its time, what they are to pass on."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._due: list[tuple[float, int, StandIn, dict[str, Any]]] = []
        self._count, self._changed = itertools.count(), threading.Condition()
        self.start()

    def at(self, when: float, worker: StandIn, message: dict[str, Any]) -> None:
        """Has a worker say something at a time."""
        with self._changed:
            heapq.heappush(self._due, (when, next(self._count), worker, message))
            self._changed.notify()

    def run(self) -> None:
        """Waits for the next time, for as long as the process lives."""
        while True:
            with self._changed:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
                _, _, worker, message = heapq.heappop(self._due)
            worker.say(message)


class StandIn:
    """A worker whose runs take a while and report a few times; it counts who looks for messages.

    Args:
        clock: when it says something.
        seconds: how long a run takes.
        reports: how often it tells how far it is.
    """

    def __init__(self, clock: Clock, seconds: float, reports: int) -> None:
        self._clock, self._seconds, self._reports = clock, seconds, reports
        self._messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.alive, self.over_limit, self.environment = True, False, {"gpus": None}
        self.heard: list[Mapping[str, Any]] = []
        self.looks = 0

    def silence(self) -> float:
        """It is never silent: a process that is says so by its beats."""
        return 0.0

    def say(self, message: dict[str, Any]) -> None:
        """Passes something on."""
        self._messages.put(message)

    def send(self, message: Mapping[str, Any]) -> None:
        """Begins a run, or ends it at once."""
        self.heard.append(message)
        if "cancel" in message:
            self.say(_finished(message["cancel"], "cancelled", 0))
            return
        job, began = message["job"], time.monotonic()
        about = {"parameters": 10, "state_size": 4, "flops_per_token": 1.0, "steps": self._reports}
        self.say({"job": job, "event": "started", **about})
        for step in range(1, self._reports + 1):
            far = {"step": step, "steps": self._reports, "loss": 1.0 / step, "lr": 0.1}
            told = {**far, "tokens_per_second": 1.0, "seconds": float(step)}
            when = began + self._seconds * step / (self._reports + 1)
            self._clock.at(when, self, {"job": job, "event": "progress", **told})
        ended = _finished(job, "finished", self._reports)
        self._clock.at(began + self._seconds, self, ended)

    def receive(self, timeout: float) -> dict[str, Any] | None:
        """Returns the next message, or None if none comes in time or it is woken."""
        self.looks += 1
        try:
            message = self._messages.get(timeout=timeout)
        except queue.Empty:
            return None
        return None if message is WOKEN else message

    def wake(self) -> None:
        """Ends the wait for a message."""
        self._messages.put(WOKEN)

    def kill(self) -> str:
        """There is nothing to end."""
        return ""

    def close(self) -> None:
        """There is nothing to give back."""


class StandIns:
    """An executor of workers without processes."""

    def __init__(self, seconds: float, reports: int) -> None:
        self._clock, self._seconds, self._reports = Clock(), seconds, reports
        self.made: list[StandIn] = []

    def spawn(self, stopping: Callable[[], bool]) -> StandIn:
        """Returns another one at once."""
        self.made.append(StandIn(self._clock, self._seconds, self._reports))
        return self.made[-1]

    def slots(self, device: str) -> int:
        """Nobody asks."""
        return 1

    def gpus(self) -> int | None:
        """A worker has its own."""
        return None

    def kill_all(self) -> None:
        """There is nothing to end."""

    def close(self) -> None:
        """There is nothing to give back."""


def _finished(job: str, status: str, step: int) -> dict[str, Any]:
    return {
        "job": job, "event": "finished", "status": status,
        "metrics": {"accuracy": 0.5, "loss": 1.0}, "accuracy_by": {}, "steps": step,
        "seconds": 0.1, "seconds_to_target": None, "parameters": 10, "state_size": 4, "lr": 0.1,
        "lrs_tried": [0.1], "curves": {"train_loss": [[1, 1.0]]}, "tables": {}, "message": "",
    }  # fmt: skip
