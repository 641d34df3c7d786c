"""What the layers of the catalog learn: docs/learning.csv as a section of docs/catalog.md.

The file is the table of a sweep, kept in the repository because its runs take long; the runs
themselves lie in docs/evidence, and the same command makes the file from them. No text of
it reaches the page: a row counts if its layer is in the catalog and its setting is valid, and a
cell if it is a number.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import RequestError, how_many
from ..lab import MQAR, RATES, SEEDS, TASKS, Metric, Task, TrainConfig, task
from ..layers.frame import FRAMES
from ..layers.model import ModelConfig
from ..layers.published import catalog
from ..space.constraints import Choice, Flag, Numeric, Whole
from ..space.option import from_settings, options_of
from ..words import called, defining
from ..words import markdown as md

FILE = "learning.csv"

TAGGED = "list_contains(tags, 'learning-table') AND NOT superseded"
COMMANDS = f"""\
    python batch.py sweep examples/learning_table.yaml --output docs/{FILE}
    python batch.py runs --where "{TAGGED}" --output docs/evidence/learning.parquet
    make docs"""
SUPERSEDED = (
    "**Superseded**: these runs were made before trainings went on until the curve is flat, and "
    "with other starting values, scales and frames. A low number among them may be that of the "
    "training; none says what a layer learns today."
)
NONE = "–"
ENOUGH = 0.95
"""Of the way from the worst to the best value: what ends below it has a cause to be named."""
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
        value: of the task's main metric, on the test set: the median over seeds, or the mean in a
            file that has none.
        least: its least over the seeds.
        most: its largest.
        rising: runs whose curve still rose when they ended.
        steps_to_90: steps to 90 % of the way, median over seeds.
        seconds_to_90: processor seconds until then.
        diverged: runs that diverged at the rate that counts.
        seeds: runs that count.
        rate: the learning rate that counts.
        low: smallest rate that works.
        high: largest rate that works.
        good: how many rates work.
        tried: how many rates were compared.
        rates: the rates tried.
        state_size: floats of state.
        packed_size: the same where symmetric matrices are stored once.
        seconds: processor seconds of training.
        on_gpu: whether a GPU computed, so that these are only of the core that fed it.
    """

    layer: str
    setting: TrainingSetup
    value: float | None
    least: float | None
    most: float | None
    rising: float | None
    steps_to_90: float | None
    seconds_to_90: float | None
    diverged: float | None
    seeds: float | None
    rate: float | None
    low: float | None
    high: float | None
    good: float | None
    tried: float | None
    rates: tuple[float, ...]
    state_size: float | None
    packed_size: float | None
    seconds: float | None
    on_gpu: bool


def section(file: Path) -> Iterable[str]:
    """Yields the blocks of the section; without results it says how to get them."""
    yield "## What they learn"
    tables = results(file)
    if not tables:
        yield "No results are kept here yet. A sweep makes them, and this page is written anew:"
        yield COMMANDS
        return
    yield "How well each layer learns one task, all else being equal. To make it again:"
    yield COMMANDS
    for setting, found in tables.items():
        if len(tables) > 1:
            yield f"### {_named(setting)}"
        yield from _one(found)


def _one(found: Sequence[Learned]) -> Iterable[str]:
    """Yields the blocks of the layers that share a setting."""
    metric = found[0].setting.task.main()
    if all(one.rising is None for one in found):
        yield SUPERSEDED
    yield md.bullets(_conditions(found))
    yield md.table(head(metric), map(_cells, found))
    yield (
        f"The {metric.name} is the median over seeds with its least and its largest; *rising* says "
        "in how many runs the curve still rose at the end: their number is one of the budget. "
        f"Rates that work are those whose validation {metric.name} is close to the best one's "
        "([sweeps.md](sweeps.md) says how close), and how many of those tried; "
        f"{NONE} if none does. Seconds compare layers; another computer takes more or less."
    )
    if fed := [md.link(one.layer) for one in found if one.on_gpu]:
        yield (
            f"Trained on a GPU: {md.listing(fed)}. Their seconds are those of the core that fed "
            "it and do not compare with the others'."
        )
    yield from _short(found)
    yield from _lacking(found)


def _short(found: Sequence[Learned]) -> Iterable[str]:
    """Yields, of the layers that end short, what was found to be the cause."""
    causes = {one.layer: _cause(one) for one in found if _ends_short(one)}
    if told := [(md.link(name), md.plain(said)) for name, said in causes.items() if said]:
        yield md.bullets(told)
    if others := [md.link(name) for name, said in causes.items() if not said]:
        yield f"Below {100 * ENOUGH:.0f} %, and the cause is not isolated: {md.listing(others)}."


def _cause(one: Learned) -> str:
    """Returns why a layer does not learn so many pairs, or nothing where that is not known."""
    entry, asked = catalog[one.layer], one.setting.task
    known = isinstance(asked, MQAR) and asked.pairs >= entry.short_from
    return entry.limit if known else ""


def _ends_short(one: Learned) -> bool:
    score = one.setting.task.main().score(one.value)
    return one.value is None or (score is not None and score < ENOUGH)


