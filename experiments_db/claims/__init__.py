"""Claims of the paper and of the literature, the runs that decide them, and a report."""

from .claim import SCALES, Finding, Ruling, Scale, Thesis, Word
from .every import CLAIMS, FAMILIES, named_claims, scale, work
from .folder import Judged, check_folder, judged, row, written
from .found import TAG, Found, with_evidence

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
    "Word",
    "check_folder",
    "judged",
    "named_claims",
    "row",
    "scale",
    "with_evidence",
    "work",
    "written",
]
