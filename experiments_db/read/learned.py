"""What each cell has learned in runs: how many pairs it recalled, how long the words it tracked."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ttr_core import how_many
from ttr_core.lab import STILL_RISING, TASKS, TrainConfig

from ..store import Store
from . import measures
from .cells import COMPLETE_RUNS
from .relation import revised_since

LEARNED_AT = 0.95
"""The accuracy, of words the scaled one, from which something counts as learned."""

LONG = TrainConfig().steps
"""Steps of a run that may say that something was not learned."""

SKILLS = ("recall", "overwrite", "parity", "Z3", "S3", "S5")
"""Pairs recalled and overwritten; tokens of the longest words that were read beyond what was
trained, which may be known by heart."""

SHIPPED = Path(__file__).with_name("learned.csv")
"""Of the runs in docs/evidence."""

PAIRS = {"recall": "recalled", "overwrite": "overwrote"}
GROUPS = {"Z2": "parity", "Z3": "Z3", "S3": "S3", "S5": "S5"}

FAILED = f"""(
    protocol <> 'search' AND coalesce(steps, 0) >= $long
    AND {measures.column(STILL_RISING, "complete")} = 0
    AND coalesce(CAST(sizes ->> '$.key_dim' AS INTEGER), 0) = 0
)"""
"""Whether a run that did not learn something says that its cell does not: it had the usual steps,
its curve did not rise at their end, and its keys were not cut."""


def learned(store: Store) -> pd.DataFrame:
    """Returns what cells have learned in the complete runs of a store.

    A number is the most pairs, or tokens, at which a run had `LEARNED_AT` or more; 0 where none
    had, and one at least that says so: not of a search, not short, not rising, with whole keys;
    nothing where there are only others. Runs of all frames, sizes and protocols count as learned,
    since it is asked what a cell can do.

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
                WHEN {FAILED} THEN 0 END) AS most
        {COMPLETE_RUNS} WHERE task = 'mqar' GROUP BY ALL
    """
    tracked = f"""
        WITH noted AS (
            SELECT spec, {FAILED} AS failed, setting ->> '$.group' AS skill,
                unnest(from_json(tables -> '$.generalization', '["JSON"]')) AS row,
                CAST(row ->> '$.seq_len' AS INTEGER) > CAST(setting ->> '$.seq_len' AS INTEGER)
                    AS longer
            {COMPLETE_RUNS} WHERE task = 'words'
        )
        SELECT spec, skill,
            max(CASE WHEN CAST(row ->> $scaled AS DOUBLE) >= $least AND longer
                THEN CAST(row ->> '$.seq_len' AS INTEGER)
                WHEN failed THEN 0 END) AS most
        FROM noted GROUP BY ALL
    """
    given = {**revised_since(), "least": LEARNED_AT, "long": LONG}
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

    ``learned_variants`` tells it of `variants`.

    Args:
        rows: cells, with their ``spec``.
        store: where to look beside the runs that the project keeps.
    """
    best = best_known(store)
    known = best.astype(object).where(lambda x: x.notna(), None).to_dict("index")
    others = variants(best, [row["spec"] for row in rows])
    nothing = dict.fromkeys(SKILLS)
    return [
        {
            **row,
            **{f"learned_{n}": x for n, x in known.get(row["spec"], nothing).items()},
            "learned_variants": others.get(row["spec"], ""),
        }
        for row in rows
    ]


def variants(known: pd.DataFrame, listed: Collection[str]) -> dict[str, str]:
    """Returns cell -> what has been learned with its choices at other options, in words.

    Args:
        known: what cells have learned; of those that are listed nothing is said.
        listed: texts of cells that have a row of their own.

    Example:
        >>> told = variants(kept_skills(), ["Uniform | Linear | SGD"])
        >>> told["Uniform | Linear | SGD"]
        'Uniform | Linear | SGD(link=twice_sigmoid) tracked parity over 256 tokens'
    """
    found: dict[str, list[str]] = {}
    for text, row in known.iterrows():
        learned_most = {skill: most for skill, most in row.items() if pd.notna(most) and most}
        if text not in listed and learned_most:
            found.setdefault(bare(str(text)), []).append(f"{text} {skills_told(learned_most)}")
    return {text: "; ".join(told) for text, told in found.items()}


def bare(text: str) -> str:
    """Returns a spec without its options.

    Example:
        >>> bare("Gate | Linear(map=favor(features=512)) | SGD(link=twice_sigmoid)")
        'Gate | Linear | SGD'
    """
    while (shorter := re.sub(r"\([^()]*\)", "", text)) != text:
        text = shorter
    return text


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
        'recalled 32 pairs, did not track parity'
    """
    said = []
    for skill, most in known.items():
        if pd.isna(most):
            continue
        if skill in PAIRS:
            said.append(
                f"{PAIRS[skill]} {how_many(most, 'pair')}" if most else f"{PAIRS[skill]} none"
            )
        else:
            over = f"tracked {skill} over {how_many(most, 'token')}"
            said.append(over if most else f"did not track {skill}")
    return ", ".join(said)
