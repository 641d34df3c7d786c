"""A user's module on its way to a worker, and the limits that it runs under there.

The file's place travels beside the configuration, which names the content alone: a stored or
imported run cannot make any process run a file.
"""

from __future__ import annotations

import contextlib
import resource
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttr_core import RequestError

if TYPE_CHECKING:
    from ttr_core.lab import AdmittedModule, Experiment

MEMORY, PATIENCE = 4.0, 60.0
"""GiB that a module may take beside what its worker holds; seconds between two signs of life."""

STATUS = Path("/proc/self/statm")
CALLED_OFF = signal.SIGALRM

WANTED = ("MemoryError", "allocate memory", "bad_alloc", "out of memory", "OutOfMemory")
"""What errors, and the last words of a process, say of memory that there was not."""


@dataclass(frozen=True)
class OwnOrder:
    """A file with a user's module, and how far it may go.

    Args:
        file: Python source.
        name: class and content, as `ttr_core.lab.module_name` returns it.
        memory: GiB of address space beside what the worker holds; on a CPU alone, since a GPU's
            driver takes far more than it uses.
        patience: seconds that it may take between two reports of a training, which are ten steps.
    """

    file: str
    name: str
    memory: float = MEMORY
    patience: float = PATIENCE

    def order(self) -> dict[str, Any]:
        """Returns what the worker is told."""
        return asdict(self)

    def explained(self, said: str) -> str:
        """Returns how its worker ended in the words of its limits.

        Args:
            said: the worker's last words.
        """
        if signal.Signals(CALLED_OFF).name in said:
            return (
                f"{self.name} gave no sign of life for {self.patience:g} s, and its worker was "
                "ended: it hangs, or ten of its steps take longer (--patience)."
            )
        if signal.SIGKILL.name in said:
            return (
                f"{self.name} lost its worker, which somebody ended: the system does so where its "
                f"memory is used up. {self.name} may take {self.memory:g} GiB beside what its "
                f"worker holds (--memory {self.memory:g}): allow less, or {LESS}. {said}"
            )
        if wants_memory(said):
            return f"{too_much(self.order())} {said}"
        return f"{self.name} ended its worker. {said}"


LESS = "give it less to do: lower train.batch_size, task.seq_len, model.depth or model.d_model"


def wants_memory(said: str) -> bool:
    """Says whether words tell of memory that there was not.

    Args:
        said: of an error, or a worker's last ones.
    """
    return any(words in said for words in WANTED)


def too_much(order: Mapping[str, Any], device: str = "cpu") -> str:
    """Returns what to say of a module that asked for more memory than it may have.

    Args:
        order: as `OwnOrder.order` returns it.
        device: ``cpu``, where the limit holds, or ``cuda``.
    """
    if device != "cpu":
        return (
            f"{order['name']} asked for more memory than its GPU has free (--memory limits a CPU "
            f"alone): {LESS}."
        )
    most = order["memory"]
    return (
        f"{order['name']} asked for more than the {most:g} GiB that it may take beside what its "
        f"worker holds (--memory {most:g}): allow more (--memory {2 * most:g}), or {LESS}."
    )


def brought(
    asked: str | None, memory: float | None = None, patience: float | None = None
) -> OwnOrder | None:
    """Returns the module that FILE:Class names; nothing of the file is run.

    Args:
        asked: FILE:Class, or None where no module is asked for.
        memory: as of `OwnOrder`, or None for the usual limit.
        patience: likewise.

    Raises:
        RequestError: it is no FILE:Class, the file cannot be read or has no such class, or a limit
            has no module.
    """
    from ttr_core.lab import check_class, module_name

    if asked is None:
        for name, limit in {"memory": memory, "patience": patience}.items():
            if limit is not None:
                raise RequestError(
                    f"--{name} {limit:g} is a limit of a module: give --module FILE:Class with it, "
                    "or leave it out."
                )
        return None
    file, colon, cls = asked.rpartition(":")
    if not (colon and file):
        raise RequestError(f"A module is FILE:Class, such as mine.py:Mine; this is {asked[:80]!r}.")
    place = Path(file).expanduser().resolve()
    name = module_name(place, cls)
    check_class(place, cls)
    most = MEMORY if memory is None else memory
    silent = PATIENCE if patience is None else patience
    return OwnOrder(str(place), name, most, silent)


@contextlib.contextmanager
def confined(order: Mapping[str, Any] | None, device: str) -> Iterator[Callable[[], None]]:
    """Lets the system refuse memory to a module, and end this process if it is silent too long.

    Nothing in Python could: a module may wait in one call that never returns.

    Args:
        order: as `OwnOrder.order` returns it; None for no limit.
        device: ``cpu`` or ``cuda``.

    Yields:
        What to call at each sign of life.

    Raises:
        RequestError: what was done within asked for more memory than there may be.
    """
    if order is None:
        yield lambda: None
        return
    patience = float(order["patience"])

    def alive() -> None:
        signal.setitimer(signal.ITIMER_REAL, patience)

    signal.signal(CALLED_OFF, signal.SIG_DFL)
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if device == "cpu":
        most = _held() + int(order["memory"] * 2**30)
        if before[1] != resource.RLIM_INFINITY:
            most = min(most, before[1])
        resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    alive()
    try:
        yield alive
    except (RequestError, RuntimeError, MemoryError, OSError) as error:
        resource.setrlimit(resource.RLIMIT_AS, before)
        if not (isinstance(error, MemoryError) or wants_memory(str(error))):
            raise
        raise RequestError(f"{too_much(order, device)} {error}".strip()) from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, before)


def _held() -> int:
    """Returns the bytes of address space that this process has now; 0 where no system says."""
    try:
        pages = int(STATUS.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * resource.getpagesize()


def admitted(order: Mapping[str, Any], experiment: Experiment) -> AdmittedModule:
    """Runs a user's file in this worker and tries its module.

    Args:
        order: as `OwnOrder.order` returns it.
        experiment: what it is to be trained on.

    Raises:
        RequestError: it does not keep to the contract.
    """
    from ttr_core.lab import AdmittedModule

    return AdmittedModule(Path(order["file"]), order["name"], experiment.model.d_model)
