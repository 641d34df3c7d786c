"""A warm process that runs experiments for a Supervisor: JSON lines in, JSON lines out.

Started as ``python -m experiments_db.run.worker``. It imports torch once, runs one job at a time on
one thread and ends when its standard input does, also in the middle of a job: a worker never
outlives its driver.

======================================================  =========================================
in                                                      out
======================================================  =========================================
``{"job": id, "config": {...}, "seconds": s | null}``   every event of the run with ``"job": id``
``{"cancel": id}``                                      ``{"event": "finished", ...}`` of the run
the same with ``"gpu": i``                              the same: ``cuda`` is the GPU of that number
the same with ``"limit": s``                            the same; SIGXCPU after s seconds of CPU
the same with ``"weights": file``                       the same, and ``{"event": "weights", ...}``
the same with ``"module": {...}``                       the same of a user's module, under limits
anything else                                           ``{"event": "error", ...}``
(nothing)                                               ``{"event": "beat"}`` every few seconds
======================================================  =========================================

The first line out is ``{"event": "ready", "pid": ..., "version": ..., "environment": {...}}``. What
a job prints goes to standard error, so that it cannot corrupt the protocol. Nothing is ever
unpickled.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import queue
import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..store.weights import refusal
from .brought import admitted, confined
from .environment import environment

if TYPE_CHECKING:
    import torch

    from ttr_core.lab import AdmittedModule, Experiment

BEAT_SECONDS = 5.0
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Two busy pools of threads on two cores are many times slower than one thread per run."""

PROGRESS_SECONDS = 0.1  # a driver redraws a few times per second: more events would only cost


class Wire:
    """The way out: whole JSON lines on a private copy of standard output, from any thread.

    It is the process's own: a copy of it that a user's code forks says nothing, and ends where it
    would speak.
    """

    def __init__(self, out: IO[str]) -> None:
        self._out, self._lock, self._owner = out, threading.Lock(), os.getpid()

    @classmethod
    def from_stdout(cls) -> Wire:
        """Takes standard output for the protocol; prints go to standard error from here on."""
        sys.stdout.flush()
        private = os.dup(1)
        os.dup2(2, 1)
        return cls(os.fdopen(private, "w", encoding="utf-8", buffering=1))

    def send(self, **message: Any) -> None:
        """Writes one message; ends the process when nobody listens anymore, or it is a copy."""
        if os.getpid() != self._owner:
            os._exit(0)
        line = json.dumps(message) + "\n"
        with self._lock:
            try:
                self._out.write(line)
                self._out.flush()
            except (BrokenPipeError, ValueError):
                os._exit(0)


