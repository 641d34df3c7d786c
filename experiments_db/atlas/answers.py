"""What the store has of an atlas's runs."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..run.hearing import OVER_LIMIT
from ..store import Store
from ..store.records import COMPLETE

SETTLED = (*COMPLETE, "failed")
"""Statuses that say something of a cell: a failed run says why there is no number."""

MOST_WORDS = 200
"""Letters of a reason that are kept: the rest is for who mends it."""


@dataclass(frozen=True)
class Answer:
    """What a probe found of a function.

    Args:
        status: finished, diverged or failed.
        message: why, where it is not the first.
        intervals: rows of metric, value, low, high, n, bound.
        seconds: of the processor.
        state_size: numbers of state at the probe's own sizes.
        on: when it was stored, UTC.
    """

    status: str
    message: str
    intervals: list[dict[str, Any]]
    seconds: float | None
    state_size: int | None
    on: datetime


def newest(store: Store, hashes: Collection[str]) -> dict[str, Answer]:
    """Returns the newest answer to each configuration; a number counts more than none."""
    sql = """
        SELECT config_hash, results.status, message, tables -> '$.intervals',
            (metrics ->> '$.cpu_seconds')::DOUBLE, state_size, finished_at
        FROM runs
        JOIN results USING (run_id)
        WHERE config_hash IN (SELECT unnest($hashes::VARCHAR[]))
            AND list_contains($settled::VARCHAR[], results.status)
        QUALIFY row_number() OVER (
            PARTITION BY config_hash ORDER BY results.status = 'failed', run_id DESC) = 1
    """
    given = {"hashes": list(hashes), "settled": list(SETTLED)}
    with store.open() as connection:
        rows = connection.execute(sql, given).fetchall()
    return {
        config_hash: Answer(
            status, _first_words(said), json.loads(rows_ or "[]"), seconds, state_size, on
        )
        for config_hash, status, said, rows_, seconds, state_size, on in rows
    }


def given_up(store: Store, hashes: Collection[str], limit: float) -> set[str]:
    """Returns the configurations that were ended at this limit of seconds, or at a larger one."""
    sql = """
        SELECT DISTINCT config_hash
        FROM runs
        JOIN results USING (run_id)
        WHERE config_hash IN (SELECT unnest($hashes::VARCHAR[]))
            AND results.status = 'failed' AND starts_with(message, $over)
            AND (metrics ->> '$.cpu_seconds')::DOUBLE >= $limit
    """
    given = {"hashes": list(hashes), "over": OVER_LIMIT, "limit": limit}
    with store.open() as connection:
        rows = connection.execute(sql, given).fetchall()
    return {config_hash for (config_hash,) in rows}


def _first_words(message: str | None) -> str:
    first = (message or "").strip().partition("\n")[0]
    return first if len(first) <= MOST_WORDS else f"{first[:MOST_WORDS]}…"
