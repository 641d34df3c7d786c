"""What is known of every cell before anything is run: the table that comes with the program."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ttr_core.lab import PROBES, outdated

from .functions import first_of_each

SHIPPED = Path(__file__).with_name("atlas.parquet")


@dataclass(frozen=True)
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

    def of_layers(self) -> pd.DataFrame:
        """Returns the table with a row for every layer: that of the function which it is.

        A layer that was not there when the atlas was made has an empty row.
        """
        firsts: Mapping[str, str] = first_of_each()
        found = self.table.reindex(list(firsts.values()))
        found["first"] = found.index
        return found.set_axis(list(firsts), axis=0).rename_axis("spec")


@functools.lru_cache(maxsize=4)
def charted(path: Path = SHIPPED) -> Atlas:
    """Returns the atlas of a file, by default the one that comes with the program.

    Args:
        path: a Parquet file; where there is none, the atlas is empty.

    Example:
        >>> charted().table.index.name
        'spec'
    """
    if not path.exists():
        return Atlas(pd.DataFrame({"spec": pd.Series(dtype=str)}).set_index("spec"))
    return Atlas(pd.read_parquet(path).set_index("spec"))
