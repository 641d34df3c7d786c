"""Workers that are processes of this machine: messages out, messages in, last words."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..installation import checkout
from .environment import environment
from .executor import WOKEN, WorkerEnded
from .gpus import runs_per_gpu

COMMAND = (sys.executable, "-P", "-m", "experiments_db.run.worker")
KEPT_LINES, KEPT_CHARS = 40, 500

MOST_SLOTS = 8
"""Workers that are started without being asked for more; each holds some 0.3 GB."""

KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**28)}
"""What glibc's allocator keeps for the next tensor: else each step of a training is given hundreds
of fresh pages, filled with zeros by the kernel, some 10 % of its time. Other systems ignore it."""


class WorkerProcess:
    """One running worker.

    The process has a session of its own, so that Ctrl-C in a terminal reaches only the driver,
    which then cancels in order. It ends by itself when this process does: its input ends. What it
    has started and left behind is ended once it is gone: it would hold the pipes.
    """

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=child_environment(),
            start_new_session=True,
        )
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._stderr = self._process.stderr
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._words: collections.deque[str] = collections.deque(maxlen=KEPT_LINES)
        self._writing = threading.Lock()
        self._heard, self._swept = time.monotonic(), False
        self._readers = [
            threading.Thread(target=self._read_messages, name="worker-out", daemon=True),
            threading.Thread(target=self._read_words, name="worker-err", daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    @property
    def over_limit(self) -> bool:
        """Whether the system ended the process for the processor time that it took."""
        return self._process.poll() == -signal.SIGXCPU

    @property
    def killed(self) -> bool:
        """Whether it was ended from outside: by a scheduler, or for want of memory."""
        return self._process.poll() in (-signal.SIGKILL, -signal.SIGTERM)

    @property
    def environment(self) -> Mapping[str, Any]:
        """Its machine and its packages are those of the driver."""
        return environment()

    def silence(self) -> float:
        """Returns the seconds since the worker last said anything."""
        return time.monotonic() - self._heard

    def send(self, message: Mapping[str, Any]) -> None:
        """Sends one message.

        Raises:
            WorkerEnded: nobody reads it anymore.
        """
        with self._writing:
            try:
                self._stdin.write(json.dumps(message) + "\n")
                self._stdin.flush()
            except (OSError, ValueError):
                raise WorkerEnded(self.last_words()) from None

    def receive(self, timeout: float) -> dict[str, Any] | None:
        """Returns the next message, or None if none comes in time or `wake` is called.

        Raises:
            WorkerEnded: the worker's output ended.
        """
        try:
            message = self._messages.get(timeout=timeout)
        except queue.Empty:
            self._sweep()  # what it forked would keep its output from ending
            return None
        if message is None:
            self._messages.put(None)
            raise WorkerEnded(self.last_words())
        return None if message is WOKEN else message

    def wake(self) -> None:
        """Ends the wait for a message, now or the next one; any thread may call it."""
        self._messages.put(WOKEN)

    def last_words(self) -> str:
        """Returns how the process ended, if it has, and its last lines on standard error."""
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            ended = "The worker process stopped listening."
        else:
            self._sweep()
            self._readers[1].join(timeout=1.0)
            ended = f"The worker process ended ({_ending(code)})."
        return self._with_words(ended)

    def kill(self) -> str:
        """Kills the process and returns its last lines on standard error."""
        self._process.kill()
        self._process.wait()
        self._sweep()
        for reader in self._readers:
            reader.join(timeout=1.0)
        return self._with_words("")

    def _sweep(self) -> None:
        """Ends what is left of the session of a process that has ended, once."""
        if self._swept or self.alive:
            return
        self._swept = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self, patience: float = 2.0) -> None:
        """Ends the worker by ending its input; kills it if it does not follow."""
        with self._writing, contextlib.suppress(OSError):  # a broken pipe: it is gone already
            self._stdin.close()
        try:
            self._process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._sweep()
        for reader in self._readers:
            reader.join(timeout=1.0)
        self._stdout.close()
        self._stderr.close()

    def _with_words(self, sentence: str) -> str:
        words = "\n".join(list(self._words))
        said = f"Its last lines:\n{words}" if words else ""
        return " ".join(part for part in (sentence, said) if part)

    def _read_messages(self) -> None:
        for line in self._stdout:
            self._heard = time.monotonic()
            message = _parsed(line)
            if message is None:
                self._words.append(line.rstrip()[:KEPT_CHARS])
            elif message.get("event") != "beat":
                self._messages.put(message)
        self._messages.put(None)

    def _read_words(self) -> None:
        for line in self._stderr:
            self._words.append(line.rstrip()[:KEPT_CHARS])


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        message = json.loads(line)
    except json.JSONDecodeError:
        return None
    return message if isinstance(message, dict) and "event" in message else None


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def child_environment() -> dict[str, str]:
    """Returns the worker's: in a checkout, which need not be installed, Python is told of it.

    What the user says of the allocator holds.
    """
    own = {**KEPT_MEMORY, **os.environ, "PYTHONFAULTHANDLER": "1"}
    if repository := checkout():
        paths = (str(repository), os.environ.get("PYTHONPATH", ""))
        own["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return own


class LocalExecutor:
    """Worker processes of this machine.

    Args:
        command: how to start one; by default `experiments_db.run.worker`.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = tuple(command or COMMAND)
        self._workers: set[WorkerProcess] = set()

    def spawn(self, stopping: Callable[[], bool]) -> WorkerProcess:
        try:
            worker = WorkerProcess(self._command)
        except OSError as error:
            said = f"No worker process could be started: {' '.join(self._command)}: {error}"
            raise OSError(said) from error
        self._workers.difference_update([one for one in [*self._workers] if not one.alive])
        self._workers.add(worker)
        return worker

    def slots(self, device: str) -> int:
        if device == "cuda":
            return self.gpus() * runs_per_gpu()
        own = hasattr(os, "sched_getaffinity")
        cores = len(os.sched_getaffinity(0)) if own else os.cpu_count()
        return max(1, min(MOST_SLOTS, cores or 1))

    def gpus(self) -> int:
        from ttr_core.lab import gpus

        return max(1, len(gpus()))

    def pids(self) -> tuple[int, ...]:
        """Returns the ids of the processes that run now."""
        return tuple(worker.pid for worker in [*self._workers] if worker.alive)

    def kill_all(self) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        pass
