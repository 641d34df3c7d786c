"""What a search is asked for: its space, its budget and its protocol, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pydantic

import ttr_core as ttr
from ttr_core import FRAMES, ModelConfig, RequestError, from_settings, options_of, unknown
from ttr_core.lab import TASKS, TrainConfig, resolve_device

from ..run.request import MAX_SEED, Short, check_labels
from ..store.writes import TAG_CHARS, clean_tags
from ..sweeps.complaints import complaints
from ..sweeps.entries import TaskEntry
from ..sweeps.plan import Settings
from ..sweeps.plan_file import Source, read
from ..sweeps.values import Range, Values, size, texts
from .sampler import optuna_module

ALL = ("all",)
LEAST_FRESH = 12
"""Seeds that a claim rests on, at least, of each side and in each frame."""
MOST_FINALISTS = 5
MOST_SEEDS = {"rates": 100, "seeds": 1000, "fresh": 200}
RUNGS = (300, 1000, 3000)

FIELDS = {"weights": "weights", "functions": "function", "optimizers": "optimizer"}
"""Key of a plan -> the field of a cell."""

SET_BY = {
    ("model", "layers"): "the cells are what is searched",
    ("model", "frame"): "list the frames under `frames`",
    ("model", "depth"): "a search compares cells, each as the one layer of a model",
    ("train", "lr"): "list the rates under `rates`",
    ("train", "steps"): "list the steps under `rungs`",
    ("train", "protocol"): "a search has its own",
    ("train", "target"): "a search never stops at a target",
    ("train", "seconds"): "every rung takes the same steps, however long they last",
}
"""Settings that stand elsewhere in a plan, or nowhere."""


class SearchPlan(pydantic.BaseModel):
    """A plan of a search as it is written.

    Args:
        task: what is learned, with one value for each setting.
        weights: texts of weights of the grid; all by default.
        functions: the same of function classes.
        optimizers: the same of optimizers.
        specs: cells besides, by their texts.
        published: published layers that take part whatever the space is; all by default.
        state: numbers of state that a cell may keep; its keys are as long as that allows.
        model: settings of the model.
        train: settings of the training.
        frames: the first is searched in; what is claimed must hold in all of them.
        rates: learning rates that every cell is tried at.
        rungs: steps after which the worse half of the cells ends; the last is what is claimed at.
        seeds: of the search.
        fresh: seeds of the finals, which the search has not seen.
        finalists: cells that are compared with the best published one, at most.
        trials: continuous settings of each cell of the finals that are sampled; none by default.
        survivors: share of what is dropped that goes on by chance, to tell what is dropped wrongly.
        budget: processor hours.
        device: ``auto``, ``cpu`` or ``cuda``.
        tags: labels of every run; by default the name of the plan's file.
        evidence: files of runs that the store takes in first, from the folder of the plan.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    task: TaskEntry
    weights: tuple[Short, ...] = ALL
    functions: tuple[Short, ...] = ALL
    optimizers: tuple[Short, ...] = ALL
    specs: tuple[Short, ...] = ()
    published: tuple[Short, ...] = ALL
    state: Annotated[int, pydantic.Field(ge=4, le=10**9)] | None = None
    model: Settings = {}
    train: Settings = {}
    frames: Annotated[tuple[Short, ...], pydantic.Field(min_length=1)] = ("paper", "standard")
    rates: Values = ("0.003", "0.01", "0.03")
    rungs: Annotated[
        tuple[Annotated[int, pydantic.Field(ge=1, le=10**6)], ...],
        pydantic.Field(min_length=1, max_length=8),
    ] = RUNGS
    seeds: Values = Range.model_validate({"from": 0, "to": 4})
    fresh: Values = Range.model_validate({"from": 100, "to": 99 + LEAST_FRESH})
    finalists: Annotated[int, pydantic.Field(ge=1, le=MOST_FINALISTS)] = MOST_FINALISTS
    trials: Annotated[int, pydantic.Field(ge=0, le=1000)] = 0
    survivors: Annotated[float, pydantic.Field(ge=0, le=1, allow_inf_nan=False)] = 0.05
    budget: Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)] | None = None
    device: Short = "auto"
    tags: tuple[Short, ...] = ()
    evidence: tuple[Short, ...] = ()

    @pydantic.field_validator(
        "weights", "functions", "optimizers", "specs", "published", "frames", "rungs", "tags",
        "evidence", mode="before",
    )  # fmt: skip
    @classmethod
    def _several(cls, raw: Any) -> Any:
        return [raw] if isinstance(raw, (str, int)) else raw

    @property
    def steps(self) -> int:
        """Steps of what is claimed."""
        return self.rungs[-1]

    @property
    def lrs(self) -> tuple[float, ...]:
        """The learning rates."""
        return tuple(float(text) for text in texts(self.rates))

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """Seeds of the search."""
        return tuple(int(text) for text in texts(self.seeds))

    @property
    def fresh_numbers(self) -> tuple[int, ...]:
        """Seeds of the finals."""
        return tuple(int(text) for text in texts(self.fresh))

    def sets(self, frame: str, key_dim: int) -> dict[str, str]:
        """Returns the settings of a run in a frame, but for its rate and its steps.

        Args:
            frame: the surroundings.
            key_dim: K; 0 for the frame's own.
        """
        groups = {"task": self.task.settings, "model": self.model, "train": self.train}
        given = {f"{g}.{key}": texts(v)[0] for g, one in groups.items() for key, v in one.items()}
        sized = {"model.key_dim": str(key_dim)} if key_dim else {}
        fixed = {"train.protocol": "search", "train.target": "none", "train.lr": "0.01"}
        fixed["train.steps"] = str(self.steps)  # those of a rung take their place
        return {**given, "model.frame": frame, **sized, **fixed}


