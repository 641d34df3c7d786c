"""What a search found, as tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from .finals import Finals
from .halving import Climber, Rung, published_front
from .search_plan import SearchPlan


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
            row |= {"still_rising": one.rising, "not_begun": one.waiting}
            row["start"] = one.start if row["start"] is None else row["start"]
    for one in published_front(rungs[-1].climbers) if rungs else ():
        rows[one.candidate.spec]["published_front"] = True
    for one in upper_front(rungs[-1].climbers) if rungs else ():
        rows[one.candidate.spec]["front"] = True
    order = sorted(rows.values(), key=lambda row: (-row["rungs"], -row["score"]))
    return pd.DataFrame(order)


def _about(one: Climber) -> dict[str, Any]:
    own = one.candidate
    weights, function, optimizer = own.place
    return {
        "cell": own.spec, "published": ", ".join(own.names), "weights": weights,
        "function": function, "optimizer": optimizer,
        "key_dim": own.keys, "start": None,
        "state_size": own.state, "packed_state_size": own.packed,
        "front": False, "published_front": False,
    }  # fmt: skip


def upper_front(climbers: Iterable[Climber]) -> list[Climber]:
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
            "key_dim": one.candidate.keys, "rival_key_dim": duel.rival.keys,
            "state_size": one.candidate.state, "packed_state_size": one.candidate.packed,
            "rival_state_size": duel.rival.state, "rival_packed_state_size": duel.rival.packed,
            "lr": duel.rates[0], "rival_lr": duel.rates[1], "n": len(duel.ours),
            "score": statistics.fmean(duel.ours), "score_std": statistics.stdev(duel.ours),
            "rival_score": statistics.fmean(duel.theirs),
            "rival_score_std": statistics.stdev(duel.theirs),
            "gain": duel.gain, "gain_low": low, "gain_high": high,
            "rise": duel.rises[0], "rival_rise": duel.rises[1], "not_begun": duel.waiting,
            "p": duel.p, "p_corrected": one.p, "claimed": one.claimed,
        }
        for one in finals.finalists
        for duel, (low, high) in zip(one.duels, one.bounds, strict=True)
    )  # fmt: skip


def rivals_table(finals: Finals) -> pd.DataFrame:
    """Returns a row for each published cell that was tried at the state of a finalist.

    Args:
        finals: what they came to.
    """
    return pd.DataFrame(
        {
            "cell": one.candidate.spec, "state_size": one.candidate.state,
            "packed_state_size": one.candidate.packed, "score": one.score,
            "rival": rival.candidate.spec, "published": ", ".join(rival.candidate.names),
            "rival_key_dim": rival.candidate.keys, "rival_state_size": rival.candidate.state,
            "rival_packed_state_size": rival.candidate.packed, "rival_score": rival.score,
            "rival_lr": rival.rate, "tried": len(rival.scores),
        }
        for one, found in finals.rivals.items()
        for rival in found
    )  # fmt: skip


def seeds_table(plan: SearchPlan, finals: Finals) -> pd.DataFrame:
    """Returns the score of each finalist, and of its rival, on each fresh seed.

    Args:
        plan: what was asked for.
        finals: what they came to.
    """
    rows = [
        {"cell": who.spec, "key_dim": who.keys, "frame": duel.frame, "seed": seed, "score": score}
        for one in finals.finalists
        for duel in one.duels
        for who, scores in ((one.candidate, duel.ours), (duel.rival, duel.theirs))
        for seed, score in zip(plan.fresh_numbers, scores, strict=True)
    ]
    return pd.DataFrame(rows).drop_duplicates() if rows else pd.DataFrame()


def slowest_starts(rungs: Sequence[Rung]) -> dict[str, float]:
    """Returns published cell -> steps to half of the way at its best rate, the slowest first.

    Args:
        rungs: the rungs that are complete.
    """
    found: dict[str, float] = {}
    for rung in rungs:
        for one in rung.climbers:
            if one.candidate.published and one.start is not None:
                found.setdefault(f"{one.candidate}", one.start)
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))
