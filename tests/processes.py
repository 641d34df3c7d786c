"""What the system says of processes, which may end while it is asked."""

from __future__ import annotations

from contextlib import suppress

import psutil


def descendants(pid: int, said: str = "") -> list[int]:
    """Returns the processes that descend from one, those alone whose command says ``said``."""
    found = []
    with suppress(psutil.Error):
        for process in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.Error):
                if said in " ".join(process.cmdline()):
                    found.append(process.pid)
    return found


def resident(pid: int) -> int:
    """Returns the bytes of a process in memory, 0 once it has ended."""
    with suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def proportional(pid: int) -> int:
    """Returns the bytes of a process in memory, its part of what it shares; 0 once it has ended."""
    with suppress(psutil.Error):
        return int(psutil.Process(pid).memory_full_info().pss)
    return 0


def cpu(pid: int) -> float:
    """Returns the seconds of processor time that a process has taken, without its children's."""
    with suppress(psutil.Error):
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    return 0.0


def lives(pid: int) -> bool:
    """Says whether a process runs: what nobody has asked how it ended does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
