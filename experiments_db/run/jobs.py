"""A job: one experiment on its way through a Supervisor, safe to look at from any thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ttr_core.lab import Experiment, Metric

    from .brought import OwnOrder

KEPT_PROGRESS = 2000
"""Progress events kept per job; beyond, every second one is dropped, again and again."""

MEASURED = 4
"""Reports of progress before anything is said of the time to go."""

WAITING, RUNNING, EXISTING = "queued", "running", "existing"
ENDINGS = ("finished", "diverged", "failed", "cancelled", EXISTING)


@dataclass(frozen=True)
class Snapshot:
    """What a page or a progress bar shows of a job at one moment; plain values only.

    Args:
        job_id: the Supervisor's name for the job.
        run_id: the run's name in the store; None before it starts and for unrecorded jobs.
        existing: the run that already answers this request, if there is one.
        status: queued, running, finished, diverged, failed, cancelled or existing.
        step: steps done.
        steps: steps planned, 0 when unknown.
        loss: the last training loss.
        metric: what the task is judged by.
        value: the last measured value of that metric.
        seconds: seconds of work so far, by the worker's clock.
        remaining: seconds still to go at this pace, or None.
        tokens_per_second: training speed, or None.
        losses: (step, loss) at the learning rate at work, thinned.
        values: (step, value of the metric) of every evaluation at that rate.
        metrics: final metrics, empty until the end.
        error: why the job failed, or None.
        message: how it ended, or what keeps it from ending, in a sentence or two; or None.
        unstored: why its result is not in the store yet, and where it is; None if it is.
    """

    job_id: str
    run_id: str | None
    existing: str | None
    status: str
    step: int
    steps: int
    loss: float | None
    metric: Metric
    value: float | None
    seconds: float
    remaining: float | None
    tokens_per_second: float | None
    losses: tuple[tuple[int, float], ...]
    values: tuple[tuple[int, float], ...]
    metrics: Mapping[str, Any]
    error: str | None
    message: str | None
    unstored: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in ENDINGS

    @property
    def measured(self) -> str:
        """The loss and the task's metric as short text."""
        loss = None if self.loss is None else f"loss {self.loss:.3f}"
        metric = self.metric
        value = None if self.value is None else f"{metric.name} {metric.shown(self.value)}"
        return "  ".join(part for part in (loss, value) if part)

    @property
    def timed(self) -> str:
        """The time so far, and the time to go, as short text."""
        left = "" if self.remaining is None else f", {self.remaining:.0f} s to go at most"
        return f"{self.seconds:.0f} s{left}"


