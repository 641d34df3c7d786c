"""A run that another process is making: who does, how far it is, and how to wait for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from .screen import follow, say

if TYPE_CHECKING:
    from ..run.jobs import Job
    from ..store import Store

LOOK_SECONDS = 1.0
TOLD_SECONDS = 15.0
"""Seconds between two looks at the store, and between two lines about them."""

RUNNING = "running"


def left_as_it_is(store: Store, job: Job, asked: Mapping[str, bool]) -> None:
    """Says what was asked for beside a run and is not done, and how to get it.

    Args:
        store: where the run is kept.
        job: what became of the request.
        asked: whether ``labels`` (tags, a note) and ``weights`` were asked for.
    """
    from ..store.weights import kept_bytes

    if job.existing is not None and asked["labels"]:
        say("Its tags and its note are left as they were.")
    if not asked["weights"]:
        return
    made = job.run_id or job.existing
    if made is None or kept_bytes(store.path, made) is not None:
        return
    if job.existing is not None:
        say("Its weights were not kept when it was run: --fresh runs it again and keeps them.")
    elif job.status == "finished":
        say("No weights were kept: nothing was trained, or they are too large.")


def obtained(store: Store, start: Callable[[], Job], wait: bool) -> tuple[Job, bool]:
    """Runs what is asked for, or waits for the process that is making it.

    If that process is gone, or what it made is no result, the run is made here.

    Args:
        store: where the run is kept.
        start: starts the job.
        wait: whether to wait for another process.

    Returns:
        The job, and whether somebody stopped it.
    """
    job = start()
    stopped = follow(job)
    while wait and not stopped and made_elsewhere(store, job) is not None:
        _wait(store, str(job.existing))
        job = start()
        stopped = follow(job)
    return job, stopped


def made_elsewhere(store: Store, job: Job) -> str | None:
    """Says who is making the run that a job asked for and how far it is, or None if nobody is."""
    row = _row(store, job.existing) if job.existing is not None else {}
    if row.get("status") != RUNNING:
        return None
    steps, planned = row["steps"] or 0, row["steps_planned"]
    far = f"step {steps}/{planned}" if planned else f"step {steps}"
    return f"Process {row['pid']} on {row['host']} is making run {row['run_id']} ({far})"


def _wait(store: Store, run_id: str) -> None:
    from ..read import queries

    told, version = float("-inf"), ""
    while True:
        now = queries.data_version(store)
        if now != version or monotonic() - told > TOLD_SECONDS:
            row, version = _row(store, run_id), now
            if row.get("status") != RUNNING:
                return
        if monotonic() - told > TOLD_SECONDS:
            told = monotonic()
            steps, planned = row["steps"] or 0, row["steps_planned"] or "?"
            say(f"waiting for run {run_id} of process {row['pid']}: step {steps}/{planned}")
        sleep(LOOK_SECONDS)


def _row(store: Store, run_id: str | None) -> dict[str, Any]:
    from ..read import queries

    return queries.run(store, str(run_id)) or {}
