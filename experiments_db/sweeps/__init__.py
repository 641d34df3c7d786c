"""Sweeps: many runs from one plan, shared by several drivers, resumed by the same command."""

from . import evidence, report
from .account import document, summary
from .drive import Sweep, started
from .estimate import Pace, in_words
from .expansion import Planned, Work, expanded
from .outcome import Ended
from .plan import Plan, load
from .preview import Preview, check_executor, preview

__all__ = [
    "Ended",
    "Pace",
    "Plan",
    "Planned",
    "Preview",
    "Sweep",
    "Work",
    "check_executor",
    "document",
    "evidence",
    "expanded",
    "in_words",
    "load",
    "preview",
    "report",
    "started",
    "summary",
]
