"""What a plan says, checked: every key and name is known before anything is expanded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

import ttr_core as ttr
from ttr_core import ModelConfig, RequestError, nearest, options_of, unknown
from ttr_core.lab import SEEDS, TASKS, TrainConfig

from ..run.request import MAX_SEED, Short, layer_text
from ..run.settings import dials, placed, split_names
from . import holes
from .complaints import complaints
from .entries import Entry, LayerEntry, Offered, SpecEntry, StackEntry, TaskEntry
from .order import COST
from .plan_file import Source, plan_of, read
from .values import Values, size, texts

MAX_SAMPLE = 10_000
STANDARD_SEEDS = tuple(map(str, range(SEEDS)))
"""Seeds of the protocols of comparison where a plan names none; they demand as many."""

Settings = dict[Short, Values]


class Sample(pydantic.BaseModel):
    """A random part of the grid.

    Args:
        count: configurations to draw, each of them for every seed.
        seed: decides which.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    count: Annotated[int, pydantic.Field(ge=1, le=MAX_SAMPLE)]
    seed: Annotated[int, pydantic.Field(ge=0, le=MAX_SEED)] = 0


class Plan(pydantic.BaseModel):
    """A plan as it is written; its runs are every combination of what it lists.

    Args:
        layers: published layers, or ``all``.
        specs: specs of your own.
        stacks: lists of different layers or specs, one model each.
        tasks: what they have to do.
        model: settings of the model, for tasks that train.
        train: settings of the training, for tasks that train.
        seeds: by default 0; 0, 1, 2 for the protocols standard and tuned.
        device: ``auto``, ``cpu`` or ``cuda``.
        tags: labels of every run.
        sample: draw some configurations instead of taking all.
        protocol: ``standard`` or ``tuned`` for results that are to be compared.
        alike: ``first`` leaves out, in a frame that all share, the published layers that are the
            same function as an earlier one.
        order: what is run first: settings, each in the order of its values, and last ``cost``.
        evidence: files of runs that the store takes in first, from the folder of the plan.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    layers: tuple[LayerEntry, ...] = ()
    specs: tuple[SpecEntry, ...] = ()
    stacks: tuple[StackEntry, ...] = ()
    tasks: Annotated[tuple[TaskEntry, ...], pydantic.Field(min_length=1)]
    model: Settings = {}
    train: Settings = {}
    seeds: Values | None = None
    device: Short = "auto"
    tags: tuple[Short, ...] = ()
    sample: Sample | None = None
    protocol: Literal["quick", "standard", "tuned"] = "quick"
    alike: Literal["all", "first"] = "all"
    order: tuple[Short, ...] = ()
    evidence: tuple[Short, ...] = ()

    @pydantic.field_validator("layers", mode="before")
    @classmethod
    def _every(cls, raw: Any) -> Any:
        if raw not in ("all", ["all"]):
            return raw
        return tuple(Offered.model_validate({"name": name}) for name in ttr.catalog)

    @pydantic.field_validator(
        "layers", "specs", "tasks", "tags", "order", "evidence", mode="before"
    )
    @classmethod
    def _several(cls, raw: Any) -> Any:
        return [raw] if isinstance(raw, (str, dict)) else raw

    @property
    def seed_texts(self) -> tuple[str, ...]:
        """The seeds."""
        if self.seeds is not None:
            return texts(self.seeds)
        return ("0",) if self.protocol == "quick" else STANDARD_SEEDS


TOP = tuple(Plan.model_fields)
LISTS = ("layers", "specs", "tasks", "seeds", "tags", "order", "evidence")
WORDS = ("device", "protocol", "alike")
GROUPS = {"model": ModelConfig, "train": TrainConfig}


def load(path: Path, sets: Iterable[str] = ()) -> tuple[Plan, Source]:
    """Reads and checks a plan.

    Args:
        path: the file.
        sets: ``key=a,b,c`` texts that replace what the plan says.

    Raises:
        RequestError: with the file, the line and the nearest valid key.
    """
    raw, source = read(path)
    return checked(raw, source, sets)


def of_text(text: str, name: str = "plan") -> tuple[Plan, Source]:
    """Reads and checks a plan that is no file yet; see `load`."""
    return checked(*plan_of(text, name))


def checked(raw: Any, source: Source, sets: Iterable[str] = ()) -> tuple[Plan, Source]:
    """Checks the values of a plan; see `load`."""
    if not isinstance(raw, dict):
        raise source.error((), f"a plan is a list of keys, such as {', '.join(TOP[:3])}.")
    pairs = [_pair(text) for text in sets]
    for key, given in pairs:
        top, _, inner = key.partition(".")
        if key in LISTS:
            raw[key] = given
        elif key in WORDS:
            raw[key] = ", ".join(given)
        elif key in TOP:
            inside = next(iter(Sample.model_fields)) if key == "sample" else "..."
            raise RequestError(
                f"--set {key} has no value of its own: give --set {key}.{inside}=..."
            )
        elif top == "sample" and inner:
            held = raw.get(top)
            raw[top] = {**(held if isinstance(held, dict) else {}), inner: given[0]}
    try:
        plan = Plan.model_validate(raw)
    except pydantic.ValidationError as error:
        said = complaints(error, source, Plan, {"sample": Sample})
        raise RequestError(said) from None
    for key, given in pairs:
        if key not in TOP and key.partition(".")[0] != "sample":
            plan = _overridden(plan, key, given)
    _check(plan, source)
    return plan, source


def _pair(text: str) -> tuple[str, list[str]]:
    key, equals, values = text.partition("=")
    given = [*split_names(values)]
    if not (equals and key.strip() and given):
        raise RequestError(f"--set takes key=a,b,c, such as pairs=4,8; this is {text[:80]!r}.")
    return key.strip(), given


def _overridden(plan: Plan, key: str, given: Sequence[str]) -> Plan:
    """Returns the plan with a setting replaced, in every entry that has it."""
    try:
        group, name = placed(key, _groups(plan))
    except RequestError as error:
        own = ", ".join((*LISTS, *WORDS, *(f"sample.{name}" for name in Sample.model_fields)))
        near = nearest(key, LISTS, n=1)
        hint = f"\nOf the plan itself it may be: --set {near[0]}=..." if near else ""
        raise RequestError(f"{error}\n  of the plan: {own}{hint}") from None
    values = {name: tuple(given)}
    if group in GROUPS:
        return plan.model_copy(update={group: {**getattr(plan, group), **values}})
    if group == "task":
        tasks = [t.with_settings(values) if name in _options(t) else t for t in plan.tasks]
        return plan.model_copy(update={"tasks": tuple(tasks)})
    layers = [e.with_settings(values) if name in _knobs(e) else e for e in plan.layers]
    specs = [e.with_settings(values) if name in _knobs(e) else e for e in plan.specs]
    return plan.model_copy(update={"layers": tuple(layers), "specs": tuple(specs)})


def _groups(plan: Plan) -> dict[str, list[str]]:
    options = {group: [opt.name for opt in options_of(cls)] for group, cls in GROUPS.items()}
    entries = (*plan.layers, *plan.specs)
    return {
        "layer": list(dict.fromkeys(name for entry in entries for name in _knobs(entry))),
        "task": list(dict.fromkeys(name for entry in plan.tasks for name in _options(entry))),
        **options,
    }


def _options(entry: TaskEntry) -> list[str]:
    if entry.name not in TASKS:
        raise unknown("task", entry.name, TASKS)
    return [opt.name for opt in TASKS[entry.name].options()]


def _knobs(entry: Entry) -> list[str]:
    """Returns the settings that a layer or a spec can have: its options, its places in braces."""
    if isinstance(entry, StackEntry):
        for text in entry.stack:
            layer_text(text)
        return []
    if isinstance(entry, LayerEntry):
        return list(dials(ttr.catalog[entry.name].spec))
    assert isinstance(entry, SpecEntry)
    named = holes.names(entry.spec)
    first = {name: texts(entry.settings[name])[0] for name in named if name in entry.settings}
    return [*named, *dials(ttr.Spec.parse(holes.filled(entry.spec, first)))]


def _check(plan: Plan, source: Source) -> None:
    """Looks every name of a plan up.

    Raises:
        RequestError: with the line.
    """
    if not (plan.layers or plan.specs or plan.stacks):
        raise source.error((), "the plan names neither layers nor specs; `layers: all` is valid.")
    for field in ("layers", "specs", "stacks", "tasks"):
        for index, entry in enumerate(getattr(plan, field)):
            at = (field, index)
            text = getattr(entry, entry.key)
            if isinstance(text, str) and (said := _misspelled(text, field)):
                raise source.error(at, said)
            if isinstance(entry, (LayerEntry, SpecEntry)) and (said := _misplaced(entry)):
                raise source.error(at, said)
            try:
                known = _options(entry) if isinstance(entry, TaskEntry) else _knobs(entry)
            except RequestError as error:
                raise source.error(at, str(error)) from None
            _check_keys(entry.settings, known, getattr(entry, entry.key), at, source)
    trained = any(TASKS[entry.name].trained for entry in plan.tasks)
    for group, cls in GROUPS.items():
        if getattr(plan, group) and not trained:
            raise source.error(
                (group,), f"`{group}` would do nothing, for no task of this plan trains anything: "
                "remove it, or add a task that does."
            )  # fmt: skip
        known = [opt.name for opt in options_of(cls) if (group, opt.name) not in ELSEWHERE]
        _check_elsewhere(getattr(plan, group), group, source)
        _check_keys(getattr(plan, group), known, group, (group,), source)
    _check_protocol(plan, source)
    _check_order(plan, source)


def _misspelled(text: str, field: str) -> str | None:
    """Says how several names are written that stand as one text, or that there is none."""
    if not text.strip():
        return f"`{field}` is empty: name at least one, or leave it out."
    names = split_names(text)
    if len(names) > 1 and (field == "specs" or "|" not in text):
        return f"{text[:80]!r} is one text: several are a list, `{field}: [{', '.join(names)}]`."
    return None


def _misplaced(entry: LayerEntry | SpecEntry) -> str | None:
    """Says where an entry belongs, if it stands under the other of `layers` and `specs`."""
    text = getattr(entry, entry.key)
    more = "".join(f", {name}: ..." for name in entry.settings)
    if isinstance(entry, LayerEntry) and "|" in text:
        own = f'{{spec: "{text}"{more}}}' if more else f'"{text}"'
        return f"{text[:80]!r} is a spec, no name of a layer: put it under `specs:`, as - {own}."
    if isinstance(entry, SpecEntry) and "|" not in text and text in ttr.catalog:
        own = f"{{name: {text}{more}}}" if more else text
        return f"{text!r} is the name of a layer, no spec: put it under `layers:`, as - {own}."
    return None


ELSEWHERE = {
    ("train", "protocol"): "write `protocol: standard` at the top of the plan",
    ("model", "layers"): "list what is compared under `layers`, `specs` or `stacks`",
}


def _check_elsewhere(given: Mapping[str, Any], group: str, source: Source) -> None:
    for name in given:
        if (group, name) in ELSEWHERE:
            said = f"{group}.{name} has no place here: {ELSEWHERE[group, name]}."
            raise source.error((group, name), said)


def _check_keys(
    given: Mapping[str, Any], known: Sequence[str], what: str, at: tuple[Any, ...], source: Source
) -> None:
    for name in given:
        if name not in known:
            shown = [key for key in known if "." not in key]
            raise source.error((*at, name), str(unknown(f"setting of {what}", name, shown)))


def _check_protocol(plan: Plan, source: Source) -> None:
    if plan.protocol == "quick":
        return
    name = plan.protocol
    lr = plan.train.get("lr")
    if lr is not None and texts(lr) != ("auto",):
        raise source.error(
            ("train", "lr"), f"protocol {name} tries the learning rates of its own grid and "
            "chooses on the validation set: remove train.lr, or write `protocol: quick`."
        )  # fmt: skip
    if "seconds" in plan.train:
        raise source.error(
            ("train", "seconds"), f"protocol {name} gives every learning rate the same steps, so "
            "that it has no time limit: remove train.seconds and lower train.steps."
        )  # fmt: skip
    if plan.seeds is not None and size(plan.seeds) < len(STANDARD_SEEDS):
        raise source.error(
            ("seeds",), f"protocol {name} needs at least {len(STANDARD_SEEDS)} seeds, and this "
            f"plan has {size(plan.seeds)}: write `seeds: [0, 1, 2]`."
        )  # fmt: skip


def _check_order(plan: Plan, source: Source) -> None:
    """Refuses an order by what the plan does not set, or by anything after the cost."""
    entries = (*plan.layers, *plan.specs, *plan.tasks)
    given = [
        key for group in (*(e.settings for e in entries), plan.model, plan.train) for key in group
    ]
    for place, key in enumerate(plan.order, 1):
        if key != COST and key not in given:
            known = [*dict.fromkeys(given), COST]
            raise source.error(("order",), str(unknown("setting to order by", key, known)))
        if key == COST and place < len(plan.order):
            raise source.error(
                ("order",), "cost comes last: it tells all runs apart, so that nothing after it "
                f"orders anything; write `order: [{', '.join(_cost_last(plan.order))}]`."
            )  # fmt: skip


def _cost_last(order: Sequence[str]) -> list[str]:
    return [*(key for key in order if key != COST), COST]
