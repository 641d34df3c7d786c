"""Which series count as one: a rate that was chosen on one seed, and the other seeds at that rate.

A protocol that tunes on one seed runs it with rate ``auto`` and the others at the number that it
chose, which are two series by their settings and one configuration by what was trained.
"""

from __future__ import annotations

from ..store import Store
from ..store.records import COMPLETE, CUT_SHORT

POOLS = f"""
    SELECT DISTINCT unnest([tuned.series, fixed.series]) AS series, fixed.series AS pooled
    FROM (
        SELECT series, any_value(lr) AS chosen
        FROM runs JOIN results USING (run_id)
        JOIN (SELECT series FROM series WHERE rate = 'auto') USING (series)
        WHERE results.status IN {COMPLETE} AND NOT {CUT_SHORT}
        GROUP BY series HAVING count(DISTINCT seed) = 1 AND count(DISTINCT lr) = 1
    ) AS chosen
    JOIN series AS tuned USING (series)
    JOIN series AS fixed ON
        TRY_CAST(fixed.rate AS DOUBLE) = chosen.chosen
        AND fixed.setting = tuned.setting AND fixed.training = tuned.training
        AND fixed.frames = tuned.frames AND fixed.sizes = tuned.sizes
        AND fixed.parts = tuned.parts
        AND json_merge_patch(fixed.fingerprint, '{{"train": {{"lr": null}}}}')::VARCHAR
            = json_merge_patch(tuned.fingerprint, '{{"train": {{"lr": null}}}}')::VARCHAR
"""
"""Of series that are not one by themselves: series, and pooled, the one in which its runs count.

That is the one with the number as its rate; a series with ``auto`` for several seeds, each of which
chose for itself, stays whole and alone.
"""

COUNTED = "coalesce(pooled, series)"
"""The series in which a run counts, in SQL where `POOLS` is joined."""

REPEATED = "coalesce(pooled || ' ' || seed, config_hash)"
"""What runs share that repeat one another, likewise."""


def pools(store: Store) -> dict[str, str]:
    """Returns what `POOLS` does: series -> the one in which its runs count.

    Raises:
        StoreError: the store cannot be read.
    """
    with store.open() as connection:
        return dict(connection.execute(POOLS).fetchall())
