"""Claims of the paper and of the literature, the runs that decide them, and a report."""

from .claim import SCALES, Finding, Judged, Ruling, Scale, Thesis, Word
from .every import CLAIMS, FAMILIES, named_claims, scale, with_evidence, work
from .folder import check_folder, judged, row, written
from .found import TAG, Found, without_run
from .kept import Verdicts, known_pace, shipped

__all__ = [
    "CLAIMS",
    "FAMILIES",
    "SCALES",
    "TAG",
    "Finding",
    "Found",
    "Judged",
    "Ruling",
    "Scale",
    "Thesis",
    "Verdicts",
    "Word",
    "check_folder",
    "judged",
    "known_pace",
    "named_claims",
    "row",
    "scale",
    "shipped",
    "with_evidence",
    "without_run",
    "work",
    "written",
]