def load_search(path: Path) -> tuple[SearchPlan, Source]:
    """Reads and checks the plan of a search.

    Args:
        path: the file.

    Raises:
        RequestError: with the file, the line and the nearest valid key or name.
    """
    plan, source = checked_search(*read(path))
    named = path.stem.strip()[:TAG_CHARS]
    usual = (named,) if named.isprintable() else ("search",)
    tags = tuple(clean_tags(plan.tags)) or usual
    return plan.model_copy(update={"tags": tags}), source


def checked_search(raw: Any, source: Source) -> tuple[SearchPlan, Source]:
    """Checks the values of a plan of a search; see `load_search`."""
    if not isinstance(raw, dict):
        raise source.error(
            (), "the plan of a search is a list of keys, such as task, rates, state."
        )
    try:
        plan = SearchPlan.model_validate(raw)
    except pydantic.ValidationError as error:
        raise RequestError(complaints(error, source, SearchPlan, {})) from None
    _check_names(plan, source)
    _check_settings(plan, source)
    _check_protocol(plan, source)
    _check_values(plan, source)
    return plan, source


def _check_names(plan: SearchPlan, source: Source) -> None:
    """Looks up what the plan names of the design space, of tasks and of frames."""
    for key, field in FIELDS.items():
        known = dict.fromkeys(str(getattr(cell, field)) for cell in ttr.grid())
        _check_listed(getattr(plan, key), known, key, source)
    _check_listed(plan.published, dict.fromkeys(ttr.catalog), "published", source)
    shared = [name for name, frame in FRAMES.items() if frame is not None]
    for place, name in enumerate(plan.frames):
        if name not in shared:
            said = unknown("frame that cells can share", name, shared)
            raise source.error(("frames", place), str(said))
    for place, text in enumerate(plan.specs):
        try:
            ttr.Spec.parse(text).check()
        except RequestError as error:
            raise source.error(("specs", place), str(error)) from None
    task = plan.task.name
    trained = [name for name, cls in TASKS.items() if cls.trained]
    if task not in trained:
        raise source.error(("task",), str(unknown("task that is trained", task, trained)))


def _check_listed(given: Sequence[str], known: Mapping[str, Any], key: str, source: Source) -> None:
    if tuple(given) == ALL:
        return
    for place, name in enumerate(given):
        if name in ALL:
            raise source.error((key, place), f"`{name}` means every one of {key}: it stands alone.")
        if name not in known:
            said = unknown(f"entry of {key}", name, [*known, *ALL])
            raise source.error((key, place), str(said))


def _check_settings(plan: SearchPlan, source: Source) -> None:
    """Refuses settings that there are not, that stand elsewhere, or that have several values."""
    groups = {"model": options_of(ModelConfig), "train": options_of(TrainConfig)}
    known = {"task": [opt.name for opt in TASKS[plan.task.name].options()]}
    known |= {group: [opt.name for opt in options] for group, options in groups.items()}
    given = {"task": plan.task.settings, "model": plan.model, "train": plan.train}
    elsewhere = dict(SET_BY)
    if plan.state is not None:
        elsewhere["model", "key_dim"] = "`state` sets it, for each cell"
    for group, settings in given.items():
        for key, values in settings.items():
            if (group, key) in elsewhere:
                why = elsewhere[group, key]
                raise source.error((group, key), f"{group}.{key} has no place here: {why}.")
            if key not in known[group]:
                said = unknown(f"setting of {group}", key, known[group])
                raise source.error((group, key), str(said))
            if size(values) > 1:
                raise source.error(
                    (group, key), f"{group}.{key} has {size(values)} values; a search compares "
                    "cells on one task in one model: write one, and a plan for each other."
                )  # fmt: skip


