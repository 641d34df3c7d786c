"""Series: the runs that differ in nothing that decides them but the seed.

What decides a run is asked of the program that runs it, which is imported only then: PyTorch takes
a second, and most processes that use a store start no run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

TOLD = """
    json_extract(fingerprint, '$.task')::VARCHAR AS setting,
    json_merge_patch(json_extract(fingerprint, '$.model'),
        '{"layers": null, "frame": null}')::VARCHAR AS sizes,
    json_extract(fingerprint, '$.frames')::VARCHAR AS frames,
    json_merge_patch(json_extract(fingerprint, '$.train'), '{"lr": null}')::VARCHAR AS training,
    json_extract_string(fingerprint, '$.train.lr') AS rate
"""
"""The columns of a series that are taken from its fingerprint, which results are asked by."""


@dataclass(frozen=True)
class Series:
    """What decides the runs of a series.

    Args:
        name: the hash of it, which the runs carry.
        decides: what decides them, without the seed.
        parts: what of the program took part, with its revision.
    """

    name: str
    decides: Mapping[str, Any]
    parts: tuple[str, ...]

    def hash(self, seed: int) -> str:
        """Returns the hash of the run with a seed."""
        from ttr_core.lab import digest

        return digest({**self.decides, "seed": seed})

    @property
    def fingerprint(self) -> str:
        """What decides them as JSON text, always in the same order."""
        return json.dumps(self.decides, sort_keys=True)


def series_of(config: str) -> tuple[Series, bool]:
    """Returns the series of a stored config, and whether the program can read that config.

    A config that it cannot read decides its runs as a whole.
    """
    from ttr_core.lab import digest, identity

    known = json.loads(config)
    found = identity(known)
    decides = known if found is None else found.fingerprint
    seedless = {key: value for key, value in decides.items() if key != "seed"}
    parts = () if found is None else found.parts
    return Series(digest(seedless), seedless, parts), found is not None


def add_series(connection: duckdb.DuckDBPyConnection, found: Iterable[Series]) -> None:
    """Adds the series that are not there yet."""
    for series in {one.name: one for one in found}.values():
        connection.execute(
            f"""
            INSERT INTO series BY NAME SELECT *, {TOLD}
            FROM (SELECT $name AS series, $fingerprint::JSON AS fingerprint,
                $parts::VARCHAR[] AS parts)
            WHERE NOT EXISTS (SELECT 1 FROM series WHERE series = $name)
            """,
            {
                "name": series.name,
                "fingerprint": series.fingerprint,
                "parts": list(series.parts),
            },
        )


def tell_series(connection: duckdb.DuckDBPyConnection) -> None:
    """Fills the columns that are taken from the fingerprints."""
    columns = ("setting", "sizes", "frames", "training", "rate")
    connection.execute(
        f"""
        UPDATE series SET {", ".join(f"{name} = told.{name}" for name in columns)}
        FROM (SELECT series AS of, {TOLD} FROM series) AS told WHERE told.of = series.series
        """
    )
