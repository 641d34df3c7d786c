"""The atlas: what every cell can do, by probes without training, and the table that is shipped."""

from .agreement import agreement, agreements
from .known import MEASURED, SUMMARY, Atlas, beside, charted, with_earlier
from .survey import LIMITS, QUICK, Survey, surveyed

__all__ = [
    "LIMITS",
    "MEASURED",
    "QUICK",
    "SUMMARY",
    "Atlas",
    "Survey",
    "agreement",
    "agreements",
    "beside",
    "charted",
    "surveyed",
    "with_earlier",
]
