"""Where an experiment can run, and what it says where memory does not suffice."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ..errors import LimitExceeded, RequestError, UnknownName

DEVICES = ("auto", "cpu", "cuda")
GPU = ("gpu", "nvidia", "cuda")
"""How the names begin that others have for cuda."""
MEMINFO = Path("/proc/meminfo")


def gpus() -> tuple[str, ...]:
    """Returns the names of the GPUs here: what every choice of a device is made from.

    Example:
        >>> all(isinstance(name, str) for name in gpus())
        True
    """
    return tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))


def take_gpu(index: int | None) -> None:
    """Lets ``cuda`` mean one of `gpus` in this process.

    Args:
        index: its place in `gpus`; None, or one that is not there, leaves it as it is.

    Example:
        >>> take_gpu(None)
    """
    if index is not None and index < torch.cuda.device_count():
        torch.cuda.set_device(index)


def resolve_device(device: str) -> str:
    """Returns ``cpu`` or ``cuda`` for a device asked for.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        RequestError: ``cuda`` is asked for where there is none.

    Example:
        >>> resolve_device("cpu")
        'cpu'
    """
    if device not in DEVICES:
        meant = ("cuda",) if device.lower().startswith(GPU) else ()
        raise UnknownName("device", device, DEVICES, meant)
    present = bool(gpus())
    if device == "cuda" and not present:
        raise RequestError("Device cuda was asked for, but there is none here: use cpu or auto.")
    return "cuda" if present and device == "auto" else "cpu" if device == "auto" else device


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice; on a CPU torch has no class for it."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def memory_left(device: str, meminfo: Path = MEMINFO) -> int | None:
    """Returns how many bytes can be allocated; None where the system does not tell.

    Args:
        device: ``cpu`` or ``cuda``.
        meminfo: where Linux tells it of the CPU's.

    Example:
        >>> memory_left("cpu", Path("no such file")) is None
        True
    """
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    if not meminfo.is_file():
        return None
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
    free = lines.get("MemAvailable")
    return None if free is None else 1024 * int(free.split()[0])


def released(error: BaseException) -> None:
    """Lets go of what an error's frames hold, so that something smaller can be tried."""
    traceback.clear_frames(error.__traceback__)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def too_large(
    device: str, name: str, asked: int, attempt: Callable[[int], object]
) -> LimitExceeded:
    """Returns what to say of a size that memory does not suffice for, with one that fits.

    Halves are tried until one runs: no estimate knows what else lies in a GPU's memory.

    Args:
        device: where it ran.
        name: the setting that can be lowered.
        asked: its value.
        attempt: runs once with another value.
    """
    size = asked // 2
    while size:
        try:
            attempt(size)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not ran_out(error):
                raise
            released(error)
            size //= 2
        else:
            return LimitExceeded(
                f"Out of memory on {device} at {name}={asked}; {name}={size} fits. Lower it, or "
                "shorten the sequences."
            )
    return LimitExceeded(
        f"Out of memory on {device} at {name}={asked}, and with {name}=1, too: shorten the "
        "sequences or lower model.d_model."
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Computes on one thread for the duration of the block, as every run does.

    The processor seconds of several threads hold what they wait for each other.

    Example:
        >>> import torch
        >>> with one_thread():
        ...     torch.get_num_threads()
        1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
