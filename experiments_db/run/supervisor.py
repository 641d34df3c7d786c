"""The Supervisor: warm workers, one queue, and a store row for every run.

A run belongs to the process that opened it, its *driver*, where the Supervisor lives. It knows no
page. Live progress is read from it (`Job.snapshot`), elsewhere from the store's heartbeat.
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
from typing import TYPE_CHECKING

from ..store import Driver, Store, StoreError, open_store
from ..store.keeping import keep
from . import outcomes
from .executor import Executor, Worker, WorkerLost
from .gpus import GpuPlaces
from .hearing import Patience, hear_out
from .jobs import RUNNING, WAITING, Job
from .process import LocalExecutor
from .room import UNLIMITED, Room, room

if TYPE_CHECKING:
    from ttr_core.lab import Experiment

    from .brought import OwnOrder

log = logging.getLogger(__name__)

KEPT_JOBS = 200
"""Ended jobs that stay in memory; older ones are in the store."""

LOST_TRIES = 2
"""How often a run begins anew whose worker was lost: something may be wrong with the run itself."""

_supervisors: dict[str, Supervisor] = {}
_supervisors_lock = threading.Lock()


class Supervisor:
    """Runs experiments one after another on a few warm workers.

    Args:
        store: where runs are recorded; None if every job is started with ``record=False``.
        workers: how many, each on one thread; they start with the first job or `warm`.
        executor: where they come from; by default processes of this machine.
        silence: seconds without a word after which a worker is killed and its run has failed.
        grace: seconds that a cancelled run has to stop before its worker is killed.
        unwatched: seconds without a watcher after which a job without ``keep`` is cancelled.
        heartbeat: seconds between two heartbeats to the store.
        room: how many runs of browser sessions it takes at a time.
    """

    def __init__(
        self,
        store: Store | None = None,
        workers: int = 1,
        executor: Executor | None = None,
        silence: float = 60.0,
        grace: float = 2.0,
        unwatched: float = 60.0,
        heartbeat: float = 10.0,
        room: Room = UNLIMITED,
    ) -> None:
        self.room = room
        self.store, self._workers = store, workers
        self.executor: Executor = executor or LocalExecutor()
        self._patience = Patience(silence, grace)
        self._unwatched, self._heartbeat = unwatched, heartbeat
        self._changed = threading.Condition()
        self._queue: collections.deque[Job] = collections.deque()
        self._jobs: dict[str, Job] = {}
        self._busy: dict[str, Worker] = {}  # job -> who runs it
        self._numbers = itertools.count(1)
        self._threads: list[threading.Thread] = []
        self._unmet = ""  # why there is no worker
        self._places = GpuPlaces(self.executor)
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
        """Starts the workers now, so that the first job need not wait for imports."""
        with self._changed:
            if self._refusal() is None:
                self._start_threads()

    def _refusal(self) -> str | None:
        """Returns why nothing may start: of a store that is only shown no worker is needed."""
        try:
            if self.store is not None:
                self.store.allow_writing()
        except StoreError as error:
            return str(error)
        return None

    def start(
        self,
        experiment: Experiment,
        tags: Sequence[str] = (),
        fresh: bool = False,
        keep: bool = True,
        record: bool = True,
        limit: float | None = None,
        session: str = "",
        weights: bool = False,
        own: OwnOrder | None = None,
    ) -> Job:
        """Queues an experiment and returns at once.

        Args:
            experiment: what to run.
            tags: labels for the run's row.
            fresh: run although the store holds a live or complete run of this configuration.
            keep: go on when nobody watches; otherwise the job is cancelled after a while.
            record: give the run a row in the store.
            limit: processor seconds after which its worker is ended and the run has failed.
            session: the browser session that asks, whose runs are limited.
            weights: keep the trained weights beside the store.
            own: the user's module that is trained; it is run by a worker alone.

        Raises:
            RequestError: there is no room for another run of this session.
        """
        if record and self.store is None:
            raise StoreError("This run cannot be recorded: no store was given.")
        number = next(self._numbers)
        job = Job(f"job-{number}", experiment, tuple(tags), fresh, keep, record, limit, session)
        job.on_cancel(self._cancel_waiting)
        job.weights, job.own = weights and record, own
        with self._changed:
            if self._closing.is_set():
                job.end("cancelled", "The program is closing.")
                return job
            if (refusal := self._refusal()) is not None:
                job.end("failed", refusal)
                return job
            if session:
                self.room.check(self._jobs.values(), session)
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

    def before(self, job: Job) -> int:
        """Returns how many jobs wait for a worker before this one; 0 if it does not wait."""
        with self._changed:
            return self._queue.index(job) if job in self._queue else 0

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
        """Owns one worker and runs one job after another on it."""
        worker, job = self._spawn(), None
        try:
            while not self._closing.is_set():
                job = self._next(worker)
                if job is None or worker is None:
                    worker = self._spawn(instead_of=worker)
                if job is not None:
                    self._run(job, worker)
                    self._leave(job)
                    job = None
        finally:
            if worker is not None:
                worker.close()
            if job is not None and not job.ended:  # an error of this program: it goes on to stderr
                job.end("failed", traceback.format_exc())
                self._leave(job)
                self._start_thread("worker-again", self._serve)

    def _spawn(self, instead_of: Worker | None = None) -> Worker | None:
        """Returns a worker; waits for one where there is no room, but not at the end."""
        if instead_of is not None:
            instead_of.close()
        if self._closing.is_set():
            return None
        try:
            return self.executor.spawn(self._closing.is_set)
        except OSError as error:
            self._unmet = str(error)
            log.warning("no worker: %s", error)
            return None

    def _next(self, worker: Worker | None) -> Job | None:
        """Waits for a job and takes it; None at the end, or if the worker is gone by then."""
        with self._changed:
            while not self._closing.is_set():
                if self._queue and worker is not None and not worker.alive:
                    return None
                job = next((job for job in self._queue if self._places.take(job)), None)
                if job is not None:
                    self._queue.remove(job)
                    return job
                self._changed.wait()
            return None

    def _leave(self, job: Job) -> None:
        """Gives the job's GPU, if it had one, to the next."""
        with self._changed:
            self._places.leave(job)
            self._changed.notify_all()

    def _cancel_waiting(self, job: Job) -> None:
        with self._changed:
            if job not in self._queue:
                if (worker := self._busy.get(job.id)) is not None:
                    worker.wake()  # the thread that owns it sees the request
                return
            self._queue.remove(job)
        self._conclude(job, "cancelled")

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

    def _run(self, job: Job, worker: Worker | None) -> None:
        if job.cancelled_for is not None or worker is None:
            cancelled = job.cancelled_for is not None
            self._conclude(job, *(("cancelled", "") if cancelled else ("failed", self._unmet)))
            return
        if job.status == WAITING:  # else it begins anew, under the same row
            try:
                store = self.store if job.record else None
                run_id = None if store is None else self._claim(job, worker, store)
            except StoreError as error:
                job.end("failed", str(error))
                return
            if job.ended:
                return
            job.begin(run_id)
        try:
            status, message = self._follow(job, worker)
        except WorkerLost as lost:
            worker.kill()  # it may still run, where only the way to it is cut
            if self._begin_anew(job, str(lost)):
                return
            status = "failed" if job.cancelled_for is None else "cancelled"
            message = f"{lost} The run was begun {job.lost + 1} times." if job.lost else str(lost)
        self._conclude(job, status, message)

    def _follow(self, job: Job, worker: Worker) -> tuple[str, str]:
        with self._changed:
            self._busy[job.id] = worker
        try:
            told = outcomes.orders(job, self._places.of(job), self.store)
            return hear_out(job, worker, told, self._patience)
        finally:
            with self._changed:
                del self._busy[job.id]

    def _begin_anew(self, job: Job, why: str) -> bool:
        """Queues a job whose worker was lost once more, before all others."""
        with self._changed:
            if self._closing.is_set() or job.cancelled_for is not None or job.lost >= LOST_TRIES:
                return False
            job.begin_anew(why)
            self._queue.appendleft(job)
            self._changed.notify_all()
            return True

    def _conclude(self, job: Job, status: str, message: str = "") -> None:
        """Stores how a job ended, where it has a row, and wakes those who wait for it."""
        if job.run_id is not None and self.store is not None:
            try:
                ended = outcomes.outcome(job, status, message)
                job.unstored = keep(self.store, job.run_id, ended, self._closing, job.say)
            except StoreError as refused:
                message = f"The run ended ({status}) but was not stored: {refused}"
                status = "failed"
        job.end(status, " ".join(filter(None, [message, job.unstored])))

    def _claim(self, job: Job, worker: Worker, store: Store) -> str | None:
        """Inserts the run's row; ends the job instead if another run answers it already."""
        run = outcomes.new_run(job.experiment, job.config, job.tags, worker.environment)
        claim = store.claim(self._open_driver(store), run, fresh=job.fresh)
        if claim.run_id is None:
            job.end("existing", existing=claim.existing)
        return claim.run_id

    def _open_driver(self, store: Store) -> Driver:
        with self._opening:
            if self._driver is None:
                self._driver = self._held.enter_context(store.driver())
            return self._driver


def get_supervisor(db_path: Path | str | None = None, workers: int = 1) -> Supervisor:
    """Returns this process's Supervisor of a store, made on the first call.

    It takes as many runs of sessions as the environment says, and is closed with the process.
    """
    store = open_store(db_path)
    key = str(store.path)
    with _supervisors_lock:
        if key not in _supervisors or _supervisors[key].closed:
            _supervisors[key] = Supervisor(store, workers, room=room())
            atexit.register(_supervisors[key].close)
        return _supervisors[key]
