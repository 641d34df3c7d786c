"""The settings of a request: ``key=value`` texts, the groups that keys belong to, their places."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ttr_core import (
    Ingredient,
    ModelConfig,
    RequestError,
    Spec,
    UnknownName,
    from_settings,
    nearest,
    options_of,
)
from ttr_core.lab import TASKS, TrainConfig

GROUPS = ("layer", "task", "train", "model")

Path = tuple[tuple[str, int | None], ...]
"""The way from a spec to one of its ingredients: field names, with a place in a tuple or None."""


@dataclass(frozen=True)
class Dial:
    """One option of one ingredient of a spec.

    Args:
        path: the way from the spec to the ingredient.
        ingredient: the ingredient.
        name: the option's name.
    """

    path: Path
    ingredient: Ingredient
    name: str


def parsed(sets: Iterable[str] | Mapping[str, Any]) -> dict[str, str]:
    """Returns settings as key -> text; of a repeated key the last value counts.

    Example:
        >>> parsed(["pairs=8", "train.lr = 0.003"])
        {'pairs': '8', 'train.lr': '0.003'}
    """
    if isinstance(sets, Mapping):
        return {str(key).strip(): _text(value) for key, value in sets.items()}
    return dict(_pair(text) for text in sets)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = str(text).partition("=")
    if not (equals and key.strip()):
        raise RequestError(f"A setting is key=value, such as pairs=8; this is {text[:80]!r}.")
    return key.strip(), value.strip()


def sought(text: str) -> dict[str, Any]:
    """Returns the values of settings that a search asks for, by dotted key.

    Example:
        >>> sought("pairs=8, train.lr=0.003 seed=1")
        {'task.pairs': 8, 'train.lr': 0.003, 'seed': 1}

    Raises:
        RequestError: a part is no ``key=value``, or the key is unknown or ambiguous.
    """
    tasks = {option.name for task in TASKS.values() for option in task.options()}
    names = {
        "task": sorted(tasks),
        "train": [option.name for option in options_of(TrainConfig)],
        "model": [option.name for option in options_of(ModelConfig)],
    }
    found = {}
    for key, value in parsed(text.replace(",", " ").split()).items():
        name = key if key == "seed" else ".".join(placed(key, names))
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    """Returns what a text says as JSON would: a number, true, false, null; else the text."""
    try:
        value = json.loads({"none": "null"}.get(text.lower(), text))
    except ValueError:
        return text
    return value if isinstance(value, (int, float, bool, str)) or value is None else text


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    return str(value)


def split_names(text: str) -> tuple[str, ...]:
    """Splits a list of layers at the commas that stand outside parentheses.

    Example:
        >>> split_names("gla, Gate | Linear(map=polynomial(degree=2, scale=1)) | SGD")
        ('gla', 'Gate | Linear(map=polynomial(degree=2, scale=1)) | SGD')
    """
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return tuple(part.strip() for part in parts if part.strip())


def placed(key: str, groups: Mapping[str, Iterable[str]]) -> tuple[str, str]:
    """Returns the group and the name that a key stands for.

    Args:
        key: ``group.name``, or the name alone where only one group has it.
        groups: group -> names.

    Raises:
        RequestError: the key is unknown or stands in several groups.
    """
    prefix, dot, name = key.partition(".")
    if dot and prefix in groups:
        if name not in groups[prefix]:
            raise UnknownName(
                f"setting of {prefix}", name, _short(groups[prefix]), _elsewhere(name, groups)
            )
        return prefix, name
    homes = [group for group, names in groups.items() if key in names]
    if len(homes) == 1:
        return homes[0], key
    if homes:
        either = " or ".join(f"{group}.{key}" for group in homes)
        raise RequestError(f"The setting {key!r} is ambiguous: write {either}.")
    raise _unknown_key(key, groups)


def _elsewhere(name: str, groups: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Returns the keys of other groups that have a setting of exactly this name."""
    return tuple(f"{group}.{name}" for group, names in groups.items() if name in names)


def _unknown_key(key: str, groups: Mapping[str, Iterable[str]]) -> RequestError:
    bare = {name: f"{group}.{name}" for group in groups for name in _short(groups[group])}
    close = [bare[name] for name in nearest(key.rpartition(".")[2], bare)]
    hint = f"Did you mean {' or '.join(close)}? " if close else ""
    listed = "\n".join(
        f"  {group}.*: {', '.join(_short(names)) or 'nothing to set here'}"
        for group, names in groups.items()
    )
    return RequestError(f"Unknown setting {key[:80]!r}. {hint}Valid:\n{listed}")


def _short(names: Iterable[str]) -> list[str]:
    return [name for name in names if "." not in name]


# ---- options of a spec's ingredients


def dials(spec: Spec) -> dict[str, list[Dial]]:
    """Returns the options of every ingredient of a spec by the keys that ``layer.*`` takes.

    A key is the option's name, such as ``ridge``, or for clarity ``Exact.ridge``. A key with
    several dials is ambiguous.
    """
    found: dict[str, list[Dial]] = {}
    for path, ingredient in _ingredients(spec, ()):
        for opt in ingredient.options():
            dial = Dial(path, ingredient, opt.name)
            for key in (opt.name, f"{ingredient.name}.{opt.name}"):
                found.setdefault(key, []).append(dial)
    return found


def turned(spec: Spec, key: str, text: str) -> Spec:
    """Returns the spec with one option of one ingredient changed.

    Raises:
        RequestError: several ingredients have this option, or the value is not valid.
    """
    at = dials(spec)[key]
    if len(at) > 1:
        homes = [f"{dial.ingredient} has {dial.ingredient.name}.{dial.name}" for dial in at]
        raise RequestError(
            f"The setting layer.{key} is ambiguous in {spec}: {'; '.join(homes)}. Name the "
            "ingredient in front of the option, or write the value into --spec."
        )
    dial = at[0]
    kind = f"setting of {dial.ingredient.name}"
    value = getattr(from_settings(type(dial.ingredient), {dial.name: text}, kind), dial.name)
    changed = dataclasses.replace(dial.ingredient, **{dial.name: value})
    rebuilt: Spec = _rebuilt(spec, dial.path, changed)
    return rebuilt


def _ingredients(parent: Any, path: Path) -> Iterator[tuple[Path, Ingredient]]:
    for field in dataclasses.fields(parent):
        value = getattr(parent, field.name)
        many = isinstance(value, tuple)
        for index, child in enumerate(value if many else (value,)):
            if isinstance(child, Ingredient):
                step = (field.name, index if many else None)
                yield (*path, step), child
                yield from _ingredients(child, (*path, step))


def _rebuilt(parent: Any, path: Path, changed: Ingredient) -> Any:
    if not path:
        return changed
    (name, index), rest = path[0], path[1:]
    held = getattr(parent, name)
    if index is None:
        return dataclasses.replace(parent, **{name: _rebuilt(held, rest, changed)})
    parts = list(held)
    parts[index] = _rebuilt(parts[index], rest, changed)
    return dataclasses.replace(parent, **{name: tuple(parts)})
