"""What a sweep asks the store: which runs are there, how long others took, what came out."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from ..store import Store
from ..store.driver import alive
from ..store.records import COMPLETE, CUT_SHORT, HAD_SECONDS

LATEST = 5000
"""Past runs that an estimate looks at, the newest first."""

ASKED = "SELECT unnest($hashes::VARCHAR[]) AS config_hash, unnest($seconds::DOUBLE[]) AS given"
"""The configurations that are asked for, and the most seconds that a run of each is given."""

TOO_SHORT = f"({CUT_SHORT} AND {HAD_SECONDS} < coalesce(asked.given, 'infinity'::DOUBLE))"
"""Whether a run ended for want of less time than is given now."""

TOLD = ("state_size", "parameters", "steps", "seconds")
"""Sizes and times of a result that a report shows."""


def held(store: Store, asked: Mapping[str, float | None]) -> dict[str, str]:
    """Returns the configurations that have a run: ``complete``, or ``running`` somewhere.

    Args:
        store: where runs are kept.
        asked: fingerprint -> the most seconds that a run is given, or None: a run that ended for
            want of less is not complete.
    """
    sql = f"""
        SELECT config_hash,
            bool_or(coalesce(list_contains($complete::VARCHAR[], results.status), false)
                AND NOT {TOO_SHORT}),
            bool_or(coalesce(results.status IS NULL
                AND list_contains($alive::VARCHAR[], live.driver), false))
        FROM runs
        LEFT JOIN results USING (run_id)
        LEFT JOIN live USING (run_id)
        JOIN ({ASKED}) AS asked USING (config_hash)
        GROUP BY config_hash
    """
    with store.open() as connection:
        given: dict[str, Any] = {"hashes": list(asked), "seconds": list(asked.values())}
        given |= {"complete": list(COMPLETE), "alive": alive(connection, store.path)}
        rows = connection.execute(sql, given).fetchall()
    return {
        config_hash: "complete" if complete else "running"
        for config_hash, complete, running in rows
        if complete or running
    }


def past(store: Store, tasks: Collection[str]) -> list[tuple[dict[str, Any], float, float | None]]:
    """Returns what the newest finished runs of tasks took: configuration, seconds, steps if told.

    Configurations are without a seed; those that were asked for in the same way share one object,
    so that it is read once. The seconds are those of the processor where a run counted them: what
    else the machine did says nothing. Those of all learning rates count, and so do their steps.
    What its time cut short is left out.
    """
    cpu = "try_cast(metrics ->> '$.cpu_seconds' AS DOUBLE)"
    sql = f"""
        SELECT config_group, coalesce({cpu} * coalesce(taken / greatest(steps, 1), 1), seconds),
            taken
        FROM (
            SELECT runs.run_id, config_group, metrics, results.seconds, results.steps,
                coalesce(CASE WHEN json_array_length(lrs_tried) > 1 THEN list_sum(
                    from_json(tables -> '$.learning_rates[*].steps', '["DOUBLE"]')
                ) END, results.steps) AS taken
            FROM runs
            JOIN results USING (run_id)
            WHERE results.status = 'finished' AND results.seconds IS NOT NULL
                AND NOT {CUT_SHORT}
                AND list_contains($tasks::VARCHAR[], task)
            ORDER BY run_id DESC
            LIMIT $latest
        )
        ORDER BY run_id DESC
    """
    with store.open() as connection:
        rows = connection.execute(sql, {"tasks": list(tasks), "latest": LATEST}).fetchall()
        texts = connection.execute(
            "SELECT config_group, config FROM configs "
            "WHERE config_group IN (SELECT unnest($groups::VARCHAR[]))",
            {"groups": list({group for group, *_ in rows})},
        ).fetchall()
    read = {group: json.loads(config) for group, config in texts}
    return [(read[group], seconds, taken) for group, seconds, taken in rows]


def results(store: Store, asked: Mapping[str, float | None]) -> dict[str, dict[str, Any]]:
    """Returns the newest complete result of each configuration.

    Args:
        store: where runs are kept.
        asked: as of `held`.

    Returns:
        config hash -> status, lr, metrics, the sizes and times of `TOLD`, lrs_tried, and rates:
        the table of learning rates or None.
    """
    sql = f"""
        SELECT config_hash, results.status, lr, metrics, lrs_tried, tables -> '$.learning_rates',
            {", ".join(TOLD)}
        FROM runs
        JOIN results USING (run_id)
        JOIN ({ASKED}) AS asked USING (config_hash)
        WHERE list_contains($complete::VARCHAR[], results.status) AND NOT {TOO_SHORT}
        ORDER BY run_id
    """
    with store.open() as connection:
        given: dict[str, Any] = {"hashes": list(asked), "seconds": list(asked.values())}
        given |= {"complete": list(COMPLETE)}
        rows = connection.execute(sql, given).fetchall()
    return {
        config_hash: {
            "status": status,
            "lr": lr,
            "metrics": json.loads(metrics),
            "lrs_tried": json.loads(tried) or [],
            "rates": json.loads(rates) if rates else None,
            **dict(zip(TOLD, told, strict=True)),
        }
        for config_hash, status, lr, metrics, tried, rates, *told in rows
    }
