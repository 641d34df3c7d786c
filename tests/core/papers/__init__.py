"""The published recurrences in their papers' own notation, written from the equations.

Each takes one head's q, k, v [T, d], its signals by name and, if it asks for them, its number among
so many heads and the spec's own tensors by name, and returns the outputs [T, d]. None of them uses
anything of ttr_core: they are the second witness. One file per family, each with ``RECURRENCES``.
"""

from __future__ import annotations

import importlib
import pkgutil

MODULES = [
    importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
]
RECURRENCES = {name: rule for module in MODULES for name, rule in module.RECURRENCES.items()}
