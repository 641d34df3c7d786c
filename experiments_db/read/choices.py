"""What there is to choose from when runs are filtered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..store import Store

LISTS = ("layer", "frame", "protocol", "device")

SQL = f"""
SELECT {", ".join(f"list(DISTINCT {name}) AS {name}" for name in LISTS)}
FROM (SELECT DISTINCT {", ".join(LISTS)} FROM runs)
"""


@dataclass(frozen=True)
class Choices:
    """The values that occur in a store, each list in order; tags by how many runs have them.

    Args:
        layer: names of layers.
        frame: frames.
        protocol: protocols.
        device: devices.
        tags: tags, the most used first.
    """

    layer: tuple[str, ...]
    frame: tuple[str, ...]
    protocol: tuple[str, ...]
    device: tuple[str, ...]
    tags: tuple[str, ...]


def offered(store: Store) -> Choices:
    """Returns what occurs in a store.

    Raises:
        StoreError: the store cannot be read.
    """
    used = "SELECT tag FROM tags GROUP BY tag ORDER BY count(*) DESC, tag"
    with store.open() as connection:
        row = connection.execute(SQL).fetchone() or ((),) * len(LISTS)
        tags = tuple(tag for (tag,) in connection.execute(used).fetchall())
    layer, frame, protocol, device = (_sorted(values or ()) for values in row)
    return Choices(layer, frame, protocol, device, tags)


def _sorted(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted(value for value in values if value is not None))