def _check_values(plan: SearchPlan, source: Source) -> None:
    """Refuses values that the task, the model or the training cannot have, each at its line."""
    kinds = {"task": TASKS[plan.task.name], "model": ModelConfig, "train": TrainConfig}
    given = {"task": plan.task.settings, "model": plan.model, "train": plan.train}
    for group, cls in kinds.items():
        settings = {key: texts(values)[0] for key, values in given[group].items()}
        known = {option.name: option for option in options_of(cls)}
        for key, text in settings.items():
            _at(source, (group, key), known[key].parse, f"{group}.{key}", text.strip())
        made = _at(source, (group,), from_settings, cls, settings, f"setting of {group}")
    _at(source, ("device",), resolve_device, plan.device)
    for key, steps, said in (
        ("warmup", plan.rungs[0], "the first rung has {}: its rate would never reach its peak"),
        ("eval_every", plan.steps, "the last rung has {}: nothing would be looked at before"),
    ):
        if key in plan.train and getattr(made, key) > max(steps, getattr(TrainConfig(), key)):
            told = f"train.{key} is {getattr(made, key):,}, and {said.format(f'{steps:,} steps')}"
            raise source.error(("train", key), f"{told}. Write {steps} or less, or longer rungs.")


def _at(source: Source, place: tuple[str, ...], check: Callable[..., Any], *given: Any) -> Any:
    """Returns what a check returns; its complaint gets the line of what it is about."""
    try:
        return check(*given)
    except RequestError as error:
        raise source.error(place, str(error)) from None


def _check_protocol(plan: SearchPlan, source: Source) -> None:
    if plan.trials:
        _at(source, ("trials",), optuna_module)
    _at(source, ("tags",), check_labels, plan.tags, "")
    for key, most in MOST_SEEDS.items():
        if (count := size(getattr(plan, key))) > most:
            raise source.error((key,), f"{key} are {count:,}; at most {most:,} are allowed.")
    for text in texts(plan.rates):
        try:
            TrainConfig(lr=float(text))
        except RequestError as error:
            raise source.error(("rates",), f"the rate {text[:40]!r}: {error}") from None
        except ValueError:
            raise source.error(("rates",), f"the rate {text[:40]!r} is no number.") from None
    for key in ("seeds", "fresh"):
        for text in texts(getattr(plan, key)):
            if not (text.isascii() and text.isdecimal() and int(text) <= MAX_SEED):
                said = f"the seed {text[:40]!r} is not a whole number from 0 to {MAX_SEED}."
                raise source.error((key,), said)
    lists: dict[str, Sequence[Any]] = {
        "rates": plan.lrs, "seeds": plan.seed_numbers, "fresh": plan.fresh_numbers,
        "rungs": plan.rungs, "frames": plan.frames,
    }  # fmt: skip
    for key, found in lists.items():  # by what they are: 0.01 and 1e-2 are one rate
        twice = [one for place, one in enumerate(found) if one in found[:place]]
        if twice:
            raise source.error((key,), f"{key} has a value twice, {twice[0]}; keep one of them.")
    if list(plan.rungs) != sorted(plan.rungs):
        told = ", ".join(map(str, sorted(plan.rungs)))
        raise source.error(("rungs",), f"rungs take more steps each: write [{told}].")
    _check_fresh(plan, source)


def _check_fresh(plan: SearchPlan, source: Source) -> None:
    """Refuses finals on seeds that the search has seen, or on too few."""
    fresh, seen = plan.fresh_numbers, set(plan.seed_numbers)
    if len(fresh) < LEAST_FRESH:
        raise source.error(
            ("fresh",), f"a claim rests on {LEAST_FRESH} fresh seeds or more, and the plan has "
            f"{len(fresh)}: write `fresh: {{from: 100, to: {99 + LEAST_FRESH}}}`."
        )  # fmt: skip
    if both := sorted(seen & set(fresh)):
        raise source.error(
            ("fresh",), f"seed {both[0]} is one of the search's: what was chosen on a seed looks "
            "better on it than it is. Take others."
        )  # fmt: skip
