"""From a plan to its runs: counted first, then made and checked one by one."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ttr_core import FRAMES, LimitExceeded, NoFastSolver, RequestError, how_many
from ttr_core.lab import TASKS, Experiment
from ttr_core.words import defining

from ..run.request import MAX_SEED, config_hash, request
from . import holes
from .entries import LayerEntry, ModelEntry, SpecEntry, TaskEntry
from .estimate import Kind, kind
from .order import ranks
from .plan import Plan
from .plan_file import Source
from .values import size, texts

MAX_RUNS = 10_000
MAX_GRID = 10**15
"""Cells of a grid that may be sampled from."""

SHOWN = 5
"""Reasons for refusing that are printed."""


PROTOCOLS: dict[str, dict[str, str]] = {
    "quick": {},
    "standard": {"train.lr": "auto", "train.protocol": "standard"},
    "tuned": {"train.lr": "auto"},
}
"""Protocol of a plan -> what it sets of each training."""


def times_of(runs: Iterable[Planned]) -> dict[str, float | None]:
    """Returns the most seconds that each run is given, by its fingerprint; None without a limit."""
    return {run.config_hash: run.experiment.train.seconds for run in runs}


@dataclass(frozen=True)
class Planned:
    """One run of a plan.

    Args:
        experiment: what to run.
        config: everything that decides it.
        config_hash: its fingerprint.
        task: the task's name with the settings that vary in the plan.
        setting: settings of model and training that vary in the plan.
        leader: of protocol tuned, the fingerprint of the run that chose its rate; else None.
        rank: its place by the settings of the plan's order.
    """

    experiment: Experiment
    config: dict[str, Any]
    config_hash: str
    task: str
    setting: str
    leader: str | None = None
    rank: tuple[int, ...] = ()

    @property
    def layer(self) -> str:
        """The layer's name, or the text of its spec."""
        return self.experiment.layer or ", ".join(self.experiment.model.layers)

    @cached_property
    def kind(self) -> Kind:
        """What decides how long it takes."""
        return kind(self.config)

    @property
    def cell(self) -> str:
        """The run in words, without its seed."""
        return " · ".join(part for part in (self.layer, self.task, self.setting) if part)

    def __str__(self) -> str:
        return f"{self.cell} · seed {self.experiment.seed}"


@dataclass(frozen=True)
class Work:
    """What a plan amounts to.

    Args:
        runs: its runs, seed by seed.
        repeated: runs that the plan asks for more than once.
        left_out: of ``layers: all``, the layers that a task cannot take: layer on task, reason;
            of ``alike: first``, those that are the function of another.
        axes: how many layers, tasks, settings and seeds there are, in words.
        seeds_later: of protocol tuned, the seeds that wait for the rate the first one chooses.
        order: that of the plan: names of settings, and ``cost``.
        anywhere: whether a run that another device has made will do: the plan names no device.
    """

    runs: tuple[Planned, ...]
    repeated: int = 0
    left_out: tuple[tuple[str, str], ...] = ()
    axes: str = ""
    seeds_later: tuple[int, ...] = ()
    order: tuple[str, ...] = ()
    anywhere: bool = False

    @property
    def device(self) -> str:
        """``cuda`` if any of its runs asks for a GPU, else ``cpu``."""
        return "cuda" if any(run.experiment.device == "cuda" for run in self.runs) else "cpu"


