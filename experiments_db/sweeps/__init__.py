"""Sweeps: many runs from one plan, shared by several drivers, resumed by the same command."""

from . import evidence, report
from .account import document, summary
from .drive import Budget, Sweep, started
from .estimate import Pace, in_words
from .expansion import Planned, Work, expanded
from .order import COST
from .outcome import Ended
from .plan import Plan, load
from .preview import Preview, preview, usual_jobs
from .trial import tried
from .tuned import with_followers

__all__ = [
    "COST",
    "Budget",
    "Ended",
    "Pace",
    "Plan",
    "Planned",
    "Preview",
    "Sweep",
    "Work",
    "document",
    "evidence",
    "expanded",
    "in_words",
    "load",
    "preview",
    "report",
    "started",
    "summary",
    "tried",
    "usual_jobs",
    "with_followers",
]
