"""Sweeps: many runs from one plan, shared by several drivers, resumed by the same command."""

from . import evidence, report
from .account import document, summary
from .anywhere import as_stored, on_other_device
from .drive import Budget, Sweep, started
from .estimate import Pace, in_words
from .expansion import PROTOCOLS, Planned, Work, expanded, times_of
from .order import COST
from .outcome import Ended
from .plan import Plan, load, of_text
from .preview import Preview, preview, usual_jobs
from .questions import held, results
from .served import Served
from .trial import tried
from .tuned import with_followers

__all__ = [
    "COST",
    "PROTOCOLS",
    "Budget",
    "Ended",
    "Pace",
    "Plan",
    "Planned",
    "Preview",
    "Served",
    "Sweep",
    "Work",
    "as_stored",
    "document",
    "evidence",
    "expanded",
    "held",
    "in_words",
    "load",
    "of_text",
    "on_other_device",
    "preview",
    "report",
    "results",
    "started",
    "summary",
    "times_of",
    "tried",
    "usual_jobs",
    "with_followers",
]
