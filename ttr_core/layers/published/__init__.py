"""The catalog: every published layer we know as a point of the design space.

One file per family, each with its ``ENTRIES``; a file put here is part of the catalog by itself.
"""

from __future__ import annotations

import importlib
import pkgutil

from .entry import EVIDENCE, Catalog, Published

FAMILIES = ("nonparametric", "kernels", "exact", "linear", "features", "gated", "online", "inner")
"""The order in which they are listed; what is not named here comes last."""


def _entries() -> tuple[Published, ...]:
    found = {module.name for module in pkgutil.iter_modules(__path__)} - {"entry"}
    order = [name for name in FAMILIES if name in found]
    modules = (
        importlib.import_module(f"{__name__}.{n}") for n in [*order, *sorted(found - {*order})]
    )
    return tuple(entry for module in modules for entry in module.ENTRIES)


catalog = Catalog(_entries())
"""Every entry by name."""

__all__ = ["EVIDENCE", "Catalog", "Published", "catalog"]
