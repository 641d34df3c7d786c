"""What the layers of the catalog learn: docs/learning.csv as a section of docs/catalog.md.

The file is the table of a sweep, kept in the repository because its runs take long. No text of it
reaches the page: a row counts if its layer is in the catalog and its setting is valid, and a
cell if it is a number.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import RequestError
from ..lab import RATES, SEEDS, TASKS, Metric, Task, TrainConfig, task
from ..layers.model import ModelConfig
from ..layers.published import catalog
from ..space.constraints import Choice, Flag, Numeric, Whole
from ..space.option import from_settings, options_of
from ..words import called
from ..words import markdown as md

FILE = "learning.csv"

COMMANDS = f"""\
    python batch.py sweep examples/learning_table.yaml --jobs 2 --output docs/{FILE}
    make docs"""
NONE = "–"
CHECKED = (Numeric, Flag, Choice)
"""What is read of the settings: not free text, and not what each layer has for itself."""

Cells = Mapping[str, str | None]


@dataclass(frozen=True)
class TrainingSetup:
    """What the layers of one table have in common.

    Args:
        task: what they learned.
        model: what surrounds them; its layers are not theirs.
        train: how they were trained; its rate is not theirs.
    """

    task: Task
    model: ModelConfig
    train: TrainConfig


@dataclass(frozen=True)
class Learned:
    """What one layer learned; a number that the file lacks is None.

    Args:
        layer: its name in the catalog.
        setting: under what conditions.
        value: of the task's main metric, on the test set.
        diverged: runs that diverged at the rate that counts.
        seeds: runs that count.
        rate: the learning rate that counts.
        low: smallest rate that works.
        high: largest rate that works.
        good: how many rates work.
        tried: how many rates were compared.
        rates: the rates tried.
        state_size: floats of state.
        seconds: processor seconds of training.
    """

    layer: str
    setting: TrainingSetup
    value: float | None
    diverged: float | None
    seeds: float | None
    rate: float | None
    low: float | None
    high: float | None
    good: float | None
    tried: float | None
    rates: tuple[float, ...]
    state_size: float | None
    seconds: float | None


def section(file: Path) -> Iterable[str]:
    """Yields the blocks of the section; without results it says how to get them."""
    yield "## What they learn"
    found = results(file)
    if not found:
        yield "No results are kept here yet. A sweep makes them, and this page is written anew:"
        yield COMMANDS
        return
    yield "How well each layer learns one task, all else being equal."
    yield md.bullets(_conditions(found))
    yield "To make it again:"
    yield COMMANDS
    metric = found[0].setting.task.main()
    yield md.table(head(metric), map(_cells, found))
    yield (
        f"Rates that work are those whose validation {metric.name} is close to the best one's "
        "([sweeps.md](sweeps.md) says how close), and how many of those tried; "
        f"{NONE} if none does. Seconds compare layers; another computer takes more or less."
    )
    missing = [md.link(name) for name in catalog if name not in {one.layer for one in found}]
    if missing:
        yield f"Without a result: {md.listing(missing)}."


def results(file: Path) -> list[Learned]:
    """Returns what a file has of the catalog's layers, the best first; nothing without a file.

    Rows that cannot be compared are left out: the setting of the first row counts, and in it the
    first row of each layer.
    """
    if not file.exists():
        return []
    found: dict[str, Learned] = {}
    with file.open(encoding="utf-8", errors="replace", newline="") as lines:
        for one in filter(None, map(_learned, csv.DictReader(lines))):
            if all(one.setting == other.setting for other in found.values()):
                found.setdefault(one.layer, one)
    return sorted(found.values(), key=_place)


def _place(one: Learned) -> tuple[float, str]:
    return (-one.setting.task.main().merit(one.value), one.layer)


# ---- reading


def _learned(row: Cells) -> Learned | None:
    """Returns a row whose layer and setting are known, or None."""
    layer, setting = row.get("layer") or "", _setting(row)
    if layer not in catalog or setting is None:
        return None
    metric = setting.task.main()
    value = _number(row.get(metric.name))
    above = value is not None and metric.high is not None and value > metric.high
    tried = (_number(text) for text in (row.get("lrs_tried") or "").strip("[]").split(","))
    return Learned(
        layer=layer,
        setting=setting,
        value=None if above else value,
        diverged=_number(row.get("diverged")),
        seeds=_number(row.get("seeds")),
        rate=_number(row.get("lr")),
        low=_number(row.get("lr_low")),
        high=_number(row.get("lr_high")),
        good=_number(row.get("rates_good")),
        tried=_number(row.get("rates_tried")),
        rates=tuple(rate for rate in tried if rate is not None),
        state_size=_number(row.get("state_size")),
        seconds=_number(row.get("cpu_seconds")),
    )


def _number(text: str | None) -> float | None:
    """Returns a finite number that is not negative, or None."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _setting(row: Cells) -> TrainingSetup | None:
    """Returns the setting of a row, or None if there is no such setting (anymore)."""
    name = (row.get("task") or "").partition(" ")[0]
    if name not in TASKS:
        return None
    try:
        return TrainingSetup(
            task(name, _given(row, "task", TASKS[name])),
            from_settings(ModelConfig, _given(row, "model", ModelConfig), "setting of model"),
            from_settings(TrainConfig, _given(row, "train", TrainConfig), "setting of train"),
        )
    except RequestError:
        return None