class Job:
    """One experiment that a Supervisor was asked to run.

    Events are the plain dictionaries that a worker sends, ``{"event": "progress", ...}``.

    Args:
        job_id: the Supervisor's name for it.
        experiment: what to run.
        tags: labels for the run's row.
        fresh: whether to run although the store knows the answer.
        keep: whether to go on when nobody watches.
        record: whether the run gets a row in the store.
        limit: processor seconds that it may take, or None.
        session: the browser session that asked for it; empty where none did.
    """

    def __init__(
        self,
        job_id: str,
        experiment: Experiment,
        tags: tuple[str, ...] = (),
        fresh: bool = False,
        keep: bool = True,
        record: bool = True,
        limit: float | None = None,
        session: str = "",
    ) -> None:
        self.session = session
        self.id, self.experiment, self.tags = job_id, experiment, tags
        self.config: dict[str, Any] = experiment.config()
        self.fresh, self.keep, self.record = fresh, keep, record
        self.limit, self.over_limit = limit, False
        self.weights = False  # whether the trained weights are kept beside the store
        self.own: OwnOrder | None = None  # the user's module that it trains
        self.run_id: str | None = None
        self.existing: str | None = None
        self.unstored: str | None = None
        self.lost = 0  # how often its worker was lost
        self.created_at = time.time()
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self._status, self._message = WAITING, ""
        self._cancelled_at: float | None = None
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._on_cancel: Callable[[Job], None] | None = None
        self._events: list[dict[str, Any]] = []
        self._progress: list[dict[str, Any]] = []
        self._watchers: dict[str, float] = {}
        self._unwatched_since: float | None = time.monotonic()

    @property
    def status(self) -> str:
        """One of queued, running, finished, diverged, failed, cancelled, existing."""
        return self._status

    @property
    def message(self) -> str | None:
        """How the job ended, where there is something to say."""
        return self._message or None

    @property
    def error(self) -> str | None:
        """Why the job failed, or None."""
        return self.message if self._status == "failed" else None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._ended.is_set()

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event so far in order, progress thinned; a copy."""
        with self._lock:
            return sorted([*self._events, *self._progress], key=lambda e: e.get("at", 0.0))

    @property
    def latest(self) -> dict[str, Any] | None:
        """The newest event of any kind."""
        events = self.events
        return events[-1] if events else None

    @property
    def progress(self) -> dict[str, Any] | None:
        """The newest progress event."""
        with self._lock:
            return self._progress[-1] if self._progress else None

    @property
    def result(self) -> dict[str, Any] | None:
        """The final event of a job whose worker reported one."""
        return self.last("finished")

    def last(self, event: str) -> dict[str, Any] | None:
        """Returns the newest event of one kind, other than progress."""
        with self._lock:
            return next((e for e in reversed(self._events) if e["event"] == event), None)

    def cancel(self) -> None:
        """Asks the job to stop between two steps; it is killed if it does not within 2 s."""
        with self._lock:
            if self.ended or self._cancelled_at is not None:
                return
            self._cancelled_at = time.monotonic()
            tell = self._on_cancel
        if tell is not None:
            tell(self)

    @property
    def cancelled_for(self) -> float | None:
        """Seconds since somebody asked to cancel, or None."""
        at = self._cancelled_at
        return None if at is None else time.monotonic() - at

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for the end and returns whether it came within ``timeout`` seconds."""
        return self._ended.wait(timeout)

    def watch(self, session: str = "") -> None:
        """Notes that ``session`` watches; call it again on every redraw, it costs nothing."""
        with self._lock:
            self._watchers[session] = time.monotonic()
            self._unwatched_since = None

    def unwatch(self, session: str = "") -> None:
        """Notes that ``session`` watches no more; it sets a timestamp and returns at once."""
        with self._lock:
            self._watchers.pop(session, None)
            if not self._watchers and self._unwatched_since is None:
                self._unwatched_since = time.monotonic()

    @property
    def watchers(self) -> tuple[str, ...]:
        """The sessions that watch now."""
        with self._lock:
            return tuple(self._watchers)

    def unwatched(self) -> float:
        """Returns the seconds since the last watcher left, 0 while somebody watches."""
        since = self._unwatched_since
        return 0.0 if since is None else time.monotonic() - since

    def snapshot(self) -> Snapshot:
        """Returns what there is to show now, cheap enough to ask every second."""
        with self._lock:
            progress = self._progress[-1] if self._progress else {}
            started, result = self.last("started") or {}, self.result or {}
            same = [e for e in self._progress if e.get("lr") == progress.get("lr")]
            evaluated = [e for e in self._events if e["event"] == "evaluated"]
        measured = [e for e in evaluated if e["rate"] == progress.get("lr")]
        metric = self.experiment.task.main()
        values = tuple((e["step"], e["metrics"][metric.name]) for e in measured)
        steps = progress.get("steps") or started.get("steps") or 0
        return Snapshot(
            job_id=self.id,
            run_id=self.run_id,
            existing=self.existing,
            status=self._status,
            step=result.get("steps") or progress.get("step", 0),
            steps=steps,
            loss=progress.get("loss"),
            metric=metric,
            value=values[-1][1] if values else None,
            seconds=result.get("seconds") or progress.get("seconds", 0.0),
            remaining=None if self.ended else self._remaining(same, steps),
            tokens_per_second=progress.get("tokens_per_second"),
            losses=tuple((e["step"], e["loss"]) for e in same if e.get("loss") is not None),
            values=values,
            metrics=result.get("metrics") or {},
            error=self.error,
            message=self.message,
            unstored=self.unstored,
        )

    def _remaining(self, same: list[dict[str, Any]], steps: int) -> float | None:
        """Returns the seconds to go at the pace measured so far; None until one is measured.

        The first report is left out: its steps also pay for what is done once.
        """
        if len(same) < MEASURED or steps <= 0:
            return None
        first, last = same[1], same[-1]
        pace = (last["seconds"] - first["seconds"]) / max(last["step"] - first["step"], 1)
        left = max(0.0, (steps - last["step"]) * pace)
        budget = self.experiment.train.seconds
        if budget is None:
            return float(left)
        return float(min(left, max(0.0, budget - last["seconds"])))

    # What follows is the Supervisor's side.

    def on_cancel(self, tell: Callable[[Job], None]) -> None:
        """Sets whom to tell when somebody cancels."""
        self._on_cancel = tell

    def begin(self, run_id: str | None) -> None:
        """Marks the job as running."""
        with self._lock:
            self.run_id, self._status, self.started_at = run_id, RUNNING, time.time()

    def begin_anew(self, why: str) -> None:
        """Forgets what a lost worker reported: the next one begins at the first step."""
        with self._lock:
            self.lost += 1
            self._message = why
            self._progress.clear()
            self._events[:] = [e for e in self._events if e["event"] == "lost"]
        self.add({"event": "lost", "message": why})

    def say(self, message: str) -> None:
        """Notes what keeps the job from ending."""
        with self._lock:
            self._message = message

    def add(self, event: dict[str, Any]) -> None:
        """Keeps one event."""
        event = {**event, "at": time.monotonic()}
        with self._lock:
            if event["event"] != "progress":
                rate = self._progress[-1].get("lr") if self._progress else None
                self._events.append({"rate": rate, **event})
                return
            self._progress.append(event)
            if len(self._progress) > KEPT_PROGRESS:
                self._progress = self._progress[:-1:2] + self._progress[-1:]

    def end(self, status: str, message: str = "", existing: str | None = None) -> None:
        """Marks the job as ended and wakes those who wait."""
        with self._lock:
            self._status, self._message, self.existing = status, message, existing
            self.ended_at = time.time()
        self._ended.set()
