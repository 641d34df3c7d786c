"""The GPUs of this machine: one run on each, the others wait."""

from __future__ import annotations

from .executor import Executor
from .jobs import Job


class OneEach:
    """Deals out GPUs where the workers of an executor have none of their own.

    Args:
        executor: where the workers come from.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor, self._taken = executor, dict[str, int]()

    def take(self, job: Job) -> bool:
        """Takes a GPU for a job that asks for one; returns whether the job can run now."""
        if job.experiment.device == "cpu" or (gpus := self._executor.gpus()) is None:
            return True
        taken = set(self._taken.values())
        free = next((i for i in range(gpus) if i not in taken), None)
        if free is not None:
            self._taken[job.id] = free
        return free is not None

    def of(self, job: Job) -> dict[str, int]:
        """Returns what a worker is told of a job's GPU."""
        return {"gpu": self._taken[job.id]} if job.id in self._taken else {}

    def leave(self, job: Job) -> None:
        """Gives back a job's GPU, if it had one."""
        self._taken.pop(job.id, None)
