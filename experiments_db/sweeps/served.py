"""A sweep that a server works off while pages come and go."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from ..errors import StoreError
from ..run.jobs import Job
from ..run.supervisor import Supervisor
from ..store import Store
from .drive import Sweep
from .outcome import Ended
from .preview import Preview

LOOK_SECONDS = 0.25
"""Seconds between two looks at what has ended."""


class Served:
    """A sweep in a thread of its own, which any session may watch, hold and stop.

    It hands its runs out a few at a time, so that others who use the server's workers wait for
    two runs and not for all. What has ended stands in the store, so that a server that is started
    again goes on with the rest of the same plan.

    Args:
        store: where runs are kept.
        supervisor: who runs them.
        ahead: what is to be done.
        tags: labels of every run.
        session: the browser session that asks, whose runs are limited.
    """

    def __init__(
        self,
        store: Store,
        supervisor: Supervisor,
        ahead: Preview,
        tags: Iterable[str] = (),
        session: str = "",
    ) -> None:
        work = ahead.work
        self._supervisor, self._lock = supervisor, threading.Lock()
        self._over = threading.Event()
        self._ended: dict[str, Ended] = {}
        self._sweep = Sweep(
            store, supervisor, work.runs, ahead.jobs, tags, False, ahead.pace, work.seeds_later,
            session=session,
        )  # fmt: skip
        self.failed = ""
        threading.Thread(target=self._work, name="sweep", daemon=True).start()

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return self._over.is_set()

    @property
    def held(self) -> bool:
        """Whether it hands out nothing for now."""
        return self._sweep.held

    @property
    def stopped(self) -> bool:
        """Whether somebody has stopped it."""
        return self._sweep.stopped

    def ended(self) -> dict[str, Ended]:
        """Returns what has ended here, by the fingerprint of the run."""
        with self._lock:
            return dict(self._ended)

    def running(self) -> dict[str, Job]:
        """Returns what runs now, by the fingerprint of the run."""
        with self._lock:
            return {slot[0].config_hash: slot[1] for slot in self._sweep.slots if slot}

    def remaining(self) -> float:
        """Returns the seconds still to go, about; 0 when nothing is known."""
        with self._lock:
            return self._sweep.remaining()

    def hold(self) -> None:
        """Hands out nothing more until `resume`."""
        with self._lock:
            self._sweep.hold()

    def resume(self) -> None:
        """Goes on after `hold`."""
        with self._lock:
            self._sweep.resume()

    def stop(self) -> None:
        """Cancels what runs and starts nothing more."""
        with self._lock:
            self._sweep.stop()

    def wait(self, seconds: float) -> bool:
        """Waits for the end and returns whether it came within some seconds."""
        return self._over.wait(seconds)

    def _work(self) -> None:
        try:
            while not self._sweep.done:
                with self._lock:
                    if self._supervisor.closed and not self._sweep.stopped:
                        self._sweep.stop()
                    for one in self._sweep.advance():
                        self._ended[one.run.config_hash] = one
                time.sleep(LOOK_SECONDS)
        except StoreError as error:
            self.failed = str(error)
        finally:
            self._over.set()
