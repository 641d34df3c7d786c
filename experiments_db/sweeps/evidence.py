"""Runs that a plan goes on with: kept as files, taken into the store before the plan's own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ttr_core import how_many

from ..store import Store, open_store
from ..store.backup import import_runs
from ..store.files import absolute
from . import questions


def files(names: Iterable[str], place: Path) -> tuple[Path, ...]:
    """Returns where the runs lie that a plan goes on with.

    Args:
        names: what the plan calls them, from the folder that it lies in.
        place: the plan's file.
    """
    return tuple(absolute(absolute(place).parent / name) for name in names)


def bring_in(store: Store, found: Iterable[Path], only: Collection[str] | None = None) -> list[str]:
    """Adds what the store lacks of the runs in these files, and returns what there is to say.

    Args:
        store: what they are added to.
        found: the files.
        only: fingerprints of the runs that are asked for; None for all.

    Raises:
        StoreError: a file holds no whole runs, or the store cannot be written.
    """
    found = list(found)
    said = absent(found)
    for file in found:
        if file.exists() and (added := import_runs(store, file, only).added):
            said.append(f"{how_many(added, 'run is', 'runs are')} taken in from {file}.")
    return said


def absent(found: Iterable[Path]) -> list[str]:
    """Returns what there is to say of files that are not there yet."""
    nothing = "yet: nothing is taken in from there."
    return [f"There is no evidence at {file} {nothing}" for file in found if not file.exists()]


def answered(found: Iterable[Path], asked: Mapping[str, float | None]) -> dict[str, str]:
    """Returns the configurations that these files have a run of: as `questions.held` does."""
    with aside(found) as kept:
        return {} if kept is None else questions.held(kept, asked)


@contextmanager
def aside(found: Iterable[Path]) -> Iterator[Store | None]:
    """Takes the runs of files into a store of their own, which is gone afterwards.

    So a dry run tells what they would bring, and writes nothing. Without any file there is none.

    Args:
        found: the files; those that are not there yet are passed over.

    Raises:
        StoreError: a file holds no whole runs.
    """
    present = [file for file in found if file.exists()]
    if not present:
        yield None
        return
    with TemporaryDirectory() as folder:
        kept = open_store(Path(folder) / "runs.duckdb", readonly=False)
        bring_in(kept, present)
        yield kept
