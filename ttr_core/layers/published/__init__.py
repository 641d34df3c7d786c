"""The catalog: every published layer we know as a point of the design space.

One file per family, each with its ``ENTRIES``; a file put here is part of the catalog by itself.
Beside them `elsewhere` names what was published and has no entry yet.
"""

from __future__ import annotations

import importlib
import pkgutil

from .elsewhere import AS_OF, ELSEWHERE, Elsewhere
from .entry import EVIDENCE, Catalog, Published

FIRST = (
    "nonparametric", "kernels", "exact", "linear", "features", "gated", "online", "inner",
    "gated_phases", "steps",
)  # fmt: skip
LAST = ("baselines",)
"""The order in which the families are listed; what is not named here stands between."""


def _entries() -> tuple[Published, ...]:
    found = {module.name for module in pkgutil.iter_modules(__path__)} - {"entry", "elsewhere"}
    between = sorted(found - {*FIRST, *LAST})
    modules = (importlib.import_module(f"{__name__}.{n}") for n in [*FIRST, *between, *LAST])
    return tuple(entry for module in modules for entry in module.ENTRIES)


catalog = Catalog(_entries())
"""Every entry by name."""

__all__ = [
    "AS_OF",
    "ELSEWHERE",
    "EVIDENCE",
    "Catalog",
    "Elsewhere",
    "Published",
    "catalog",
]
