"""Stores as a whole: backup and restore; `importing` merges them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from ..errors import StoreError, WrongFile
from . import spill
from .driver import folder_of, held_in
from .files import absolute, copy_database, make_folder, raw_copy, same, workplace
from .foreign import sound_copy
from .importing import import_runs, other
from .lock import FileLock
from .store import Store
from .swap import publish, replace, unused, unwritable

__all__ = ["backup", "import_runs", "restore"]


def backup(store: Store, dest: Path | str, overwrite: bool = False) -> Path:
    """Copies a store into a file of its own, complete and compact, and returns its path.

    Args:
        store: the store; others wait while it is copied byte by byte, not while it is compacted.
        dest: the new file.
        overwrite: replace a file that is there.

    Raises:
        StoreError: there is no store, or ``dest`` exists or cannot be written.
    """
    place = absolute(dest)
    if same(place, store.path):
        raise WrongFile(f"{place} is the store itself: name another file for the backup.")
    if place.exists() and not overwrite:
        raise StoreError(
            f"{place} exists already: name another file, or allow to overwrite it (--overwrite)."
        )
    if not store.path.exists():
        raise StoreError(f"There is no store at {store.path}.")
    make_folder(place)
    try:
        with workplace(place) as folder:
            with store.locked(write=False):
                raw = raw_copy(store.path, folder)
            with _free(place):
                copy_database(raw, place, overwrite)
    except OSError as error:
        raise StoreError(unwritable(place, error)) from error
    store.log.info("backup in %s", place)
    return place


def restore(source: Path | str, dest: Store, overwrite: bool = False) -> Path | None:
    """Makes a backup the store.

    Args:
        source: the backup; it is left as it is.
        dest: the store to be.
        overwrite: replace a store that is there; it is renamed, not removed.

    Returns:
        Where the old store went, or None if there was none.

    Raises:
        StoreError: the source is no sound store, the store exists, or a process drives runs.
    """
    dest.allow_writing()
    place = other(source, dest)
    make_folder(dest.path)
    _check_replaceable(dest, overwrite)
    try:
        with workplace(dest.path) as folder:
            fresh = sound_copy(place, folder)
            with dest.locked(write=False):
                _check_replaceable(dest, overwrite)
                aside = unused(dest.path, "replaced") if dest.path.exists() else None
                if aside is None:
                    publish(fresh, dest.path)
                else:
                    replace(fresh, dest.path, aside)
    except OSError as error:
        raise StoreError(unwritable(dest.path, error)) from error
    spill.look_again(dest.path)
    dest.log.info("restored from %s; the old store is %s", place, aside)
    return aside


def _check_replaceable(dest: Store, overwrite: bool) -> None:
    if dest.path.exists() and not overwrite:
        raise StoreError(
            f"{dest.path} exists already: allow to overwrite it (--overwrite), or import."
        )
    driving = held_in(folder_of(dest.path))
    if dest.path.exists() and driving:
        raise StoreError(f"{driving[0]} drives the runs of {dest.path}: end it first.")


@contextmanager
def _free(place: Path) -> Iterator[None]:
    """Keeps out whoever uses the file at ``place`` as a store, if somebody does.

    Raises:
        StoreError: a process drives runs there.
    """
    lock = FileLock(place.with_name(f"{place.name}.lock"))
    with lock.held() if lock.path.exists() else nullcontext():
        if driving := held_in(folder_of(place)):
            raise StoreError(f"{driving[0]} drives the runs of {place}: name another file.")
        yield
