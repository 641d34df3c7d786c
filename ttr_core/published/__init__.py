"""The catalog: every published layer we know as a point of the design space."""

from __future__ import annotations

from . import exact, linear, nonparametric, online
from .entry import EVIDENCE, Catalog, Published

catalog = Catalog((*nonparametric.ENTRIES, *exact.ENTRIES, *linear.ENTRIES, *online.ENTRIES))
"""Every entry by name."""

__all__ = ["EVIDENCE", "Catalog", "Published", "catalog"]
