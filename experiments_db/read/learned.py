"""What each cell has learned in runs: how many pairs it recalled, how long the words it tracked."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ttr_core.lab import TASKS

from ..store import Store
from . import measures
from .cells import COMPLETE_RUNS
from .relation import revised_since

LEARNED_AT = 0.95
"""The accuracy, of words the scaled one, from which something counts as learned."""

SKILLS = ("recall", "overwrite", "parity", "S3", "S5")
"""Pairs recalled and overwritten; tokens of the longest words that were read."""

SHIPPED = Path(__file__).with_name("learned.csv")
"""Of the runs in docs/evidence."""

PAIRS = {"recall": "recalled", "overwrite": "overwrote"}
GROUPS = {"Z2": "parity", "S3": "S3", "S5": "S5"}


def learned(store: Store) -> pd.DataFrame:
    """Returns what cells have learned in the complete runs of a store.

    A number is the most pairs, or tokens, at which a run had `LEARNED_AT` or more; 0 where runs
    had less; nothing where there was no run but those of a search, whose first rungs are short.
    Runs of all frames, sizes and protocols count, since it is asked what a cell can do.

    Args:
        store: where to look.

    Returns:
        A row for each spec, its index, with a column for each of `SKILLS`.
    """
    accuracy = measures.column(TASKS["mqar"].main().name, "complete")
    recalled = f"""
        SELECT spec,
            if(setting ->> '$.variant' = 'overwrite', 'overwrite', 'recall') AS skill,
            max(CASE WHEN {accuracy} >= $least THEN CAST(setting ->> '$.pairs' AS INTEGER)
                WHEN protocol = 'search' THEN NULL ELSE 0 END) AS most
        {COMPLETE_RUNS} WHERE task = 'mqar' GROUP BY ALL
    """
    tracked = f"""
        WITH noted AS (
            SELECT spec, protocol, setting ->> '$.group' AS skill,
                unnest(from_json(tables -> '$.generalization', '["JSON"]')) AS row
            {COMPLETE_RUNS} WHERE task = 'words'
        )
        SELECT spec, skill,
            max(CASE WHEN CAST(row ->> $scaled AS DOUBLE) >= $least
                THEN CAST(row ->> '$.seq_len' AS INTEGER)
                WHEN protocol = 'search' THEN NULL ELSE 0 END) AS most
        FROM noted GROUP BY ALL
    """
    given = {**revised_since(), "least": LEARNED_AT}
    scaled = {"scaled": f"$.{TASKS['words'].metrics[-1].name}"}
    with store.open() as connection:
        parts = [connection.execute(recalled, given).df()]
        parts += [connection.execute(tracked, {**given, **scaled}).df()]
    parts[1]["skill"] = parts[1]["skill"].map(GROUPS)
    every = pd.concat(parts).dropna(subset=["skill", "most"])
    table = every.pivot_table(index="spec", columns="skill", values="most", aggfunc="max")
    return table.reindex(columns=[*SKILLS]).astype("Int64").rename_axis(columns=None)


def best_known(store: Store) -> pd.DataFrame:
    """Returns what cells have learned in a store or in the runs that the project keeps.

    Args:
        store: where to look beside them; it need not be there yet.
    """
    if not store.path.exists():
        return kept_skills()
    return pd.concat([kept_skills(), learned(store)]).groupby(level="spec").max()


@functools.lru_cache(maxsize=1)
def kept_skills() -> pd.DataFrame:
    """Returns what cells have learned in the runs that the project keeps.

    Example:
        >>> int(kept_skills().loc["Uniform | Linear | SGD(link=twice_sigmoid)", "parity"])
        256
    """
    return pd.read_csv(SHIPPED, index_col="spec").astype("Int64")


def beside_cells(rows: list[dict[str, Any]], store: Store) -> list[dict[str, Any]]:
    """Returns cells with what they have learned, ``learned_recall`` and so on.

    Args:
        rows: cells, with their ``spec``.
        store: where to look beside the runs that the project keeps.
    """
    known = best_known(store).astype(object).where(lambda x: x.notna(), None).to_dict("index")
    nothing = dict.fromkeys(SKILLS)
    return [
        {**row, **{f"learned_{n}": x for n, x in known.get(row["spec"], nothing).items()}}
        for row in rows
    ]


def as_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Returns cells of `beside_cells` as a table whose numbers stay whole where some are missing.

    Args:
        rows: a dictionary for each cell.
    """
    return pd.DataFrame(rows).astype({f"learned_{name}": "Int64" for name in SKILLS})


def skills_told(known: Mapping[str, Any]) -> str:
    """Returns what one cell has learned, in words; nothing where it was never tried.

    Args:
        known: skill -> the most of it, or nothing.

    Example:
        >>> skills_told({"recall": 32, "overwrite": None, "parity": 0})
        'recalled 32 pairs, never tracked parity'
    """
    said = []
    for skill, most in known.items():
        if pd.isna(most):
            continue
        if skill in PAIRS:
            said.append(f"{PAIRS[skill]} {most} pairs" if most else f"never {PAIRS[skill]}")
        else:
            said.append(f"tracked {skill} over {most} tokens" if most else f"never tracked {skill}")
    return ", ".join(said)
