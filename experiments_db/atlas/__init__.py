"""The atlas: what every cell can do, by probes without training, and the table that is shipped."""

from .agreement import agreement
from .known import Atlas, charted
from .survey import LIMITS, QUICK, Survey, surveyed

__all__ = ["LIMITS", "QUICK", "Atlas", "Survey", "agreement", "charted", "surveyed"]
