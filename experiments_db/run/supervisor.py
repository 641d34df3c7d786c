"""The Supervisor: warm worker processes, one queue, and a store row for every run.

A run belongs to the process that opened it, its *driver*. The Supervisor lives in the driver; it
knows nothing about pages or terminals. Live progress is read from its memory (`Job.snapshot`);
other processes see what its heartbeat leaves in the store.
"""

from __future__ import annotations

import atexit
import collections
import itertools
import logging
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..store import Driver, Store, StoreError, open_store
from ..store.keeping import keep
from . import outcomes
from .jobs import RUNNING, Job
from .process import COMMAND, WorkerEnded, WorkerProcess

if TYPE_CHECKING:
    from ttr_core.lab import Experiment

log = logging.getLogger(__name__)

POLL_SECONDS = 0.05
KEPT_JOBS = 200
"""Ended jobs that stay in memory; older ones are in the store."""

FIXABLE = ("RequestError", "UnknownName", "IncompatibleSpec", "NoFastSolver", "LimitExceeded")
"""Errors after which a worker goes on: the request was at fault."""

OVER_LIMIT = "It was ended after"
"""How the message of a run begins that took longer than it might."""

_supervisors: dict[str, Supervisor] = {}
_supervisors_lock = threading.Lock()


class Supervisor:
    """Runs experiments one after another on a few warm worker processes.

    Args:
        store: where runs are recorded; None if every job is started with ``record=False``.
        workers: worker processes, each on one thread; they start with the first job or `warm`.
        command: how to start a worker; by default `experiments_db.run.worker`.
        silence: seconds without a word after which a worker is killed and its run has failed.
        grace: seconds that a cancelled run has to stop before its worker is killed.
        unwatched: seconds without a watcher after which a job without ``keep`` is cancelled.
        heartbeat: seconds between two heartbeats to the store.
    """

    def __init__(
        self,
        store: Store | None = None,
        workers: int = 1,
        command: Sequence[str] | None = None,
        silence: float = 60.0,
        grace: float = 2.0,
        unwatched: float = 60.0,
        heartbeat: float = 10.0,
    ) -> None:
        self.store, self._workers, self._command = store, workers, tuple(command or COMMAND)
        self._silence, self._grace = silence, grace
        self._unwatched, self._heartbeat = unwatched, heartbeat
        self._changed = threading.Condition()
        self._queue: collections.deque[Job] = collections.deque()
        self._jobs: dict[str, Job] = {}
        self._numbers = itertools.count(1)
        self._threads: list[threading.Thread] = []
        self._pids: set[int] = set()
        self._on_gpu: dict[str, int] = {}
        self._closing = threading.Event()
        self._driver: Driver | None = None
        self._opening, self._held = threading.Lock(), ExitStack()

    @property
    def closed(self) -> bool:
        """Whether it takes no more jobs."""
        return self._closing.is_set()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def warm(self) -> None:
        """Starts the worker processes now, so that the first job need not wait for imports."""
        with self._changed:
            self._start_threads()

    def start(
        self,
        experiment: Experiment,
        tags: Sequence[str] = (),
        fresh: bool = False,
        keep: bool = True,
        record: bool = True,
        limit: float | None = None,
    ) -> Job:
        """Queues an experiment and returns at once.

        Args:
            experiment: what to run.
            tags: labels for the run's row.
            fresh: run although the store holds a live or complete run of this configuration.
            keep: go on when nobody watches; otherwise the job is cancelled after a while.
            record: give the run a row in the store.
            limit: processor seconds after which its worker is ended and the run has failed.
        """
        if record and self.store is None:
            raise StoreError("This run cannot be recorded: no store was given.")
        number = next(self._numbers)
        job = Job(f"job-{number}", experiment, tuple(tags), fresh, keep, record, limit)
        job.on_cancel(self._cancel_waiting)
        with self._changed:
            if self._closing.is_set():
                job.end("cancelled", "The program is closing.")
                return job
            self._forget()
            self._jobs[job.id] = job
            self._queue.append(job)
            self._start_threads()
            self._changed.notify_all()
        return job

    def jobs(self) -> list[Job]:
        """Returns every job of this Supervisor, oldest first."""
        with self._changed:
            return list(self._jobs.values())

    def job(self, job_id: str) -> Job | None:
        """Returns a job by its id, or by the run id it has got."""
        with self._changed:
            known = self._jobs.get(job_id)
            return known or next((j for j in self._jobs.values() if j.run_id == job_id), None)

    def watch(self, job_id: str, session: str = "") -> Job | None:
        """Returns a job and notes that ``session`` watches it."""
        job = self.job(job_id)
        if job is not None:
            job.watch(session)
        return job

    def unwatch(self, session: str) -> None:
        """Notes that ``session`` watches nothing anymore; returns at once."""
        for job in self.jobs():
            job.unwatch(session)

    def worker_pids(self) -> tuple[int, ...]:
        """Returns the ids of the worker processes that run now."""
        return tuple(self._pids)

    def close(self) -> None:
        """Cancels everything, records it and ends the workers; safe to call twice."""
        with self._changed:
            self._closing.set()
            self._changed.notify_all()
        for job in self.jobs():
            job.cancel()
        for thread in self._threads:
            thread.join()
        with self._opening:
            self._held.close()
            self._driver = None

    def _forget(self) -> None:
        ended = [job_id for job_id, job in self._jobs.items() if job.ended]
        for job_id in ended[: max(0, len(ended) - KEPT_JOBS)]:
            del self._jobs[job_id]

    # ---- threads

    def _start_threads(self) -> None:
        if self._threads or self._closing.is_set():
            return
        self._start_thread("keeper", self._keep)
        for number in range(self._workers):
            self._start_thread(f"worker-{number}", self._serve)

    def _start_thread(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        """Owns one worker process and runs one job after another on it."""
        worker, job = self._spawn(), None
        try:
            while (job := self._next()) is not None:
                if worker is None or not worker.alive:
                    self._drop(worker)
                    worker = self._spawn()
                self._run(job, worker)
                self._leave(job)
        finally:
            self._drop(worker)
            if job is not None and not job.ended:  # an error of this program: it goes on to stderr
                job.end("failed", traceback.format_exc())
                self._leave(job)
                self._start_thread("worker-again", self._serve)

    def _spawn(self) -> WorkerProcess | None:
        try:
            worker = WorkerProcess(self._command)
        except OSError as error:
            log.error("no worker process: %s", error)
            return None
        self._pids.add(worker.pid)
        return worker

    def _drop(self, worker: WorkerProcess | None) -> None:
        if worker is not None:
            worker.close()
            self._pids.discard(worker.pid)

    def _next(self) -> Job | None:
        with self._changed:
            while not self._closing.is_set():
                job = next((job for job in self._queue if self._has_place(job)), None)
                if job is not None:
                    self._queue.remove(job)
                    return job
                self._changed.wait()
            return None

    def _has_place(self, job: Job) -> bool:
        """Takes a GPU for a job that asks for one: one run on each, the others wait."""
        if job.experiment.device == "cpu":
            return True
        from ttr_core.lab import gpus

        taken = set(self._on_gpu.values())
        free = next((i for i in range(max(1, len(gpus()))) if i not in taken), None)
        if free is not None:
            self._on_gpu[job.id] = free
        return free is not None

    def _leave(self, job: Job) -> None:
        """Gives the job's GPU, if it had one, to the next."""
        with self._changed:
            self._on_gpu.pop(job.id, None)
            self._changed.notify_all()

    def _cancel_waiting(self, job: Job) -> None:
        with self._changed:
            if job not in self._queue:
                return  # it runs: the thread that owns its worker sees the request
            self._queue.remove(job)
        job.end("cancelled")

    def _keep(self) -> None:
        """Sends heartbeats and cancels what nobody watches."""
        beaten = time.monotonic()
        while not self._closing.wait(min(1.0, self._heartbeat, self._unwatched)):
            self._try(self._cancel_unwatched)
            if time.monotonic() - beaten >= self._heartbeat:
                beaten = time.monotonic()
                self._try(self._beat)

    def _try(self, care: Callable[[], None]) -> None:
        """Does what is done again soon: without the keeper, runs that go on would look dead."""
        try:
            care()
        except StoreError as error:
            log.warning("no heartbeat this time: %s", error)
        except Exception:  # the edge of a thread that nobody starts again
            log.exception("the keeper goes on")

    def _cancel_unwatched(self) -> None:
        for job in self.jobs():
            if not (job.keep or job.ended) and job.unwatched() > self._unwatched:
                job.cancel()

    def _beat(self) -> None:
        running = [(job, job.run_id) for job in self.jobs() if job.status == RUNNING]
        live = [outcomes.live(job, run_id) for job, run_id in running if run_id is not None]
        if live and self._driver is not None:
            self._driver.heartbeat(live)

    # ---- one job

    def _run(self, job: Job, worker: WorkerProcess | None) -> None:
        if job.cancelled_for is not None:
            job.end("cancelled")
            return
        if worker is None:
            job.end("failed", f"No worker process could be started: {' '.join(self._command)}")
            return
        try:
            store = self.store if job.record else None
            run_id = None if store is None else self._claim(job, store)
        except StoreError as error:
            job.end("failed", str(error))
            return
        if job.ended:
            return
        job.begin(run_id)
        status, message = self._follow(job, worker)
        if run_id is not None and store is not None:
            try:
                ended = outcomes.outcome(job, status, message)
                job.unstored = keep(store, run_id, ended, self._closing, job.say)
            except StoreError as refused:
                message = f"The run ended ({status}) but was not stored: {refused}"
                status = "failed"
        job.end(status, " ".join(filter(None, [message, job.unstored])))

    def _claim(self, job: Job, store: Store) -> str | None:
        """Inserts the run's row; ends the job instead if another run answers it already."""
        run = outcomes.new_run(job.experiment, job.config, job.tags)
        claim = store.claim(self._open_driver(store), run, fresh=job.fresh)
        if claim.run_id is None:
            job.end("existing", existing=claim.existing)
        return claim.run_id

    def _open_driver(self, store: Store) -> Driver:
        with self._opening:
            if self._driver is None:
                self._driver = self._held.enter_context(store.driver())
            return self._driver

    def _follow(self, job: Job, worker: WorkerProcess) -> tuple[str, str]:
        """Runs a job on a worker and returns its status and a message."""
        began, told = time.monotonic(), False
        seconds = job.experiment.train.seconds
        try:
            more = {"gpu": self._on_gpu.get(job.id), "limit": job.limit}
            more = {key: value for key, value in more.items() if value is not None}
            worker.send({"job": job.id, "config": job.config, "seconds": seconds, **more})
            while True:
                message = worker.receive(POLL_SECONDS)
                if message is not None and message.get("job") == job.id:
                    if message["event"] == "failed":
                        return self._failed(job, message, worker)
                    job.add({key: value for key, value in message.items() if key != "job"})
                    if message["event"] == "finished":
                        return message["status"], message["message"]
                waited = job.cancelled_for
                if waited is not None and not told:
                    worker.send({"cancel": job.id})
                    told = True
                if waited is not None and waited > self._grace:
                    worker.kill()
                    return "cancelled", "The worker did not stop in time and was ended."
                if min(worker.silence(), time.monotonic() - began) > self._silence:
                    said = worker.kill()
                    return "failed", f"The worker was silent for {self._silence:g} s. {said}"
        except WorkerEnded as ended:
            job.over_limit = worker.over_limit
            if job.over_limit:
                return "failed", f"{OVER_LIMIT} {job.limit:g} processor seconds."
            return ("failed", str(ended)) if job.cancelled_for is None else ("cancelled", "")

    def _failed(self, job: Job, error: dict[str, Any], worker: WorkerProcess) -> tuple[str, str]:
        log.info("%s failed: %s", job.id, error.get("traceback"))
        if error["type"] in FIXABLE:
            return "failed", error["message"]
        worker.close()  # it ends after an unforeseen error: the next job gets a new one
        return "failed", f"{error['type']}: {error['message']}\n{error.get('traceback', '')}"


def get_supervisor(db_path: Path | str | None = None, workers: int = 1) -> Supervisor:
    """Returns this process's Supervisor of a store, made on the first call.

    It is closed when the process exits.
    """
    store = open_store(db_path)
    key = str(store.path)
    with _supervisors_lock:
        if key not in _supervisors or _supervisors[key].closed:
            _supervisors[key] = Supervisor(store, workers)
            atexit.register(_supervisors[key].close)
        return _supervisors[key]
