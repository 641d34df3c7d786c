"""The GPUs of this machine: so many runs on each at a time, the others wait."""

from __future__ import annotations

from collections import Counter

from .executor import Executor
from .jobs import Job
from .room import runs_said

EACH_GPU = "TTR_GPU_RUNS"
"""The variable that says how many runs share a GPU: those of small layers wait for launches."""


def runs_per_gpu() -> int:
    """Returns how many runs a GPU takes at a time: one, unless the environment says more.

    Raises:
        WrongVariable: the variable is no number of runs.
    """
    return runs_said(EACH_GPU) or 1


class GpuPlaces:
    """Deals out GPUs where the workers of an executor have none of their own.

    Args:
        executor: where the workers come from.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor, self._taken, self._each = executor, dict[str, int](), runs_per_gpu()

    def take(self, job: Job) -> bool:
        """Takes a place for a job that asks for a GPU; returns whether the job can run now."""
        if job.experiment.device == "cpu" or (gpus := self._executor.gpus()) is None:
            return True
        taken = Counter(self._taken.values())
        emptiest = min(range(gpus), key=taken.__getitem__)
        if taken[emptiest] >= self._each:
            return False
        self._taken[job.id] = emptiest
        return True

    def of(self, job: Job) -> dict[str, int]:
        """Returns what a worker is told of a job's GPU."""
        return {"gpu": self._taken[job.id]} if job.id in self._taken else {}

    def leave(self, job: Job) -> None:
        """Gives back a job's place, if it had one."""
        self._taken.pop(job.id, None)
