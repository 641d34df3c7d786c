"""Runs that share a label in what a claim compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Party:
    """Runs that share a label: a layer on a task, over seeds.

    Args:
        label: as tables and pictures have it.
        plan: what a plan file would say.
        drawn: whether it is in the picture.
    """

    label: str
    plan: Mapping[str, Any]
    drawn: bool = True
