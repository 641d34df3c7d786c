"""Warnings are errors, and torch runs on one thread; nothing beyond torch and pytest is needed."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for streams.py and papers.py
