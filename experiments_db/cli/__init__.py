"""The command line: each command a few lines; what it shows."""

from . import doctor, exporting, measuring, reproducing, searching, surveying
from .commands import app

__all__ = ["app", "doctor", "exporting", "measuring", "reproducing", "searching", "surveying"]
