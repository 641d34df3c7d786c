"""What runs on a node of a cluster: an actor that keeps one worker process.

It is sent to the node as code, so that a node which lacks this package can say so; the worker
itself is the node's own, with its packages and its devices. What the actor says is plain data:
text, numbers, lists.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments_db.run.process import WorkerProcess

START_SECONDS = 300.0
"""Seconds that a worker has to import torch; the first time, from a shared disk, it takes long."""

PACK_SECONDS = 0.1
"""Messages of so many seconds travel together; the end of a run waits for none."""

ENDS = ("finished", "failed")


class Host:
    """Keeps a worker process on a node and passes on what it says.

    Args:
        command: how to start the worker; by default as this package does it.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = command
        self._worker: WorkerProcess | None = None

    def begin(self) -> dict[str, Any]:
        """Starts the worker; returns where it is, and its ready message or what is in the way."""
        from ray import get_runtime_context

        where = {"node": socket.gethostname(), "node_id": get_runtime_context().get_node_id()}
        try:
            from experiments_db.run.executor import WorkerEnded
            from experiments_db.run.process import COMMAND, WorkerProcess
        except ImportError as error:
            return {**where, "lacking": error.name or str(error)}
        self._worker = WorkerProcess(tuple(self._command or COMMAND))
        until = time.monotonic() + START_SECONDS
        try:
            while time.monotonic() < until:
                message = self._worker.receive(1.0)
                if message is not None and message["event"] == "ready":
                    return {**where, "ready": message}
        except WorkerEnded as ended:
            return {**where, "ended": str(ended)}
        return {**where, "ended": f"no worker was ready within {START_SECONDS:g} s"}

    def send(self, message: Mapping[str, Any]) -> None:
        """Passes a message to the worker; if it is gone, `receive` says how."""
        from experiments_db.run.executor import WorkerEnded

        assert self._worker is not None
        try:
            self._worker.send(message)
        except WorkerEnded:
            return

    def receive(self, seconds: float) -> dict[str, Any]:
        """Waits for messages; returns them, how long the worker is silent, and how it ended."""
        from experiments_db.run.executor import WorkerEnded

        assert self._worker is not None
        messages: list[dict[str, Any]] = []
        until, ended = time.monotonic() + seconds, None
        try:
            while (left := until - time.monotonic()) > 0:
                message = self._worker.receive(left)
                if message is None:
                    break
                if not messages:
                    until = min(until, time.monotonic() + PACK_SECONDS)
                messages.append(message)
                if message["event"] in ENDS:
                    break
        except WorkerEnded as gone:
            ended = str(gone)
        silent = self._worker.silence()
        return {
            "messages": messages,
            "silent": silent,
            "ended": ended,
            "killed": ended is not None and self._worker.killed,
            "over_limit": ended is not None and self._worker.over_limit,
        }

    def kill(self) -> str:
        """Kills the worker and returns its last lines on standard error."""
        assert self._worker is not None
        return self._worker.kill()
