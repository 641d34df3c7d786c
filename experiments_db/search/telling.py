"""What a search found, as tables and as a report."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..claims.folder import check_folder
from ..read import export
from ..store.files import absolute
from ..sweeps import in_words
from .candidates import Space
from .course import SearchState
from .explained import Variance, what_explains
from .finals import LEAST_GAIN, Bout, Finalist, Finals
from .halving import Climber, Rung, false_drops, published_front
from .outlook import Outlook
from .permuted import LEVEL, POWER
from .search_plan import SearchPlan

REPORT = "report.md"
TABLES = ("cells", "finals", "seeds", "dropped")
SHOWN = 20
"""Cells of the last rung that the report shows; the tables have all."""


def cells_table(plan: SearchPlan, rungs: Sequence[Rung]) -> pd.DataFrame:
    """Returns a row for each cell that was trained, those that came furthest first.

    Args:
        plan: what was asked for.
        rungs: the rungs that are complete.
    """
    rows: dict[str, dict[str, Any]] = {}
    for number, rung in enumerate(rungs, 1):
        for one in rung.climbers:
            row = rows.setdefault(one.candidate.spec, _about(one))
            row |= {"rungs": number, "steps": rung.steps, "score": one.score, "lr": one.rate}
            row |= {f"score_{rung.steps}": one.score, f"tried_{rung.steps}": len(one.scores)}
            row |= {"fate": one.fate, "spared": one.spared, "failed": one.failed}
            row["still_rising"] = one.rising
    for one in published_front(rungs[-1].climbers) if rungs else ():
        rows[one.candidate.spec]["published_front"] = True
    for one in _front(rungs[-1].climbers) if rungs else ():
        rows[one.candidate.spec]["front"] = True
    order = sorted(rows.values(), key=lambda row: (-row["rungs"], -row["score"]))
    return pd.DataFrame(order)


def _about(one: Climber) -> dict[str, Any]:
    own = one.candidate
    weights, function, optimizer = own.place
    ((_, frame),) = own.experiment.model.regressions()
    model = own.experiment.model
    return {
        "cell": own.spec, "published": ", ".join(own.names), "weights": weights,
        "function": function, "optimizer": optimizer,
        "key_dim": frame.key_dim or model.d_model // model.heads,
        "state_size": own.state, "packed_state_size": own.packed,
        "front": False, "published_front": False,
    }  # fmt: skip


def _front(climbers: Iterable[Climber]) -> list[Climber]:
    """Returns the cells that none beats at no larger state, the smallest first."""
    order = sorted(climbers, key=lambda one: (one.candidate.state, -one.score))
    found: list[Climber] = []
    for one in order:
        if not found or one.score > found[-1].score:
            found.append(one)
    return found


def finals_table(finals: Finals) -> pd.DataFrame:
    """Returns a row for each finalist in each frame.

    Args:
        finals: what they came to.
    """
    return pd.DataFrame(
        {
            "cell": one.candidate.spec, "frame": duel.frame, "rival": duel.rival.spec,
            "rival_published": ", ".join(duel.rival.names),
            "state_size": one.candidate.state, "packed_state_size": one.candidate.packed,
            "rival_state_size": duel.rival.state, "rival_packed_state_size": duel.rival.packed,
            "lr": duel.rates[0], "rival_lr": duel.rates[1], "n": len(duel.ours),
            "score": statistics.fmean(duel.ours), "score_std": statistics.stdev(duel.ours),
            "rival_score": statistics.fmean(duel.theirs),
            "rival_score_std": statistics.stdev(duel.theirs),
            "gain": duel.gain, "gain_low": low, "gain_high": high,
            "p": duel.p, "p_corrected": one.p, "claimed": one.claimed,
        }
        for one in finals.finalists
        for duel, (low, high) in zip(one.duels, one.bounds, strict=True)
    )  # fmt: skip


def seeds_table(plan: SearchPlan, finals: Finals) -> pd.DataFrame:
    """Returns the score of each finalist, and of its rival, on each fresh seed.

    Args:
        plan: what was asked for.
        finals: what they came to.
    """
    rows = [
        {"cell": spec, "frame": duel.frame, "seed": seed, "score": score}
        for one in finals.finalists
        for duel in one.duels
        for spec, scores in ((one.candidate.spec, duel.ours), (duel.rival.spec, duel.theirs))
        for seed, score in zip(plan.fresh_numbers, scores, strict=True)
    ]
    return pd.DataFrame(rows).drop_duplicates() if rows else pd.DataFrame()


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
        *_last_rung(ahead.plan, state.rungs),
        *_halving(state.rungs),
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
            f"**Not finished**: {len(state.missing):,} trainings are missing ({state.stage}); the "
            "same command goes on."
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
            f"{len(finals.finalists)} finalists."
        )
    if ahead := [one.candidate.spec for one in finals.finalists if one.ahead]:
        named = "; ".join(f"`{spec}`" for spec in ahead)
        return (
            f"**No claim**: ahead after {plan.steps:,} steps in frame {frames}: {named}; "
            "while trainings of one side or the other still rise: who is quick need not "
            "hold more. Longer rungs tell."
        )
    return (
        f"**None of {len(finals.finalists)} finalists is shown to be above the best published "
        f"cell at no larger state** in frame {frames}, after {plan.steps:,} steps; the other new "
        f"cells were not tested. A gain of {finals.detectable:.3f} would have been found with a "
        f"chance of {POWER:.0%} in one frame; smaller ones are not excluded."
    )


def _verdict(one: Finalist) -> str:
    return "yes" if one.claimed else "ahead, and rising" if one.ahead else "no"


def _asked(plan: SearchPlan, space: Space, state: SearchState) -> list[str]:
    task = ", ".join(f"{key} {value}" for key, value in plan.task.settings.items())
    known = sum(one.published for one in space.candidates)
    dropped = "; ".join(f"{count} {kind}" for kind, count in space.counts.items()) or "none"
    at = "" if plan.state is None else f" at a state of {plan.state} numbers at most"
    rates = ", ".join(f"{lr:g}" for lr in plan.lrs)
    return [
        f"Task {plan.task.name} ({task}), {len(space.candidates)} cells{at}, {known} of them "
        f"published. Dropped before any training: {dropped}. Rates {rates}; rungs of "
        f"{', '.join(map(str, plan.rungs))} steps; {len(plan.seed_numbers)} seeds of the search, "
        f"{len(plan.fresh_numbers)} fresh ones. Cost: {state.trainings:,} trainings, "
        f"{in_words(state.cpu_seconds)} of a processor."
    ]


def _finals(finals: Finals) -> list[str]:
    if not finals.finalists:
        return []
    rows = [
        {"cell": f"`{one.candidate.spec}`", "state (packed)": _state(one.candidate),
         "frame": duel.frame, "against": f"{duel.rival}", "its state": _state(duel.rival),
         "n": f"{len(duel.ours)} + {len(duel.theirs)}", "score": _mean(duel, 0),
         "its score": _mean(duel, 1), "gain": f"{duel.gain:+.4f}",
         "bounds": f"[{low:+.4f}, {high:+.4f}]", "p": f"{duel.p:.2g}",
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
        f"every frame, with no training still rising. A gain of {finals.detectable:.3f} is found "
        f"with a chance of {POWER:.0%}.",
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
    last, front = rungs[-1], {one.candidate.spec for one in _front(rungs[-1].climbers)}
    rows = [
        {"cell": f"`{one.candidate.spec}`", "published": ", ".join(one.candidate.names),
         "state (packed)": _state(one.candidate), "score": f"{one.score:.4f}",
         "lr": f"{one.rate:g}", "rates tried": len(one.scores),
         "still rising": "yes" if one.rising else "", "on the front": "yes"
         if one.candidate.spec in front else ""}
        for one in last.climbers[:SHOWN]
    ]  # fmt: skip
    left = len(last.climbers) - len(rows)
    more = f" {left} more are in the table." if left > 0 else ""
    return [
        f"## After {last.steps:,} steps",
        f"Scores on the validation set, means over {len(plan.seed_numbers)} seeds of the search, "
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
        f"Analysis of variance of the scores of {found.n} cells after {rungs[0].steps:,} steps: "
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
