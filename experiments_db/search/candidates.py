"""The cells that a search compares: its space without twins, misfits and what the atlas drops."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import ttr_core as ttr
from ttr_core import LimitExceeded, NoFastSolver
from ttr_core.lab import Experiment, TrainedTask
from ttr_core.words import one_function

from ..atlas import Atlas
from ..atlas.functions import first_of_each
from ..run.request import request
from ..sweeps.plan_file import Source
from .search_plan import ALL, FIELDS, SearchPlan
from .sieve import broken_cells, lucky

TWIN = "the same function as another cell"
UNFIT = "nothing that trains on this task"
LARGE = "a larger state than the plan allows, whatever its keys"

LEAST_KEY = 2
"""Entries of the shortest key that a state is cut to."""


@lru_cache(maxsize=16)
def _guess(task: TrainedTask) -> float:
    return task.guess()


@dataclass(frozen=True)
class Candidate:
    """A cell that is trained.

    Args:
        spec: its text.
        names: what it is called in the literature, if it is published or equals what is.
        key_dim: K; 0 for the frame's own.
        state: numbers that it keeps at the end of a sequence.
        packed: the same with one half of symmetric matrices.
        experiment: its training in the frame that is searched in, whatever its rate and steps.
        spared: why the atlas would drop it, where it goes on by chance; else nothing.
    """

    spec: str
    names: tuple[str, ...]
    key_dim: int
    state: int
    packed: int
    experiment: Experiment
    spared: str = ""

    @property
    def published(self) -> bool:
        """Whether the literature has it, as far as the catalog knows."""
        return bool(self.names)

    @property
    def keys(self) -> int:
        """K, whoever sets it."""
        ((_, frame),) = self.experiment.model.regressions()
        model = self.experiment.model
        return frame.sizes(model.d_model, model.heads, model.kv_heads).key_dim

    def holds(self, full: int, packed: int) -> bool:
        """Whether a state is no larger than its own, by one count at least.

        Args:
            full: its numbers.
            packed: with one half of symmetric matrices.
        """
        return full <= self.state or packed <= self.packed

    @property
    def guess(self) -> float:
        """The score on its task of who has bound nothing."""
        task = self.experiment.task
        return _guess(task) if isinstance(task, TrainedTask) else 0.0

    @cached_property
    def place(self) -> tuple[str, str, str]:
        """Its weights, function class and optimizer."""
        cell = ttr.Spec.parse(self.spec)
        return str(cell.weights), str(cell.function), str(cell.optimizer)

    def __str__(self) -> str:
        return f"{self.spec} ({', '.join(self.names)})" if self.names else self.spec


@dataclass(frozen=True)
class Dropped:
    """A cell that is not trained.

    Args:
        spec: its text.
        kind: the kind of reason, as it is counted.
        why: the reason.
    """

    spec: str
    kind: str
    why: str


@dataclass(frozen=True)
class Space:
    """What a search compares, and what it leaves out.

    Args:
        candidates: what is trained.
        dropped: what is not.
    """

    candidates: tuple[Candidate, ...]
    dropped: tuple[Dropped, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many cells were dropped, by the kind of reason."""
        return dict(collections.Counter(one.kind for one in self.dropped))

    @property
    def device(self) -> str:
        """What is trained on, ``cpu`` or ``cuda``."""
        return self.candidates[0].experiment.device

    @property
    def guess(self) -> float:
        """The score of who has bound nothing."""
        return self.candidates[0].guess

    @property
    def spared(self) -> tuple[Candidate, ...]:
        """What the atlas would drop and goes on by chance."""
        return tuple(one for one in self.candidates if one.spared)