def _lacking(found: Sequence[Learned]) -> Iterable[str]:
    """Yields what a table does not have: layers, seeds, and those that another one stands for."""
    frame, have = found[0].setting.model.frame, {one.layer for one in found}
    first = {name: name for name in catalog} if FRAMES.get(frame) is None else defining(catalog)
    asked = [name for name in catalog if first[name] == name]
    missing = [md.link(name) for name in asked if name not in have]
    if missing:
        done = len(asked) - len(missing)
        so_far = f"Measured so far: {done} of {how_many(len(asked), 'layer')}."
        yield f"{so_far} Without a result: {md.listing(missing)}."
    few = [md.link(one.layer) for one in found if one.seeds is not None and one.seeds < SEEDS]
    if few and len(few) < len(found):
        yield f"Fewer than {SEEDS} seeds so far: {md.listing(few)}."
    same = [f"{md.link(n)} ({of})" for n, of in first.items() if n not in have and of in have - {n}]
    if same:
        yield f"The same function in this frame as an earlier one: {md.listing(same)}."


def results(file: Path) -> dict[TrainingSetup, list[Learned]]:
    """Returns what a file has of the catalog's layers, setting by setting, the best first.

    Only rows of one setting are compared; of a layer's rows in it the first counts. Without a file
    there is nothing.
    """
    if not file.exists():
        return {}
    found: dict[TrainingSetup, dict[str, Learned]] = {}
    with file.open(encoding="utf-8", errors="replace", newline="") as lines:
        for one in filter(None, map(_learned, csv.DictReader(lines))):
            found.setdefault(one.setting, {}).setdefault(one.layer, one)
    return {setting: sorted(of.values(), key=_place) for setting, of in found.items()}


def _place(one: Learned) -> tuple[float, str]:
    return (-one.setting.task.main().merit(one.value), one.layer)


# ---- reading


def _learned(row: Cells) -> Learned | None:
    """Returns a row whose layer and setting are known, or None."""
    layer, setting = row.get("layer") or "", _setting(row)
    if layer not in catalog or setting is None:
        return None
    metric = setting.task.main()
    name, numbers = metric.name, {column: _number(row.get(column)) for column in row}
    middle = numbers.get(f"{name}_median")
    value, least, most = (
        _below(metric, one)
        for one in (
            numbers.get(name) if middle is None else middle,
            numbers.get(f"{name}_min"),
            numbers.get(f"{name}_max"),
        )
    )
    tried = (_number(text) for text in (row.get("lrs_tried") or "").strip("[]").split(","))
    return Learned(
        layer=layer,
        setting=setting,
        value=value,
        least=least,
        most=most,
        rising=numbers.get("still_rising"),
        steps_to_90=numbers.get("steps_to_90"),
        seconds_to_90=numbers.get("cpu_seconds_to_90"),
        diverged=_number(row.get("diverged")),
        seeds=_number(row.get("seeds")),
        rate=_number(row.get("lr")),
        low=_number(row.get("lr_low")),
        high=_number(row.get("lr_high")),
        good=_number(row.get("rates_good")),
        tried=_number(row.get("rates_tried")),
        rates=tuple(rate for rate in tried if rate is not None),
        state_size=_number(row.get("state_size")),
        packed_size=numbers.get("packed_state_size"),
        seconds=_number(row.get("cpu_seconds")),
        on_gpu="cuda" in (row.get("device") or ""),
    )


def _number(text: str | None) -> float | None:
    """Returns a finite number that is not negative, or None."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _below(metric: Metric, value: float | None) -> float | None:
    """Returns a value of a metric, or None where there can be no such value."""
    above = value is not None and metric.high is not None and value > metric.high
    return None if above else value


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


def _named(setting: TrainingSetup) -> str:
    """Returns what tells a table from the others."""
    return (
        f"{md.code(setting.task.name)}, {_told(setting.task)}, {md.code(setting.model.frame)} frame"
    )


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
    most = how_many(counts[-1], "seed")
    return most if len(counts) == 1 else f"{counts[0]} to {most}"


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
        "layer", f"test {metric.name}{unit}", "least to largest", "rising", "steps to 90 %",
        "processor s to 90 %", "best rate", "rates that work", "state (floats)", "packed",
        "training (processor s)",
    )  # fmt: skip


def _told(settings: object) -> str:
    """Returns the sizes among some settings, but later ones, and what differs from its default."""
    given = ((opt, getattr(settings, opt.name)) for opt in options_of(type(settings)))
    return md.listing(
        md.code(f"{opt.name}={md.value(x)}")
        for opt, x in given
        if x != opt.default
        or (isinstance(opt.constraint, Whole) and x is not None and opt.since == 1)
    )


def _cells(one: Learned) -> tuple[str, ...]:
    """Returns the row of a layer."""
    unknown = "diverged" if one.diverged else NONE
    named = called(one.layer, one.setting.model.frame)
    return (
        f"[{named}](#{one.layer})",
        unknown if one.value is None else one.setting.task.main().number(one.value),
        _spread(one),
        _count(one.rising),
        _count(one.steps_to_90),
        _count(one.seconds_to_90),
        NONE if one.rate is None or one.good == 0 else f"{one.rate:g}",
        _window(one),
        _count(one.state_size),
        _count(one.packed_size),
        _count(one.seconds),
    )


def _count(number: float | None) -> str:
    return NONE if number is None else f"{number:,.0f}"


def _spread(one: Learned) -> str:
    if one.least is None or one.most is None:
        return NONE
    number = one.setting.task.main().number
    return f"{number(one.least)} to {number(one.most)}"


def _window(one: Learned) -> str:
    if one.low is None or one.high is None or not one.good or one.tried is None:
        return NONE
    ends = f"{one.low:g}" if one.low == one.high else f"{one.low:g} to {one.high:g}"
    return f"{ends} ({one.good:.0f} of {one.tried:.0f})"
