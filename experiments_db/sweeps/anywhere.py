"""Runs that another device has made already: a plan that leaves the device open takes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from ..run.request import config_hash
from ..store import Store
from . import questions
from .expansion import Planned, times_of

COMPLETED = "complete"


def as_stored(store: Store, runs: Sequence[Planned]) -> list[Planned]:
    """Returns runs as the store has them: where only the other device made one, that one.

    Args:
        store: where they are kept.
        runs: what is asked for, of whatever device.
    """
    known = _complete_of(store, runs)
    others = {run.config_hash: on_other_device(run) for run in runs if run.config_hash not in known}
    there = _complete_of(store, others.values())
    twins = {name: other for name, other in others.items() if other.config_hash in there}
    return [twins.get(run.config_hash, run) for run in runs]


def on_other_device(run: Planned) -> Planned:
    """Returns the same run on the other device."""
    config = {**run.config, "device": "cpu" if run.experiment.device == "cuda" else "cuda"}
    return dataclasses.replace(run, config=config, config_hash=config_hash(config))


def _complete_of(store: Store, runs: Iterable[Planned]) -> frozenset[str]:
    held = questions.held(store, times_of(runs))
    return frozenset(name for name, state in held.items() if state == COMPLETED)
