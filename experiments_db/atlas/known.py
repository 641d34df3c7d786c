"""What is known of every cell before anything is run: the table that comes with the program."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ttr_core.lab import PROBES, outdated

from ..installation import command
from ..store import Store, StoreError
from .functions import first_of_each

SHIPPED = Path(__file__).with_name("atlas.parquet")
SUMMARY = ".atlas.parquet"
"""What the table that lies beside a store ends with."""

MEASURED = "measured"
"""What is said of a probe that found a number; else it is said why not."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """A table as `rows_of` makes it, by function.

    Args:
        table: its rows, with the text of the function as index.
    """

    table: pd.DataFrame

    @property
    def date(self) -> str:
        """The day of the newest measurement, as ISO has it; empty without any."""
        days = [self.table[f"{probe}_on"].dropna() for probe in self._probes]
        return max((str(some.max()) for some in days if len(some)), default="")

    @property
    def cpu_seconds(self) -> float:
        """Processor seconds of all measurements, of those that were ended, too."""
        return float(sum(self.table[f"{probe}_seconds"].sum() for probe in self._probes))

    @property
    def _probes(self) -> list[str]:
        return [name for name in PROBES if name in self.table]

    def seconds(self, spec: str, probe: str) -> float | None:
        """Returns the processor seconds that a probe of a function took, or None."""
        name = f"{probe}_seconds"
        if name not in self.table or spec not in self.table.index:
            return None
        value = self.table.at[spec, name]
        return None if pd.isna(value) else float(value)

    def stale(self, probe: str) -> frozenset[str]:
        """Returns the functions whose number is that of an earlier revision of the program."""
        if probe not in self.table:
            return frozenset()
        old = {part for part in outdated() if not part.startswith("task/")}
        old |= {part for part in outdated() if part.startswith(f"task/{probe}@")}
        said = self.table["parts"][self.table[probe].notna()]
        return frozenset(text for text, parts in said.items() if old & set(parts.split()))

    def under(self, other: Atlas) -> Atlas:
        """Returns the table with what another one has in place of its own."""
        merged = other.table.combine_first(self.table)
        shared = self.table.index.intersection(other.table.index)
        for text in shared:  # a row of both is as old as the older
            if any(
                self._counts(text, probe) and not other._counts(text, probe) for probe in PROBES
            ):
                both = [str(one.table.at[text, "parts"] or "").split() for one in (self, other)]
                merged.at[text, "parts"] = " ".join(dict.fromkeys(both[0] + both[1]))
        return Atlas(merged)

    def _counts(self, text: str, probe: str) -> bool:
        return probe in self.table and isinstance(self.table.at[text, probe], str)

    def of_layers(self) -> pd.DataFrame:
        """Returns the table with a row for every layer: that of the function which it is.

        A layer that was not there when the atlas was made has an empty row.
        """
        firsts: Mapping[str, str] = first_of_each()
        found = self.table.reindex(list(firsts.values()))
        found["first"] = found.index
        return found.set_axis(list(firsts), axis=0).rename_axis("spec")


def beside(store: Store) -> Atlas:
    """Returns the atlas that comes with the program, under what was measured with a store.

    Raises:
        StoreError: what lies beside the store is no table of an atlas.
    """
    own = store.path.with_suffix(SUMMARY)
    try:
        return _over_shipped(own, own.stat().st_mtime) if own.exists() else charted()
    except (OSError, ValueError, LookupError) as error:
        raise StoreError(
            f"{own} is no table of an atlas: move it away, and `{command('atlas')}` writes it anew."
        ) from error


def with_earlier(store: Store, table: pd.DataFrame) -> pd.DataFrame:
    """Returns a table with what lies beside a store of functions and probes that it lacks.

    Args:
        store: where an earlier table may lie.
        table: rows as `rows_of` makes them, of some functions and probes.
    """
    own = store.path.with_suffix(SUMMARY)
    if not own.exists():
        return table
    merged = _read(own).under(Atlas(table.set_index("spec"))).table
    order = dict.fromkeys((*table.columns, *merged.columns))
    return merged.rename_axis("spec").reset_index()[list(order)]


@functools.lru_cache(maxsize=4)
def _over_shipped(path: Path, written: float) -> Atlas:
    return charted().under(_read(path))


@functools.lru_cache(maxsize=1)
def charted() -> Atlas:
    """Returns the atlas that comes with the program.

    Example:
        >>> charted().table.index.name
        'spec'
    """
    return _read(SHIPPED)


def _read(path: Path) -> Atlas:
    table = pd.read_parquet(path) if path.exists() else pd.DataFrame({"spec": []}, dtype=str)
    return Atlas(table.set_index("spec"))
