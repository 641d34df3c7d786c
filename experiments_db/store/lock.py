"""One process and one thread at a time: a blocking file lock that gives up and names the holder.

Every open of a store's file goes through a lock on a small file beside it. The lock file is never
removed: a lock on a removed file would exclude nobody.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import StoreError

TIMEOUT = 60.0
"""Seconds to wait for a lock before giving up."""

COMMAND_CHARS = 200
NOTE_BYTES = 4096
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


class FileLock:
    """A lock on a file of its own, exclusive between processes and between threads.

    Each `held` opens a fresh descriptor, since a lock belongs to a descriptor: with a shared one,
    a second thread would walk in. Waiting is a blocking ``flock``, so that the kernel wakes a
    waiter the moment the lock is free; who polls instead finds it taken again and again.
    ``flock`` knows no timeout, so that the wait happens in a thread of its own, which is abandoned
    at the deadline; should it get the lock later, it gives it back at once. (A signal would need
    the main thread; a timer per descriptor does not exist.)

    Args:
        path: the lock file.
        timeout: seconds to wait.
    """

    def __init__(self, path: Path, timeout: float = TIMEOUT) -> None:
        self.path, self.timeout = path, timeout

    @contextmanager
    def held(self, write: bool = True) -> Iterator[None]:
        """Holds the lock for the duration of the block.

        Args:
            write: whether the block writes. A reader may find a folder it cannot write to: then
                an existing lock file is locked as it is, and a missing one means that nobody
                writes here.

        Raises:
            StoreError: another holder keeps it beyond the timeout, or the folder is read-only.
        """
        descriptor = self._descriptor(write)
        if descriptor is None:
            yield
            return
        if not _locked_at_once(descriptor, self.path):
            self._wait(descriptor)
        try:
            _leave_note(descriptor, _own_name())
            yield
        finally:
            _leave_note(descriptor, "")
            os.close(descriptor)

    def holder(self) -> dict[str, str]:
        """Returns what the holder wrote about itself: pid, host, command, since.

        Who was killed has left its note behind; it is none of a holder. Of a process on another
        host nobody here knows whether it lives: its note stands.
        """
        if not is_held(self.path):
            return {}
        try:
            note = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) and not _is_gone(note) else {}

    def _descriptor(self, write: bool) -> int | None:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            if error.errno not in DENIED or write:
                raise StoreError(_cannot_lock(self.path, error)) from error
        try:
            return os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(_cannot_lock(self.path, error)) from error

    def _wait(self, descriptor: int) -> None:
        try:
            wait = _Wait(descriptor)
        except RuntimeError:  # the interpreter is exiting and starts no more threads
            self._poll(descriptor)
        else:
            wait.finish(self.timeout, self._refusal)

    def _poll(self, descriptor: int) -> None:
        deadline = time.monotonic() + self.timeout
        while not _locked_at_once(descriptor, self.path):
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise StoreError(self._refusal())
            time.sleep(0.01)

    def _refusal(self) -> str:
        note = self.holder()
        who = "a process that left no name"
        if note:
            who = f"process {note.get('pid')} on {note.get('host')} ({note.get('command')})"
            who += f" since {note.get('since')}"
            if note.get("host") != socket.gethostname():
                who += ", as far as can be told from here"
        store = str(self.path).removesuffix(".lock")
        return (
            f"{store} is in use by {who}; gave up after {self.timeout:g} s. "
            "Try again, or end that process if it hangs."
        )


def _locked_at_once(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        os.close(descriptor)
        raise StoreError(_cannot_lock(path, error)) from error
    return True


class _Wait:
    """A blocking ``flock`` in a thread; owns the descriptor until it is locked."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._error = descriptor, list[OSError]()
        self._deciding, self._done = threading.Lock(), threading.Event()
        self._abandoned = False
        threading.Thread(target=self._wait, name="lock-wait", daemon=True).start()

    def finish(self, timeout: float, refusal: Callable[[], str]) -> None:
        """Returns once the descriptor is locked.

        Raises:
            StoreError: the deadline passed, or the file cannot be locked.
        """
        try:
            self._done.wait(timeout)
            with self._deciding:
                self._abandoned = not self._done.is_set()
        except BaseException:  # Ctrl-C: nobody will use the lock
            self._give_up()
            raise
        if self._abandoned:
            raise StoreError(refusal())
        if self._error:
            os.close(self._descriptor)
            raise StoreError(_cannot_lock(Path("the lock file"), self._error[0]))

    def _give_up(self) -> None:
        with self._deciding:
            if self._done.is_set():
                os.close(self._descriptor)
            else:
                self._abandoned = True

    def _wait(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except OSError as error:
            self._error.append(error)
        with self._deciding:
            if self._abandoned:
                os.close(self._descriptor)
            else:
                self._done.set()


def is_held(path: Path) -> bool:
    """Returns whether somebody holds an exclusive lock on a file; a missing file is free.

    The probe is a shared lock, so that two probes do not take each other for the holder.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _is_gone(note: dict[str, Any]) -> bool:
    """Says whether a note is of a process of this host that is no more."""
    if note.get("host") != socket.gethostname() or not isinstance(note.get("pid"), int):
        return False
    try:
        os.kill(note["pid"], 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _own_name() -> str:
    note = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": " ".join(sys.orig_argv)[:COMMAND_CHARS],
        "since": datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
    }
    return json.dumps(note)


def _leave_note(descriptor: int, text: str) -> None:
    """Writes who holds the lock; a full disk or a read-only descriptor costs the note alone."""
    with contextlib.suppress(OSError):
        data = text.encode()[:NOTE_BYTES]
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))


def _cannot_lock(path: Path, error: OSError) -> str:
    if error.errno in DENIED:
        return f"Cannot write to {path.parent}: {os.strerror(error.errno)}. Reading is possible."
    if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
        return (
            f"The file system of {path.parent} knows no file locks ({os.strerror(error.errno)}). "
            "Keep the store on a local disk."
        )
    return f"Cannot open {path}: {os.strerror(error.errno or 0)}."