def space_of(
    plan: SearchPlan,
    source: Source,
    atlas: Atlas,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Space:
    """Returns the cells that a plan compares.

    Args:
        plan: a checked plan.
        source: where its parts stand, for errors.
        atlas: what is known of cells without training.
        told: hears how many cells were looked at.

    Raises:
        RequestError: nothing is left, with what was dropped and why; or nothing that is new, or
            nothing published to compare it with.
    """
    named, dropped = _named(plan), list[Dropped]()
    found: list[Candidate] = []
    for done, (text, names) in enumerate(named.items()):
        told(done, len(named))
        one = _fitted(text, names, plan)
        if isinstance(one, Dropped):
            dropped.append(one)
        else:
            found.append(one)
    found = _sieved(found, plan, atlas, dropped)
    found = _without_twins(found, plan.frames[0], dropped)
    dropped = [*_twins_by_table(plan), *dropped]
    space = Space(tuple(found), tuple(dropped))
    _check_space(space, source)
    return space


def _chosen(plan: SearchPlan) -> list[str]:
    """Returns the texts of the layers that the plan's axes and specs name."""
    wanted = {field: getattr(plan, key) for key, field in FIELDS.items()}
    found = []
    for text in first_of_each():
        spec = ttr.Spec.parse(text)
        if all(given == ALL or str(getattr(spec, f)) in given for f, given in wanted.items()):
            found.append(text)
    return [*found, *(str(ttr.Spec.parse(text)) for text in plan.specs)]


def _rivals(plan: SearchPlan) -> list[str]:
    """Returns the texts of the published layers that take part."""
    names = ttr.catalog if plan.published == ALL else plan.published
    return [str(ttr.catalog[name].spec) for name in names]


def _named(plan: SearchPlan) -> dict[str, tuple[str, ...]]:
    """Returns each function once -> what it is called; that of a table, not of outputs."""
    firsts = first_of_each()
    found: dict[str, str] = {}
    for text in (*_chosen(plan), *_rivals(plan)):
        found.setdefault(firsts.get(text, text), text)
    return {text: ttr.cell(text).known_as for text in found.values()}


def _twins_by_table(plan: SearchPlan) -> list[Dropped]:
    firsts, seen = first_of_each(), dict[str, str]()
    twins = []
    for text in dict.fromkeys(_chosen(plan)):
        first = seen.setdefault(firsts.get(text, text), text)
        if first != text:
            twins.append(Dropped(text, TWIN, f"It is the same function as {first}."))
    return twins


def _fitted(text: str, names: tuple[str, ...], plan: SearchPlan) -> Candidate | Dropped:
    """Returns a cell with the longest keys that its state allows, or why there are none."""
    try:
        counted = _Counted(_experiment(text, plan, 0))
    except (NoFastSolver, LimitExceeded, ttr.IncompatibleSpec) as error:
        return Dropped(text, UNFIT, str(error).splitlines()[0])
    usual, state = counted.usual, plan.state
    if state is None:
        return counted.candidate(text, names, plan, usual)
    fits = counted.longest(usual, lambda full, packed: full <= state)
    if fits is None:
        least = counted.shortest
        return Dropped(text, LARGE, f"It keeps {counted.sizes(least)[0]:,} numbers at K = {least}.")
    return counted.candidate(text, names, plan, fits)


def refitted(one: Candidate, to: Candidate, plan: SearchPlan) -> Candidate | None:
    """Returns a cell with the longest keys at which its state is no larger than another's.

    No larger by one count at least, full or packed, which favors it. Keys are no longer than the
    model is wide: longer ones are sums of the same entries. None where its shortest keys make a
    larger state.

    Args:
        one: the cell.
        to: what it is compared with.
        plan: what is asked for.
    """
    counted = _Counted(_experiment(one.spec, plan, 0))
    wide = max(counted.usual, one.experiment.model.d_model)
    fits = counted.longest(wide, to.holds)
    if fits is None:
        return None
    same = fits == one.keys
    return one if same else counted.candidate(one.spec, one.names, plan, fits)


def rewritten(one: Candidate, text: str, plan: SearchPlan) -> Candidate:
    """Returns a cell with other options that leave its state as it is, at the same keys.

    Args:
        one: the cell.
        text: its spec with other options.
        plan: what is asked for.
    """
    return replace(one, spec=text, experiment=_experiment(text, plan, one.key_dim))


class _Counted:
    """A cell's numbers of state by the length of its keys."""

    def __init__(self, whole: Experiment) -> None:
        ((self._spec, frame),) = whole.model.regressions()
        sizes = frame.sizes(whole.model.d_model, whole.model.heads, whole.model.kv_heads)
        self._length, self._heads = whole.task.settings()["seq_len"], sizes.heads
        self._value_dim, self.usual = sizes.value_dim, sizes.key_dim
        fixed = self._spec.function.square
        self.shortest = self.usual if fixed else min(LEAST_KEY, self.usual)

    def sizes(self, key_dim: int) -> tuple[int, int]:
        """Returns the full and the packed count."""
        shape = (self._spec, key_dim, self._value_dim, self._length)
        return self._heads * ttr.state_size(*shape), self._heads * ttr.packed_state_size(*shape)

    def longest(self, most: int, fits: Callable[[int, int], bool]) -> int | None:
        """Returns the longest keys whose counts fit, or None."""
        longest = self.usual if self._spec.function.square else most
        return next(
            (k for k in range(longest, self.shortest - 1, -1) if fits(*self.sizes(k))), None
        )

    def candidate(
        self, text: str, names: tuple[str, ...], plan: SearchPlan, key_dim: int
    ) -> Candidate:
        """Returns the cell at a length of its keys."""
        given = 0 if key_dim == self.usual else key_dim
        state, packed = self.sizes(key_dim)
        return Candidate(text, names, given, state, packed, _experiment(text, plan, given))


def _experiment(text: str, plan: SearchPlan, key_dim: int) -> Experiment:
    return request(
        spec=text,
        task=plan.task.name,
        sets=plan.sets(plan.frames[0], key_dim),
        device=plan.device,
    )


def _sieved(
    found: Iterable[Candidate], plan: SearchPlan, atlas: Atlas, dropped: list[Dropped]
) -> list[Candidate]:
    """Returns what the atlas leaves, and what goes on by chance; what is published always stays."""
    length = next((one.experiment.task.settings()["seq_len"] for one in found), 0)
    known = broken_cells(atlas, length)
    lost = {one.spec: known[one.spec] for one in found if one.spec in known and not one.published}
    spared = lucky(lost, plan.survivors, "atlas")
    kept = []
    for one in found:
        why = lost.get(one.spec, "")
        if why and one.spec not in spared:
            dropped.append(Dropped(one.spec, why, f"The atlas says: it {why}."))
        else:
            kept.append(replace(one, spared=why))
    return kept


def _without_twins(
    found: Iterable[Candidate], frame: str, dropped: list[Dropped]
) -> list[Candidate]:
    """Returns each function of the frame once, under a published text if it has one."""
    order = sorted(found, key=lambda one: not one.published)
    firsts: Mapping[str, str] = one_function([one.spec for one in order], frame)
    names: dict[str, tuple[str, ...]] = {}
    for one in order:
        first = firsts[one.spec]
        names[first] = tuple(dict.fromkeys((*names.get(first, ()), *one.names)))
        if first != one.spec:
            said = f"It is the same function as {first} in the {frame} frame."
            dropped.append(Dropped(one.spec, TWIN, said))
    return [replace(one, names=names[one.spec]) for one in found if firsts[one.spec] == one.spec]


def _check_space(space: Space, source: Source) -> None:
    counted = "; ".join(f"{count} {kind}" for kind, count in space.counts.items())
    said = f" Of its cells are dropped: {counted}." if counted else ""
    if not space.candidates:
        raise source.error(
            (), f"the space of this search is empty.{said} Raise `state`, or name more weights, "
            "functions, optimizers or specs."
        )  # fmt: skip
    if all(one.published for one in space.candidates):
        raise source.error(
            (), f"the space holds published cells alone ({len(space.candidates)}), so that there "
            f"is nothing to find.{said} Name more weights, functions, optimizers or specs."
        )  # fmt: skip
    if not any(one.published for one in space.candidates):
        raise source.error(
            (), f"the space holds no published cell to compare with.{said} Leave `published` out "
            "for all of them, or raise `state`."
        )  # fmt: skip
