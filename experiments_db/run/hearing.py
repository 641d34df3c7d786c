"""One run on one worker: what the worker says is heard until it ends, one way or another."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .executor import Worker, WorkerEnded
from .jobs import Job

log = logging.getLogger(__name__)

LOOK_SECONDS, POLL_SECONDS = 1.0, 0.05
"""A thread that waits for its worker's message looks up once a second, more often while the run is
to stop: at 20 times a second the threads of a thousand workers would keep a processor busy."""

FIXABLE = ("RequestError", "UnknownName", "IncompatibleSpec", "NoFastSolver", "LimitExceeded")
"""Errors after which a worker goes on: the request was at fault."""

OVER_LIMIT = "It was ended after"
"""How the message of a run begins that took longer than it might."""


@dataclass(frozen=True)
class Patience:
    """How long a worker is waited for.

    Args:
        silence: seconds without a word after which it is killed and its run has failed.
        grace: seconds that a cancelled run has to stop before its worker is killed.
    """

    silence: float
    grace: float


def hear_out(
    job: Job, worker: Worker, place: Mapping[str, int | str], patience: Patience
) -> tuple[str, str]:
    """Runs a job on a worker and returns its status and a message.

    Who cancels the job wakes the worker (`Worker.wake`).

    Args:
        job: what to run.
        worker: where.
        place: what the worker is told of its GPU, and of where weights are to lie.
        patience: how long it is waited for.

    Raises:
        WorkerLost: the worker has gone with its host.
    """
    began, told = time.monotonic(), False
    seconds = job.experiment.train.seconds
    try:
        more: dict[str, Any] = {**place} | ({} if job.limit is None else {"limit": job.limit})
        more |= {} if job.own is None else {"module": job.own.order()}
        worker.send({"job": job.id, "config": job.config, "seconds": seconds, **more})
        while True:
            wait = LOOK_SECONDS if job.cancelled_for is None else POLL_SECONDS
            message = worker.receive(wait)
            if message is not None and message.get("job") == job.id:
                if message["event"] == "failed":
                    return _failed(job, message, worker)
                job.add({key: value for key, value in message.items() if key != "job"})
                if message["event"] == "finished":
                    return message["status"], message["message"]
            waited = job.cancelled_for
            if waited is not None and not told:
                worker.send({"cancel": job.id})
                told = True
            if waited is not None and waited > patience.grace:
                worker.kill()
                return "cancelled", "The worker did not stop in time and was ended."
            if min(worker.silence(), time.monotonic() - began) > patience.silence:
                said = worker.kill()
                return "failed", f"The worker was silent for {patience.silence:g} s. {said}"
    except WorkerEnded as ended:
        job.over_limit = worker.over_limit
        if job.over_limit:
            return "failed", f"{OVER_LIMIT} {job.limit:g} processor seconds."
        said = str(ended) if job.own is None else job.own.explained(str(ended))
        return ("failed", said) if job.cancelled_for is None else ("cancelled", "")
    finally:
        if job.own is not None:
            worker.close()  # a user's code may have changed anything in it


def _failed(job: Job, error: Mapping[str, Any], worker: Worker) -> tuple[str, str]:
    log.info("%s failed: %s", job.id, error.get("traceback"))
    if error["type"] in FIXABLE:
        return "failed", error["message"]
    worker.close()  # it ends after an unforeseen error: the next job gets a new one
    return "failed", f"{error['type']}: {error['message']}\n{error.get('traceback', '')}"
