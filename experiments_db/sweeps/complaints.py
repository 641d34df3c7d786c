"""What is wrong with a plan, one line for each thing, with its place and the nearest key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pydantic

from ttr_core import AXES, ModelConfig, nearest, options_of
from ttr_core.lab import TrainConfig

from ..errors import required
from .plan_file import Source
from .values import Range

_Form = type[pydantic.BaseModel]


def complaints(
    error: pydantic.ValidationError, source: Source, form: _Form, inside: Mapping[str, _Form]
) -> str:
    """Returns one line for each thing that is wrong with a plan, with the nearest key.

    Args:
        error: what its form has found.
        source: where its parts stand.
        form: its form.
        inside: key -> the form of what stands there; elsewhere it is that of a range of numbers.
    """
    found = error.errors()
    for problem in found:
        if said := _of_a_map(problem["loc"], problem["input"]):
            return source.located(problem["loc"], said)
    inner = [p for p in found if not (p["type"] == "too_short" and _holds_more(p, found))]
    told = (source.located(p["loc"], _problem(p, source, form, inside)) for p in inner[:10])
    return "\n".join(told)


def _holds_more(problem: Any, found: Sequence[Any]) -> bool:
    """Whether a list looks too short only because something in it is wrong."""
    at = problem["loc"]
    return any(p is not problem and p["loc"][: len(at)] == at for p in found)


def _problem(problem: Any, source: Source, form: _Form, inside: Mapping[str, _Form]) -> str:
    loc = problem["loc"]
    where = ".".join(map(str, source.place(loc) or loc)) or "the plan"
    if problem["type"] == "extra_forbidden":
        holder = form if len(loc) == 1 else inside.get(str(loc[0]), Range)
        return _unknown_key(holder, str(loc[-1]))
    if problem["type"] == "missing" and (said := _of_another(loc, problem["input"])):
        return said
    if problem["type"] == "missing":
        around = ".".join(map(str, source.place(loc))) or "the plan"
        return f"the key {str(loc[-1])!r} is missing in {around}."
    if problem["type"] == "too_short":
        return f"{where} is empty; give at least one value, or leave it out."
    return f"{where} is {str(problem['input'])[:80]!r}; {required(problem['msg'])}."


def _of_a_map(loc: Sequence[Any], given: Any) -> str | None:
    """Says how a name with settings is written, where its settings stand under the name."""
    wanted = {"layers": "name", "specs": "spec", "tasks": "name"}.get(str(loc[0]) if loc else "")
    if wanted is None or loc[-1] != wanted or not isinstance(given, Mapping) or len(given) != 1:
        return None
    ((name, settings),) = given.items()
    if not isinstance(settings, Mapping):
        return None
    more = "".join(f", {key}: {value}" for key, value in settings.items())
    return f"settings stand beside the name: write - {{{wanted}: {name}{more}}}."


def _of_another(loc: Sequence[Any], given: Any) -> str | None:
    """Says where a mapping belongs that stands under the wrong key, or how a spec is written."""
    if loc[0] not in ("layers", "specs") or not isinstance(given, Mapping):
        return None
    parts = [str(given[axis]) for axis in AXES if axis in given]
    if len(parts) == len(AXES):
        more = [f"{key}: {value}" for key, value in given.items() if key not in AXES]
        written = ", ".join([f'spec: "{" | ".join(parts)}"', *more])
        return f"three ingredients are written as one text, under `specs:`, as - {{{written}}}."
    if loc[0] == "layers" and "spec" in given:
        return "this is a spec, no name of a layer: put it under `specs:` as it is."
    if loc[0] == "specs" and "name" in given:
        return "this is a layer by its name, no spec: put it under `layers:` as it is."
    return None


def _unknown_key(holder: _Form, key: str) -> str:
    valid = [field.alias or name for name, field in holder.model_fields.items()]
    close = nearest(key, valid)
    homes = {"model": ModelConfig, "train": TrainConfig} if "train" in valid else {}
    for group, form in homes.items():
        if key != "layers" and key in [option.name for option in options_of(form)]:
            return f"{key!r} is a setting of {group}: write `{group}: {{{key}: ...}}`."
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    return f"unknown key {key[:80]!r}.{hint} Valid: {', '.join(valid)}."
