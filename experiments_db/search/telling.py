"""What a search found, as a report."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ttr_core import how_many
from ttr_core.lab import RISE

from ..claims.folder import check_folder
from ..read import export
from ..store.files import absolute
from ..sweeps import in_words
from ..sweeps.values import texts
from .candidates import Space
from .course import SearchState
from .explained import Variance, what_explains
from .finals import LEAST_GAIN, Bout, Finalist, Finals
from .halving import Rung, false_drops
from .outlook import Outlook
from .permuted import LEVEL, POWER
from .rivals import RIVALS
from .search_plan import SearchPlan
from .search_tables import (
    cells_table,
    finals_table,
    rivals_table,
    seeds_table,
    slowest_starts,
    upper_front,
)

REPORT = "report.md"
TABLES = ("cells", "rivals", "finals", "seeds", "dropped")
SHOWN = 20
"""Cells of the last rung that the report shows; the tables have all."""


def write_search(ahead: Outlook, state: SearchState, folder: Path) -> Path:
    """Writes the report of a search, and its tables as CSV and Parquet.

    Args:
        ahead: what was to be done.
        state: how far it has come.
        folder: where they go; made where there is none.

    Returns:
        The report.

    Raises:
        StoreError: the folder cannot be written to.
    """
    place = check_folder(folder)
    dropped = [{"cell": x.spec, "reason": x.kind, "why": x.why} for x in ahead.space.dropped]
    tables = (
        cells_table(ahead.plan, state.rungs),
        rivals_table(state.finals),
        finals_table(state.finals),
        seeds_table(ahead.plan, state.finals),
        pd.DataFrame(dropped),
    )
    for name, table in zip(TABLES, tables, strict=True):
        for suffix in (".csv", ".parquet") if len(table) else ():
            export.write(table, place / f"{name}{suffix}")
    text = "\n\n".join(report_lines(ahead, state)) + "\n"
    (absolute(place) / REPORT).write_text(text, encoding="utf-8")
    return place / REPORT


def report_lines(ahead: Outlook, state: SearchState) -> list[str]:
    """Returns the report of a search, a paragraph or a table each.

    Args:
        ahead: what was to be done.
        state: how far it has come.
    """
    return [
        "# What the search found",
        conclusion(ahead.plan, state),
        *_asked(ahead.plan, ahead.space, state),
        *_finals(state.finals),
        *edges_told(ahead.plan, state.finals),
        *_rivals(state.finals),
        *samplings_told(state.finals),
        *_last_rung(ahead.plan, state.rungs),
        *_halving(state.rungs),
        *starts_told(state.rungs),
        *_variance(state.rungs),
    ]


def conclusion(plan: SearchPlan, state: SearchState) -> str:
    """Returns what the search came to, in two sentences.

    Args:
        plan: what was asked for.
        state: how far it has come.
    """
    finals = state.finals
    if state.missing:
        return (
            f"**Not finished**: {how_many(len(state.missing), 'training is', 'trainings are')} "
            f"missing ({state.stage}); the same command goes on."
        )
    if not finals.finalists:
        return "**No claim**: no new cell was trained to the end beside a published one."
    claimed = [one.candidate.spec for one in finals.finalists if one.claimed]
    frames = " and in ".join(plan.frames)
    if claimed:
        named = "; ".join(f"`{spec}`" for spec in claimed)
        return (
            f"**Above the best published cell at no larger state**, in frame {frames}: {named}. "
            f"Each by {LEAST_GAIN:g} or more, at the level {LEVEL:g} corrected for "
            f"{how_many(len(finals.finalists), 'finalist')}."
        )
    if ahead := [one.candidate.spec for one in finals.finalists if one.ahead]:
        named = "; ".join(f"`{spec}`" for spec in ahead)
        return (
            f"**No claim**: ahead after {plan.steps:,} steps in frame {frames}: {named}; "
            "while the curves of one side or the other still rise, or have not begun: who is "
            "quick need not hold more. Longer rungs tell."
        )
    return (
        f"**None of {len(finals.finalists)} finalists is shown to be above the best published "
        f"cell at no larger state** in frame {frames}, after {plan.steps:,} steps; the other new "
        f"cells were not tested. A gain of {finals.detectable:.3f} would have been found with a "
        f"chance of {POWER:.0%} in one frame; smaller ones are not excluded."
    )


def _verdict(one: Finalist) -> str:
    return "yes" if one.claimed else "ahead, and not at rest" if one.ahead else "no"


def _asked(plan: SearchPlan, space: Space, state: SearchState) -> list[str]:
    task = ", ".join(f"{key} {texts(value)[0]}" for key, value in plan.task.settings.items())
    known = sum(one.published for one in space.candidates)
    dropped = "; ".join(f"{count} {kind}" for kind, count in space.counts.items()) or "none"
    at = "" if plan.state is None else f" at a state of {plan.state} numbers at most"
    rates = ", ".join(f"{lr:g}" for lr in plan.lrs)
    cells, seeds = how_many(len(space.candidates), "cell"), len(plan.seed_numbers)
    return [
        f"Task {plan.task.name} ({task}), {cells}{at}, {known} of them "
        f"published. Dropped before any training: {dropped}. Rates {rates}; rungs of "
        f"{', '.join(map(str, plan.rungs))} steps; {how_many(seeds, 'seed')} of the search, "
        f"{len(plan.fresh_numbers)} fresh ones. Cost: {state.trainings:,} trainings, "
        f"{in_words(state.cpu_seconds)} of a processor."
    ]


def _finals(finals: Finals) -> list[str]:
    if not finals.finalists:
        return []
    rows = [
        {"cell": f"`{one.candidate.spec}`", "state (packed)": _state(one.candidate),
         "frame": duel.frame, "against": f"{duel.rival}, K = {duel.rival.keys}",
         "its state": _state(duel.rival),
         "n": f"{len(duel.ours)} + {len(duel.theirs)}", "score": _mean(duel, 0),
         "its score": _mean(duel, 1), "gain": f"{duel.gain:+.4f}",
         "bounds": f"[{low:+.4f}, {high:+.4f}]",
         "rise, its rise": f"{duel.rises[0]:.3f}, {duel.rises[1]:.3f}", "p": f"{duel.p:.2g}",
         "corrected": f"{one.p:.2g}", "claimed": _verdict(one)}
        for one in finals.finalists
        for duel, (low, high) in zip(one.duels, one.bounds, strict=True)
    ]  # fmt: skip
    return [
        "## Finals",
        "Scores are those on the test set at a rate that was chosen on the search's seeds, over "
        "fresh seeds, with their standard deviation. *p* is that of a one-sided permutation test; "
        "*corrected* is the larger of the frames by Holm's method over the finalists; a *bound* "
        f"is wrong with a chance of {LEVEL:g} over the number of finalists, on each side. A claim "
        f"needs a corrected p of {LEVEL:g}, lower bounds above 0 and gains of {LEAST_GAIN:g}, in "
        f"every frame, where the mean curves of both sides rise by {RISE:g} at most and all have "
        f"begun. A gain of {finals.detectable:.3f} is found with a chance of {POWER:.0%}.",
        export.to_markdown(pd.DataFrame(rows)).rstrip(),
    ]


def edges_told(plan: SearchPlan, finals: Finals) -> list[str]:
    """Returns which sides of the finals are best at the lowest or the highest rate of the plan.

    Args:
        plan: what was asked for.
        finals: who met whom.
    """
    low, high = min(plan.lrs), max(plan.lrs)
    sides = dict.fromkeys(
        (str(who), duel.frame, rate)
        for one in finals.finalists
        for duel in one.duels
        for who, rate in zip((one.candidate, duel.rival), duel.rates, strict=True)
        if rate in (low, high)
    )
    if not sides:
        return []
    named = "; ".join(f"{who} in {frame} at {rate:g}" for who, frame, rate in sides)
    return [
        f"At the edge of the rates that were tried, {low:g} to {high:g}: {named}. What a rate "
        "beyond reads is not known, and may change who leads: a plan with more rates tells."
    ]


def _rivals(finals: Finals) -> list[str]:
    if not finals.rivals:
        return []
    rows = [
        {"finalist": f"`{one.candidate.spec}`", "its state (packed)": _state(one.candidate),
         "published": f"{rival.candidate}", "K": rival.candidate.keys,
         "state (packed)": _state(rival.candidate), "score": f"{rival.score:.4f}",
         "lr": f"{rival.rate:g}", "rates tried": len(rival.scores)}
        for one, found in finals.rivals.items()
        for rival in found[:RIVALS]
    ]  # fmt: skip
    return [
        "## Published cells at the states of the finalists",
        "Each published cell of the last rung has the longest keys at which it is no larger than "
        "the finalist by one of the counts, and was trained with them at every rate. The "
        f"{RIVALS} best of each finalist, of which every frame takes the best; the table has all.",
        export.to_markdown(pd.DataFrame(rows)).rstrip(),
    ]


def samplings_told(finals: Finals) -> list[str]:
    """Returns how many continuous settings of each side were sampled, and the best of them.

    Args:
        finals: who met whom.
    """
    rows = [
        {"cell": f"{one}", "K": one.keys, "tried": tried,
         "best": f"`{finals.turned.best[one].spec}`"}
        for one, tried in finals.turned.tried.items()
        if tried
    ]  # fmt: skip
    if not rows:
        return []
    return [
        "## Continuous settings",
        "Settings that were sampled of each side beside its own, by the validation set of the "
        "search's seeds in its first frame, and what went on.",
        export.to_markdown(pd.DataFrame(rows)).rstrip(),
    ]


def _state(one: Any) -> str:
    return f"{one.state} ({one.packed})"


def _mean(duel: Bout, side: int) -> str:
    scores = (duel.ours, duel.theirs)[side]
    return f"{statistics.fmean(scores):.4f} ± {statistics.stdev(scores):.4f}"


def _last_rung(plan: SearchPlan, rungs: Sequence[Rung]) -> list[str]:
    if not rungs:
        return []
    last, front = rungs[-1], {one.candidate.spec for one in upper_front(rungs[-1].climbers)}
    rows = [
        {"cell": f"`{one.candidate.spec}`", "published": ", ".join(one.candidate.names),
         "state (packed)": _state(one.candidate), "score": f"{one.score:.4f}",
         "lr": f"{one.rate:g}", "rates tried": len(one.scores),
         "still rising": "yes" if one.rising else "", "on the front": "yes"
         if one.candidate.spec in front else ""}
        for one in last.climbers[:SHOWN]
    ]  # fmt: skip
    left = len(last.climbers) - len(rows)
    more = f" {how_many(left, 'more is', 'more are')} in the table." if left > 0 else ""
    return [
        f"## After {last.steps:,} steps",
        f"Scores on the validation set, means over "
        f"{how_many(len(plan.seed_numbers), 'seed')} of the search, "
        "at the best of the rates that were left: they chose the finalists and say nothing more. "
        f"On the front: no smaller state has a higher score.{more}",
        export.to_markdown(pd.DataFrame(rows)).rstrip(),
    ]


def _halving(rungs: Sequence[Rung]) -> list[str]:
    if not rungs:
        return []
    rows = []
    for number, rung in enumerate(rungs, 1):
        fates = pd.Series([one.fate for one in rung.climbers]).value_counts().to_dict()
        went = ", ".join(f"{count} {fate}" for fate, count in fates.items())
        failed = sum(bool(one.failed) for one in rung.climbers)
        tried = sorted({len(one.scores) for one in rung.climbers})
        rows.append({"rung": number, "steps": rung.steps, "cells": len(rung.climbers),
                     "rates each": ", ".join(map(str, tried)), "failed": failed,
                     "what became of them": went})  # fmt: skip
    found = ["## Halving", export.to_markdown(pd.DataFrame(rows)).rstrip()]
    drops = false_drops(rungs[-1])
    told = "; ".join(f"{x.above} of {x.spared} that were dropped by: {x.dropped_by}" for x in drops)
    if told:
        found.append(
            "Of what was dropped some went on by chance. Above the median of the last rung ended: "
            f"{told}."
        )
    return found


def starts_told(rungs: Sequence[Rung]) -> list[str]:
    """Returns whether the first rung is longer than what published cells take to begin.

    Args:
        rungs: the rungs that are complete.
    """
    if not rungs:
        return []
    first, known = rungs[0].steps, slowest_starts(rungs)
    if not known:
        return []
    name, steps = next(iter(known.items()))
    late = sum(start > first for start in known.values())
    told = f"{late} began after it, and were waited for" if late else "none of them began after it"
    return [
        f"The slowest published cell to half of the way, {name}, took {steps:.0f} steps at its "
        f"best rate; the first rung has {first:,}, and of {len(known)} published cells {told}."
    ]


def _variance(rungs: Sequence[Rung]) -> list[str]:
    found = variance_of(rungs)
    if found is None:
        return []
    rows = [
        {"factor": one.factor, "levels": one.levels, "share": f"{one.share:.3f}",
         "p": f"{one.p:.2g}",
         "best": "; ".join(f"`{level}` {mean:.3f} ({n})" for level, (mean, n)
                           in list(one.means.items())[:4])}
        for one in found.factors
    ]  # fmt: skip
    return [
        "## Which ingredient explains what",
        f"Analysis of variance of the scores of {how_many(found.n, 'cell')} after "
        f"{rungs[0].steps:,} steps: "
        "what each ingredient explains that the two others do not, its p by permutation, and the "
        f"levels with the highest means (cells). Two explain {found.shared:.3f} as well as one "
        f"another; {found.rest:.3f} is interaction and luck.",
        export.to_markdown(pd.DataFrame(rows)).rstrip(),
    ]


def variance_of(rungs: Sequence[Rung]) -> Variance | None:
    """Returns which ingredient explains what of the scores of the first rung, which has all cells.

    Args:
        rungs: the rungs that are complete.
    """
    if not rungs:
        return None
    every = rungs[0].climbers
    return what_explains([one.candidate.place for one in every], [one.score for one in every])
