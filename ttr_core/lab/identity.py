"""RunIdentity: which runs are the same run, while the program grows.

A run is stored with its whole configuration. What decides it is less, and is its *fingerprint*:

- what its task does not use is left out, as the frame and the training of a task without training;
- a setting that was added later is left out while it stands at its default, so that runs made
  before there was the setting are found;
- what computes otherwise than it did, under the same settings, says so by its ``revision``. From
  the second on it stands in the configuration and in the fingerprint, so that runs of the first
  are *superseded*: they stay, and are not taken for runs of today.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import RequestError
from ..layers.frame import Frame
from ..layers.gates import GATES
from ..layers.model import ModelConfig
from ..layers.own_module import is_module
from ..layers.published import catalog
from ..space.ingredient import REGISTRY
from ..space.option import lasting, options_of
from ..space.spec import Spec
from ..space.text import pieces
from .protocol import TrainConfig
from .tasks import TASKS

VERSION = 1
"""Of the form of a configuration."""

HOLDS = {"layer": ("layer", "spec"), "model": ("model",), "frame": ("frames",), "train": ("train",)}
"""What may decide a task -> the keys of a configuration that hold it."""

STARTS = {"start/steps": 2}
"""What starts by more than one choice, which alone compute as they did, and its revision.

Steps by the curvature of a pair's loss, and features that are sharper under them. A name that is
added here needs a step of the store's schema, as `004_parts`, that names the parts of stored runs.
"""

FORM = {"task": dict, "spec": str, "model": dict, "frames": list, "train": dict}

Config = Mapping[str, Any]


@dataclass(frozen=True)
class RunIdentity:
    """What decides a run.

    Args:
        fingerprint: the part of the configuration that does, JSON-able.
        parts: what of the program takes part, with its revision, such as ``optimizer/SGD@1``.

    Example:
        >>> import ttr_core as ttr
        >>> from ttr_core.lab import Experiment
        >>> run = Experiment(ttr.task("regression"), ttr.ModelConfig(layers=("deltanet",)))
        >>> identity(run.config()).parts[0].partition("@")[0]
        'task/regression'
    """

    fingerprint: dict[str, Any]
    parts: tuple[str, ...]


def identity(config: Config) -> RunIdentity | None:
    """Returns what decides the run of a configuration, or None if this program cannot read it.

    Args:
        config: as `Experiment.config` returns it, or as any earlier version has stored it.

    Example:
        >>> import ttr_core as ttr
        >>> from ttr_core.lab import Experiment
        >>> run = Experiment(ttr.task("regression"), ttr.ModelConfig(layers=("deltanet",)))
        >>> "train" in identity(run.config()).fingerprint  # nothing is trained
        False
        >>> identity({"version": "of another program"}) is None
        True
    """
    if not _is_ours(config):
        return None
    decides = TASKS[config["task"]["name"]].decides
    left_out = {key for what, keys in HOLDS.items() if what not in decides for key in keys}
    kept = {key: value for key, value in config.items() if key not in left_out}
    used = tuple(_used(config))
    given = {name: n for name, n in config.get("revisions", {}).items() if name in used}
    kept.pop("revisions", None)
    found = {
        **kept,
        **_lasting(kept, TASKS[config["task"]["name"]]),
        **({"revisions": given} if given else {}),
    }
    return RunIdentity(found, tuple(f"{name}@{given.get(name, 1)}" for name in used))


def fingerprint(config: Config) -> dict[str, Any]:
    """Returns what is hashed of a configuration: what decides it; all of one that is not ours.

    Args:
        config: as `Experiment.config` returns it.

    Example:
        >>> fingerprint({"of": "another program"})
        {'of': 'another program'}
    """
    found = identity(config)
    return dict(config) if found is None else found.fingerprint


def digest(data: Config) -> str:
    """Returns a hash of JSON-able data, whatever the order of its keys: 32 letters and digits.

    Args:
        data: finite numbers, texts, lists and mappings with texts as keys.

    Raises:
        ValueError: a number that is not finite.

    Example:
        >>> from ttr_core.lab import digest
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
        True
    """
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def revised(config: Config) -> dict[str, int]:
    """Returns what takes part in a run of today and has a later revision than the first."""
    now = revisions()
    return {name: now[name] for name in _used(config) if now[name] > 1}


def revisions() -> dict[str, int]:
    """Returns everything that can compute otherwise under the same settings, and its revision."""
    choices = {f"{family}/{n}": c for family, found in REGISTRY.items() for n, c in found.items()}
    gates = {f"gates/{name}": cls for name, cls in GATES.items()}
    tasks = {f"task/{name}": cls for name, cls in TASKS.items()}
    rest: dict[str, Any] = {"frame": Frame, "model": ModelConfig, "train": TrainConfig}
    classes: dict[str, Any] = {**choices, **gates, **tasks, **rest}
    entries = {f"entry/{name}": entry.revision for name, entry in catalog.items()}
    return {**{name: int(cls.revision) for name, cls in classes.items()}, **entries, **STARTS}


def outdated() -> list[str]:
    """Returns the parts that make a run superseded: each revision before the one of today.

    Example:
        >>> [part for part in outdated() if not part.rpartition("@")[2].isdigit()]
        []
    """
    return [f"{name}@{old}" for name, now in revisions().items() for old in range(1, now)]


def _is_ours(config: Config) -> bool:
    """Whether a configuration has the form of ours, and names what there is."""
    form = all(isinstance(config.get(key), kind) for key, kind in FORM.items())
    if not form or config.get("version") != VERSION:
        return False
    named = config["task"].get("name") in TASKS
    return named and all(is_module(t) or _read(t) for t in pieces(config["spec"], ","))


def _used(config: Config) -> Iterator[str]:
    """Yields the names, as in `revisions`, of all that takes part in a run, each once."""
    name, layers = config["task"]["name"], config["model"].get("layers", ())
    texts = pieces(config["spec"], ",")
    frames = [frame for frame in config["frames"] if isinstance(frame, dict)]
    of: dict[str, Iterable[str]] = {
        "layer": (*(part for text in texts for part in _parts(text)), *_entries(config, layers)),
        "model": ("model",),
        "frame": ("frame", *(f"gates/{f['gates']}" for f in frames if f.get("gates") in GATES)),
        "train": ("train",),
    }
    used = [part for what in TASKS[name].decides for part in of[what]]
    yield from dict.fromkeys((f"task/{name}", *used))


def _entries(config: Config, layers: Iterable[str]) -> list[str]:
    named = dict.fromkeys(filter(None, (config.get("layer"), *layers)))
    return [f"entry/{name}" for name in named if name in catalog]


def _lasting(kept: Config, task: type[Any]) -> dict[str, Any]:
    """Returns the parts of a configuration without later settings that are at their default."""
    found: dict[str, Any] = {"task": _older(task, kept["task"])}
    if "spec" in kept:
        found["spec"] = ", ".join(_text(text) for text in pieces(kept["spec"], ","))
    if "model" in kept:
        model = _older(ModelConfig, kept["model"])
        found["model"] = {**model, "layers": [_text(text) for text in model.get("layers", ())]}
    if "frames" in kept:
        found["frames"] = [_older(Frame, frame) for frame in kept["frames"]]
    if "train" in kept:
        found["train"] = _older(TrainConfig, kept["train"])
    return found


def _older(cls: type, settings: Config) -> dict[str, Any]:
    later = {opt.name: opt for opt in options_of(cls) if opt.since > 1}
    return {
        name: value
        for name, value in settings.items()
        if name not in later or lasting(later[name], _frozen(value))
    }


def _frozen(value: Any) -> Any:
    """Returns a value as a setting holds it: JSON knows no tuples."""
    return tuple(value) if isinstance(value, list) else value


def _text(text: str) -> str:
    """Returns a name as it is, and a spec without later settings that are at their default."""
    spec = _read(text) if "|" in text else None
    return text if spec is None else spec.text(lasting)


@functools.lru_cache(maxsize=4096)
def _parts(text: str) -> tuple[str, ...]:
    spec = _read(text)
    if spec is None:
        return ()
    parts = (p for i in spec.ingredients for p in i.within())
    named = tuple(f"{part.family}/{part.name}" for part in parts if part.listed())
    return (*named, *STARTS) if spec.starts_by_steps else named


@functools.lru_cache(maxsize=4096)
def _read(text: str) -> Spec | None:
    try:
        return Spec.parse(text)
    except RequestError:
        return None
