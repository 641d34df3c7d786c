"""The versions and the machine that a run's row names."""

from __future__ import annotations

import functools
import os
import platform
from importlib import metadata
from typing import Any

PACKAGES = ("torch", "duckdb", "numpy")


@functools.cache
def environment() -> dict[str, Any]:
    """Returns the versions and the machine of this process."""
    import ttr_core  # and torch with it, which who only passes messages on has no use for

    return {
        **{name: metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "project": ttr_core.__version__,
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
    }
