"""A finished database takes a name: alone, or in the place of another, with no moment to lose one.

A database and its log are one file in every step. What replaces another is first put beside it
whole, as ``.<name>.ttr-next``; then a note, ``.<name>.ttr-swap``, says what is to be done; from
then on whoever is killed leaves work that the next opening finishes (`finish`), never half of it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StoreError
from .records import utc_now

NEXT, NOTE, DRAFT = "ttr-next", "ttr-swap", "ttr-draft"
FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def log_of(path: Path) -> Path:
    """Returns where DuckDB keeps what is committed but not yet in the file itself."""
    return Path(f"{path}.wal")


def note_of(path: Path) -> Path:
    """Returns the note that a replacement of ``path`` is under way."""
    return path.with_name(f".{path.name}.{NOTE}")


def unused(path: Path, label: str) -> Path:
    """Returns a name for another version of a database, which neither file nor log has.

    Example:
        >>> unused(Path("/nowhere/runs.duckdb"), "replaced").name.startswith("runs.replaced-20")
        True
    """
    stem = f"{path.stem}.{label}-{utc_now():%Y%m%dT%H%M%S}"
    number = 1
    while True:
        ending = f"-{number}" if number > 1 else ""
        place = path.with_name(f"{stem}{ending}{path.suffix}")
        if not (os.path.lexists(place) or os.path.lexists(log_of(place))):
            return place
        number += 1


def publish(fresh: Path, path: Path) -> None:
    """Gives a finished, closed file a name that is free.

    Raises:
        StoreError: the name is taken, or a part of the file could not be written; DuckDB keeps
            that to itself when it closes.
    """
    _check_finished(fresh, path)
    if log_of(path).exists():
        raise StoreError(
            f"{log_of(path)} holds rows of a store that is gone: put {path.name} back beside "
            "it, or remove it."
        )
    if not _moved(fresh, path):
        raise StoreError(f"{path} exists already: somebody has written it meanwhile.")
    flush(path.parent)


def replace(fresh: Path, path: Path, aside: Path | None = None) -> None:
    """Puts a finished, closed file in the place of another, so that a crash leaves one of them.

    Args:
        fresh: the new file, on the same disk.
        path: its name from now on.
        aside: where the old file and its log go; they are removed without it.

    Raises:
        StoreError: a part of the new file could not be written, or ``aside`` is taken.
    """
    _check_finished(fresh, path)
    with alone(path.parent):
        finish(path)
        os.replace(fresh, _next_of(path))
        flush(path.parent)
        _leave_note(path, aside)
        finish(path)


def finish(path: Path) -> Path | None:
    """Does what is left of a replacement, and returns where the old file went.

    Nothing has happened to a file without a note. Each step may be repeated.

    Raises:
        StoreError: the old file cannot be put aside.
        OSError: a step cannot be done.
    """
    note, fresh = note_of(path), _next_of(path)
    try:
        name = json.loads(note.read_text(encoding="utf-8"))["aside"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{note} is damaged: {path.name} may have been replaced.") from error
    aside = None if name is None else path.with_name(Path(name).name)
    if fresh.exists():
        if aside is None:
            log_of(path).unlink(missing_ok=True)
        else:
            for old, new in ((log_of(path), log_of(aside)), (path, aside)):
                if old.exists() and not _moved(old, new):
                    raise StoreError(f"{new} exists already: {old} cannot be put aside there.")
        os.replace(fresh, path)
        flush(path.parent)
    note.unlink()
    flush(path.parent)
    return aside


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keeps others out of the replacements in a folder, without a file of its own for that."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # no locks here: the store's own lock has said so
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def forget_unannounced(folder: Path) -> None:
    """Removes new files whose writer was killed before it said what they are for."""
    with alone(folder):
        for left in (*folder.glob(f".*.{NEXT}"), *folder.glob(f".*.{DRAFT}")):
            if not left.with_suffix(f".{NOTE}").exists():
                left.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Brings a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unwritable(path: Path, error: OSError) -> str:
    """Returns one sentence for a file that cannot be written."""
    if error.errno in FULL:
        return f"The disk is full: {path} could not be written. Free some space."
    return f"Cannot write {path}: {os.strerror(error.errno or 0)}."


def _check_finished(fresh: Path, path: Path) -> None:
    if log_of(fresh).exists():
        raise StoreError(f"The disk is full: {path} could not be written.")
    flush(fresh)


def _next_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.{NEXT}")


def _leave_note(path: Path, aside: Path | None) -> None:
    note = note_of(path)
    draft = note.with_suffix(f".{DRAFT}")
    draft.write_text(json.dumps({"aside": aside and aside.name}), encoding="utf-8")
    flush(draft)
    os.replace(draft, note)
    flush(note.parent)


def _moved(old: Path, new: Path) -> bool:
    """Renames a file unless the new name is taken, and returns whether it has the new name."""
    try:
        os.link(old, new)
    except FileExistsError:
        if not os.path.samefile(old, new):
            return False
    except OSError as error:  # a file system without links
        if error.errno not in NO_LINKS:
            raise
        if os.path.lexists(new):
            return False
        os.rename(old, new)
        return True
    old.unlink()
    return True
