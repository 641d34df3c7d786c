"""The executors by their names on the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ttr_core import RequestError, unknown

from .executor import Executor
from .process import LocalExecutor

EXECUTORS = ("local", "ray")


def check_executor(name: str, address: str | None = None) -> None:
    """Refuses an executor that there is not, and an address for one that has none.

    Raises:
        RequestError: says what there is.
    """
    if name not in EXECUTORS:
        raise unknown("executor", name, EXECUTORS)
    if address is not None and name != "ray":
        raise RequestError("--address names a Ray cluster: give --executor ray with it.")


@contextmanager
def executing(
    name: str, address: str | None, device: str, say: Callable[[str], None]
) -> Iterator[Executor]:
    """Opens an executor for the duration of the block.

    Args:
        name: ``local`` or ``ray``.
        address: where the cluster is; see `RayExecutor`.
        device: what a worker runs on, ``cpu`` or ``cuda``.
        say: hears what a user should know meanwhile.

    Raises:
        RequestError: the address is none.
        ModuleNotFoundError: Ray is not installed.
        ConnectionError: there is no cluster, or this process cannot join it.
    """
    if name == "local":
        yield LocalExecutor()
        return
    from .cluster import RayExecutor  # and Ray with it, which is an extra

    executor = RayExecutor(address, device, say)
    try:
        yield executor
    finally:
        executor.close()