def _given(row: Cells, group: str, cls: type) -> dict[str, str]:
    """Returns the settings of a group that a row has; what it lacks has its default."""
    names = (opt.name for opt in options_of(cls) if isinstance(opt.constraint, CHECKED))
    cells = ((name, row.get(f"{group}.{name}")) for name in names)
    return {name: text for name, text in cells if text is not None}


# ---- writing


def _conditions(found: Sequence[Learned]) -> Iterable[tuple[str, str]]:
    """Yields the setting of the results in words."""
    setting = found[0].setting
    asked = md.plain(setting.task.summary())
    yield "Task", f"{md.code(setting.task.name)} with {_told(setting.task)}. {asked}"
    yield "Model", f"each layer in the {md.code(setting.model.frame)} frame, {_told(setting.model)}"
    yield "Training", _told(setting.train)
    rates = md.listing(f"{rate:g}" for rate in _rates(found))
    yield "Runs", f"{_seeds(found)}; learning rates {rates}"
    metric = setting.task.main().name
    yield "Counted", f"the rate that is best on the validation set; its {metric} on the test set"
    protocol = "the [standard protocol](sweeps.md#the-standard-protocol) and the default training"
    reduced = md.listing(_reduced(found, setting.train))
    yield "Reduced", f"from {protocol}: {reduced}" if reduced else ""


def _rates(found: Iterable[Learned]) -> list[float]:
    return sorted({rate for one in found for rate in one.rates})


def _seeds(found: Iterable[Learned]) -> str:
    counts = sorted({int(one.seeds) for one in found if one.seeds is not None})
    if not counts:
        return "seeds unknown"
    number = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    return f"{number} seed" if number == "1" else f"{number} seeds"


def _reduced(found: Sequence[Learned], train: TrainConfig) -> Iterable[str]:
    """Yields what is less than the standard protocol and the default training have."""
    if any(one.seeds is not None and one.seeds < SEEDS for one in found):
        yield f"{_seeds(found)} instead of {SEEDS} or more"
    if len(_rates(found)) < len(RATES):
        yield f"{len(_rates(found))} learning rates instead of {len(RATES)}"
    for opt in options_of(TrainConfig):
        value = getattr(train, opt.name)
        if opt.name in ("steps", "batch_size", "eval_examples") and value < opt.default:
            yield f"{md.code(f'{opt.name}={value}')} instead of {opt.default}"
    if train.stops_at_target:
        yield f"no training beyond a target of {train.target:g}"


def head(metric: Metric) -> tuple[str, ...]:
    """Returns the heads of the table, the metric with its unit."""
    unit = f" ({'%' if metric.share else metric.unit})" if metric.unit else ""
    return (
        "layer", f"test {metric.name}{unit}", "best rate", "rates that work", "state (floats)",
        "training (processor s)",
    )  # fmt: skip


def _told(settings: object) -> str:
    """Returns the sizes among some settings, and what differs from its default."""
    given = ((opt, getattr(settings, opt.name)) for opt in options_of(type(settings)))
    return md.listing(
        md.code(f"{opt.name}={md.value(x)}")
        for opt, x in given
        if x != opt.default or (isinstance(opt.constraint, Whole) and x is not None)
    )


def _cells(one: Learned) -> tuple[str, ...]:
    """Returns the row of a layer."""
    unknown = "diverged" if one.diverged else NONE
    named = called(one.layer, one.setting.model.frame)
    return (
        f"[{named}](#{one.layer})",
        unknown if one.value is None else one.setting.task.main().number(one.value),
        NONE if one.rate is None or one.good == 0 else f"{one.rate:g}",
        _window(one),
        NONE if one.state_size is None else f"{one.state_size:,.0f}",
        NONE if one.seconds is None else f"{one.seconds:,.0f}",
    )


def _window(one: Learned) -> str:
    if one.low is None or one.high is None or not one.good or one.tried is None:
        return NONE
    ends = f"{one.low:g}" if one.low == one.high else f"{one.low:g} to {one.high:g}"
    return f"{ends} ({one.good:.0f} of {one.tried:.0f})"
