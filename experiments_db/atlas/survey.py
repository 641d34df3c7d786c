"""What an atlas asks: each probe of each function, as runs that a sweep works off."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ttr_core import LimitExceeded, NoFastSolver, how_many, unknown
from ttr_core.lab import PROBES, identity

from ..run.request import config_hash, request
from ..store import Store
from ..sweeps import Pace, Planned, Preview, Work, preview, usual_jobs
from . import answers
from .functions import matching
from .known import Atlas

TAG = "atlas"
"""Label of its runs."""

SEED = 0
LIMITS = {"quick": 20.0, "thorough": 600.0}
"""Processor seconds that a probe of a cell may take."""
QUICK = LIMITS["quick"]

SIDE_BY_SIDE = 2
"""Runs on a core."""


@dataclass(frozen=True)
class Survey:
    """The runs of an atlas.

    Args:
        probes: names of what is asked.
        functions: texts of what is asked.
        runs: a run for each of both, probe by probe.
        left_out: what has no run: the function and the probe, and why.
    """

    probes: tuple[str, ...]
    functions: tuple[str, ...]
    runs: tuple[Planned, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every probe of every function is asked."""
        return len(self.probes) == len(PROBES) and len(self.functions) == len(matching(""))

    def preview(
        self, store: Store, limit: float, jobs: int | None, atlas: Atlas
    ) -> tuple[Preview, int]:
        """Returns what is to be done, and how many runs were given up on at this limit before.

        Args:
            store: where the runs are kept.
            limit: processor seconds that a run may take.
            jobs: runs side by side; None for two a core, as half the time each waits for the store.
            atlas: what is known of how long they take.
        """
        hashes = [run.config_hash for run in self.runs]
        ended = answers.given_up(store, hashes, limit)
        runs = tuple(run for run in self.runs if run.config_hash not in ended)
        functions = how_many(len(self.functions), "function")
        axes = f"{functions} x {how_many(len(self.probes), 'probe')}"
        cores = usual_jobs(runs)
        work = Work(runs, left_out=self.left_out, axes=axes)
        ahead = preview(store, work, jobs or SIDE_BY_SIDE * cores)
        pace = ahead.pace if ahead.pace.runs else self._pace(atlas)
        return dataclasses.replace(ahead, pace=pace, cores=cores), len(ended)

    def _pace(self, atlas: Atlas) -> Pace:
        """Returns how long runs take by the seconds that another atlas has noted."""
        past = [
            (run.config, seconds)
            for run in self.runs
            if (seconds := atlas.seconds(_spec(run), run.experiment.task.name)) is not None
        ]
        pace = Pace(past)
        shipped = "of the atlas that comes with the program"
        pace.learned_from = (f"measurement {shipped}", f"measurements {shipped}")
        return pace


def surveyed(
    probes: Sequence[str] = (),
    part: str = "",
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Survey:
    """Returns the runs that measure functions by probes.

    Args:
        probes: names; none for all.
        part: of a spec or of a published name; empty for all.
        told: hears of the progress.

    Raises:
        UnknownName: there is no such probe.
        RequestError: no layer has this part.

    Example:
        >>> survey = surveyed(["spectrum"], "gated-deltanet")
        >>> [str(run) for run in survey.runs]
        ['Gate | Linear | SGD · spectrum · seed 0']
    """
    for name in probes:
        if name not in PROBES:
            raise unknown("probe", name, PROBES)
    asked = tuple(name for name in PROBES if name in probes or not probes)
    functions = matching(part)
    runs: list[Planned] = []
    left_out: dict[str, str] = {}
    for place, probe in enumerate(asked):
        for done, text in enumerate(functions):
            told(place * len(functions) + done, len(asked) * len(functions))
            try:
                runs.append(_planned(text, probe))
            except (NoFastSolver, LimitExceeded) as error:
                left_out[f"{text} · {probe}"] = str(error)
    return Survey(asked, functions, tuple(runs), tuple(left_out.items()))


def _planned(text: str, probe: str) -> Planned:
    experiment = request(spec=text, task=probe, seed=SEED, device="cpu")
    config = experiment.config()
    return Planned(experiment, config, config_hash(config), probe, "")


def _spec(run: Planned) -> str:
    return run.experiment.model.layers[0]


def parts_of(run: Planned) -> tuple[str, ...]:
    """Returns what of the program takes part in a run, with its revision."""
    found = identity(run.config)
    return () if found is None else found.parts
