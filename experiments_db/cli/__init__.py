"""The command line: each command a few lines; what it shows."""

from . import exporting, measuring, reproducing, searching, surveying
from .commands import app

__all__ = ["app", "exporting", "measuring", "reproducing", "searching", "surveying"]
