"""Runs that share a label in what a claim compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode


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


def trained_as(one: Party) -> str:
    """Returns the state of Explore that trains what a contender's plan says first.

    Example:
        >>> trained_as(Party("", {"layers": ["gla"], "tasks": [{"name": "mqar", "pairs": "8"}]}))
        'layer=gla&task=mqar&task.pairs=8'
    """
    plan = one.plan
    (task,) = plan["tasks"]
    model, train = plan.get("model", {}), plan.get("train", {})
    groups = {"task": task, "model": model, "train": train}
    said = {"layer": plan["layers"][0]} if "layers" in plan else {"spec": plan["specs"][0]}
    said |= {"task": task["name"], **{key: model[key] for key in ("frame",) if key in model}}
    for group, values in groups.items():
        kept = {key: value for key, value in values.items() if key not in ("name", "frame")}
        said |= {f"{group}.{key}": value for key, value in kept.items()}
    return urlencode(said)