@dataclass(frozen=True)
class _Part:
    """One entry of a plan with the settings that stand beside it."""

    entry: ModelEntry | TaskEntry
    axes: tuple[tuple[str, Any], ...]

    @property
    def count(self) -> int:
        return math.prod(size(values) for _, values in self.axes)

    @cached_property
    def _texts(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return tuple((key, texts(values)) for key, values in self.axes)

    def chosen(self, index: int) -> dict[str, str]:
        """Returns the values of one combination, the last axis first to change."""
        values = {}
        for key, options in reversed(self._texts):
            index, place = divmod(index, len(options))
            values[key] = options[place]
        return {key: values[key] for key, _ in self._texts}


@dataclass(frozen=True)
class _Cell:
    """One configuration before it is checked."""

    who: ModelEntry
    what: TaskEntry
    sets: dict[str, str]
    name: str

    def experiment(self, plan: Plan) -> Experiment:
        asked = self.who.asked(self.name)
        stack = asked.pop("stack", None)
        sets = self.sets if stack is None else {**self.sets, "model.layers": stack}
        return request(**asked, task=self.what.name, sets=sets, device=plan.device)

    @property
    def shares(self) -> bool:
        """Whether it is a published layer as it is, in a frame that it shares with others."""
        named = isinstance(self.who, LayerEntry) and not self.who.settings
        return named and FRAMES.get(self.sets.get("model.frame", "published")) is not None

    def __str__(self) -> str:
        given = ", ".join(f"{key}={value}" for key, value in self.sets.items())
        return f"{self.name} on {self.what.name}" + (f" with {given}" if given else "")


class _Grid:
    """Every configuration of a plan, by number."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        entries: tuple[ModelEntry, ...] = (*plan.layers, *plan.specs, *plan.stacks)
        self._who = [_of_layer(entry) for entry in entries]
        self._what = [_of_task(entry, plan) for entry in plan.tasks]
        self._across = sum(part.count for part in self._what)
        self.count = sum(part.count for part in self._who) * self._across

    def cell(self, index: int) -> _Cell:
        """Returns a configuration."""
        row, column = divmod(index, self._across)
        who, row = _located(self._who, row)
        what, column = _located(self._what, column)
        values = who.chosen(row)
        given = {key[1:-1]: value for key, value in values.items() if key.startswith("{")}
        sets = {key: value for key, value in values.items() if not key.startswith("{")}
        entry, task = who.entry, what.entry
        assert isinstance(task, TaskEntry) and not isinstance(entry, TaskEntry)
        return _Cell(entry, task, {**sets, **what.chosen(column)}, entry.told(given))

    def indices(self) -> Sequence[int]:
        """Returns the configurations to run: all, or a sample."""
        sample = self.plan.sample
        if sample is None or sample.count >= self.count:
            return range(self.count)
        drawn = random.Random(sample.seed).sample(range(self.count), sample.count)
        return sorted(drawn)

    @property
    def axes(self) -> str:
        """The sizes of the grid in words."""
        layers = sum(part.count for part in self._who)
        return (
            f"{how_many(layers, 'layer')} x {how_many(self._across, 'task and training setting')} "
            f"x {how_many(len(self.plan.seed_texts), 'seed')}"
        )


def expanded(
    plan: Plan, source: Source, told: Callable[[int, int], None] = lambda done, total: None
) -> Work:
    """Returns the runs of a plan.

    Args:
        plan: a checked plan.
        source: where its parts stand, for errors.
        told: hears of the progress, configuration by configuration.

    Raises:
        RequestError: too many runs, or some that cannot be made, with the reasons.
    """
    grid = _Grid(plan)
    seeds = [_seed(text, source) for text in plan.seed_texts]
    _check_count(grid, len(seeds), source)
    made: list[tuple[_Cell, Experiment]] = []
    problems: dict[str, list[_Cell]] = {}
    left_out: dict[str, str] = {}
    indices = grid.indices()
    for done, index in enumerate(indices):
        told(done, len(indices))
        cell = grid.cell(index)
        _follow(plan.protocol, cell)
        try:
            made.append((cell, cell.experiment(plan)))
        except (NoFastSolver, LimitExceeded) as error:
            if isinstance(cell.who, LayerEntry) and cell.who.optional:
                left_out[f"{cell.name} on {cell.what.name}"] = str(error)
            else:
                problems.setdefault(str(error), []).append(cell)
        except RequestError as error:
            problems.setdefault(str(error), []).append(cell)
    if problems:
        raise _refusal(plan, problems, len(indices), source)
    if plan.alike == "first":
        made = _without_twins(made, left_out)
    later = tuple(seeds[1:]) if plan.protocol == "tuned" else ()
    asked = [run for run in _planned(made, seeds, plan.order) if not _waits(run, later)]
    runs = {run.config_hash: run for run in asked}
    left = tuple(left_out.items())
    repeated, anywhere = len(asked) - len(runs), plan.device == "auto"
    return Work(tuple(runs.values()), repeated, left, grid.axes, later, plan.order, anywhere)


def _without_twins(
    made: Sequence[tuple[_Cell, Experiment]], left_out: dict[str, str]
) -> list[tuple[_Cell, Experiment]]:
    """Returns what is left without layers that are, in the frame they share, an earlier one."""
    first = defining(dict.fromkeys(run.layer for cell, run in made if run.layer and cell.shares))
    kept = []
    for cell, run in made:
        name = run.layer or ""
        if cell.shares and first.get(name, name) != name:
            said = f"It is the same function as {first[name]}."
            left_out[f"{name} in the {run.model.frame} frame"] = said
        else:
            kept.append((cell, run))
    return kept


def _follow(protocol: str, cell: _Cell) -> None:
    """Sets what the protocol of a plan says of a training."""
    if TASKS[cell.what.name].trained:
        cell.sets.update(PROTOCOLS[protocol])
        if protocol == "tuned":  # all the same, unless the plan wants to end at a target
            cell.sets.setdefault("train.target", "none")


def _waits(run: Planned, later: Sequence[int]) -> bool:
    """Whether a run waits for the rate that the first seed of its configuration chooses."""
    return run.experiment.task.trained and run.experiment.seed in later


def _of_layer(entry: ModelEntry) -> _Part:
    named = holes.names(entry.spec) if isinstance(entry, SpecEntry) else []
    keys = {name: f"{{{name}}}" if name in named else f"layer.{name}" for name in entry.settings}
    return _Part(entry, tuple((keys[name], values) for name, values in entry.settings.items()))


def _of_task(entry: TaskEntry, plan: Plan) -> _Part:
    """A task that trains nothing has no use for the model and the training."""
    groups = {"task": entry.settings}
    if TASKS[entry.name].trained:
        groups |= {"model": plan.model, "train": plan.train}
    axes = [(f"{group}.{key}", v) for group, given in groups.items() for key, v in given.items()]
    return _Part(entry, tuple(axes))


def _located(parts: Sequence[_Part], index: int) -> tuple[_Part, int]:
    for part in parts:
        if index < part.count:
            return part, index
        index -= part.count
    raise IndexError(index)


def _seed(text: str, source: Source) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 11 and int(text) <= MAX_SEED):
        raise source.error(
            ("seeds",), f"the seed {text[:40]!r} is not a whole number from 0 to {MAX_SEED}."
        )
    return int(text)


def _check_count(grid: _Grid, seeds: int, source: Source) -> None:
    sample = grid.plan.sample
    drawn = grid.count if sample is None else min(grid.count, sample.count)
    if drawn * seeds > MAX_RUNS:
        raise source.error(
            (), f"the plan asks for {how_many(drawn * seeds, 'run')} ({grid.axes}); at most "
            f"{MAX_RUNS:,} are allowed: shorten its lists, or draw some with "
            "`sample: {count: 1000}`."
        )  # fmt: skip
    if grid.count > MAX_GRID:
        raise source.error((), f"the grid has {grid.count:.1e} cells; at most {MAX_GRID:.0e}.")


def _refusal(
    plan: Plan, problems: Mapping[str, Sequence[_Cell]], total: int, source: Source
) -> RequestError:
    count = sum(len(cells) for cells in problems.values())
    lines = [f"{source.name}: {count} of {how_many(total, 'configuration')} cannot be made."]
    for said, cells in list(problems.items())[:SHOWN]:
        lines.append(f"{_where(plan, cells[0], source)}: {cells[0]}:")
        lines += [f"  {line}" for line in said.splitlines()]
        if len(cells) > 1:
            lines.append(f"  (and {len(cells) - 1} more for the same reason)")
    if len(problems) > SHOWN:
        lines.append(f"... and {len(problems) - SHOWN} other reasons.")
    return RequestError("\n".join(lines))


def _where(plan: Plan, cell: _Cell, source: Source) -> str:
    """Returns the lines of the layer and of the task that a configuration is made of."""
    entries = (cell.who, cell.what)
    places = [(entry.field, getattr(plan, entry.field).index(entry)) for entry in entries]
    lines = sorted({source.line(place) or 1 for place in places})
    return " and ".join(f"line {line}" for line in lines)


def _planned(
    made: Sequence[tuple[_Cell, Experiment]], seeds: Sequence[int], order: Sequence[str]
) -> Iterator[Planned]:
    varied = _varied([cell for cell, _ in made])
    known = [(cell, experiment, experiment.config()) for cell, experiment in made]
    placed = ranks([cell.sets for cell, _ in made], order)
    for seed in seeds:
        for (cell, experiment, config), rank in zip(known, placed, strict=True):
            own = {**config, "seed": seed}
            yield Planned(
                dataclasses.replace(experiment, seed=seed),
                own,
                config_hash(own),
                _shown(cell.what.name, ("task",), cell, varied),
                _shown("", ("model", "train"), cell, varied),
                rank=rank,
            )


def _varied(cells: Sequence[_Cell]) -> set[tuple[str, str]]:
    """Returns (task, key) of every setting that has several values for this task."""
    seen: dict[tuple[str, str], set[str | None]] = {}
    keys: dict[str, set[str]] = {}
    for cell in cells:
        keys.setdefault(cell.what.name, set()).update(cell.sets)
    for cell in cells:
        for key in keys[cell.what.name]:
            seen.setdefault((cell.what.name, key), set()).add(cell.sets.get(key))
    return {place for place, values in seen.items() if len(values) > 1}


def _shown(first: str, groups: Sequence[str], cell: _Cell, varied: set[tuple[str, str]]) -> str:
    shown = [
        f"{key.partition('.')[2]}={value}"
        for key, value in cell.sets.items()
        if key.partition(".")[0] in groups and (cell.what.name, key) in varied
    ]
    return " ".join([first, *shown]).strip()