class Runner:
    """Reads requests, runs them in order and reports what happens."""

    def __init__(self, wire: Wire, requests: IO[str], beat_seconds: float = BEAT_SECONDS) -> None:
        self._wire, self._requests, self._beat_seconds = wire, requests, beat_seconds
        self._jobs: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self._cancelled: set[str] = set()

    def start(self) -> None:
        """Starts listening and beating, so that a slow import is not taken for silence."""
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        threading.Thread(target=self._beat, name="beat", daemon=True).start()

    def work(self) -> None:
        """Runs jobs until the requests end, or one fails in a way that nobody foresaw."""
        while True:
            job = self._jobs.get()
            self.run(str(job["job"]), job)

    def _listen(self) -> None:
        for line in self._requests:
            self._receive(line)
        os._exit(0)

    def _receive(self, line: str) -> None:
        try:
            message = json.loads(line)
        except json.JSONDecodeError as error:
            self._wire.send(event="failed", job=None, type="Protocol", message=str(error))
            return
        if isinstance(message, dict) and "cancel" in message:
            self._cancelled.add(str(message["cancel"]))
        elif isinstance(message, dict) and "job" in message and "config" in message:
            self._jobs.put(message)
        else:
            self._wire.send(event="failed", job=None, type="Protocol", message="not a request")

    def _beat(self) -> None:
        while True:
            time.sleep(self._beat_seconds)
            self._wire.send(event="beat")

    def run(self, job: str, request: Mapping[str, Any]) -> None:
        """Runs one job; every error is reported, and one that nobody foresaw goes on."""
        from ttr_core import RequestError
        from ttr_core.lab import take_gpu

        try:
            take_gpu(request.get("gpu"))
            experiment = _experiment(request["config"], request.get("seconds"))
            own = request.get("module")
            with limited(request.get("limit")), confined(own, experiment.device) as alive:
                module = None if own is None else admitted(own, experiment)
                alive()
                self._report(job, experiment, request.get("weights"), module, alive)
        except RequestError as error:
            self._complain(job, error)
        except Exception as error:  # nobody knows what it left behind: report it and end
            self._complain(job, error)
            raise

    def _complain(self, job: str, error: Exception) -> None:
        self._wire.send(
            event="failed",
            job=job,
            type=type(error).__name__,
            message=str(error),
            traceback=traceback.format_exc(),
        )

    def _report(
        self,
        job: str,
        experiment: Experiment,
        weights: str | None,
        own: AdmittedModule | None,
        alive: Callable[[], None],
    ) -> None:
        tables: dict[str, Any] = {}

        def keep(model: torch.nn.Module) -> None:
            if own is not None:
                tables.update(own.told(model))
            if weights is not None:
                self._wire.send(event="weights", job=job, said=save_weights(Path(weights), model))

        last, rate = 0.0, None
        for event in experiment.run(lambda: job in self._cancelled, keep):
            alive()
            message = event.to_dict()
            if message["event"] == "finished":
                message["tables"] |= tables
            if message["event"] == "progress":
                now = time.monotonic()
                if now - last < PROGRESS_SECONDS and message["lr"] == rate:
                    continue
                last, rate = now, message["lr"]
            self._wire.send(job=job, **message)


def save_weights(target: Path, model: torch.nn.Module) -> str:
    """Writes the weights of a model whole or not at all; returns why not, or nothing."""
    from safetensors.torch import save

    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    data = save(tensors)
    fresh = target.with_suffix(f".new-{os.getpid()}")
    try:
        target.parent.mkdir(exist_ok=True)
        if (said := refusal(target, len(data))) is not None:
            return said
        fresh.write_bytes(data)
        fresh.replace(target)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        return f"The weights could not be written to {target}: {error.strerror}."
    return ""


@contextlib.contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """Lets the system end this process once it has taken so many processor seconds more.

    Nothing in Python could: a step of a solver may be one call that takes minutes.
    """
    if seconds is None:
        yield
        return
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    until = math.ceil(time.process_time() + seconds)
    if most != resource.RLIM_INFINITY:
        until = min(until, most)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    resource.setrlimit(resource.RLIMIT_CPU, (until, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CPU, (most, most))


def _experiment(config: Mapping[str, Any], seconds: float | None) -> Experiment:
    """Builds the experiment; the time budget travels beside the config, which is hashed."""
    from ttr_core.lab import Experiment

    experiment = Experiment.from_config(dict(config))
    if seconds is None:
        return experiment
    train = dataclasses.replace(experiment.train, seconds=seconds)
    return dataclasses.replace(experiment, train=train)


def main() -> None:
    """Serves until standard input ends."""
    with contextlib.suppress(OSError):  # if memory runs out, this process goes, not its driver
        Path("/proc/self/oom_score_adj").write_text("600")
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # read by torch when it is imported
    wire = Wire.from_stdout()
    runner = Runner(wire, sys.stdin)
    runner.start()
    import ttr_core.lab  # all that an experiment needs, before the first one is asked for

    version = ttr_core.__version__
    wire.send(event="ready", pid=os.getpid(), version=version, environment=environment())
    runner.work()


if __name__ == "__main__":
    main()
