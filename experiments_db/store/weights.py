"""The weights of runs, kept where somebody asked for them: one file a run, beside the store.

They are no part of the store's file: a backup and an export carry the numbers of a run, not its
weights. A run that is deleted takes its file with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

MOST_BYTES = 64 * 2**20
"""Of the weights of one run."""

MOST_IN_ALL = 4 * 2**30
"""Of the weights of all runs of a store; beyond that none are added until runs are deleted."""


def weights_folder(store: Path) -> Path:
    """Returns where the weights of a store's runs lie.

    Example:
        >>> weights_folder(Path("var/runs.duckdb")).name
        'runs.weights'
    """
    return store.with_suffix(".weights")


def file_of(store: Path, run_id: str) -> Path:
    """Returns the file of a run, whether it has one or not; the id is one of the store's own."""
    return weights_folder(store) / f"{Path(run_id).name}.safetensors"


def kept_bytes(store: Path, run_id: str) -> int | None:
    """Returns how large the kept weights of a run are, or None where none are kept."""
    try:
        return file_of(store, run_id).stat().st_size
    except OSError:
        return None


def refusal(target: Path, size: int) -> str | None:
    """Returns why weights of a size are not kept, or None where they may be.

    Args:
        target: the file that they would have.
        size: bytes.
    """
    if size > MOST_BYTES:
        return f"The weights have {size:,} bytes; at most {MOST_BYTES:,} are kept of a run."
    there = sum(file.stat().st_size for file in target.parent.glob("*.safetensors"))
    if there + size > MOST_IN_ALL:
        return f"{target.parent} holds {there:,} bytes of weights: delete runs to keep more."
    return None


def forget(store: Path, run_ids: Iterable[str]) -> None:
    """Removes the weights of some runs, where they have any."""
    for run_id in run_ids:
        with contextlib.suppress(OSError):
            file_of(store, run_id).unlink(missing_ok=True)
