"""The command line: each command a few lines; what it shows."""

from . import measuring, reproducing, surveying
from .commands import app

__all__ = ["app", "measuring", "reproducing", "surveying"]
