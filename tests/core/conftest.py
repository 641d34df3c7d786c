"""Warnings are errors, and torch runs on one thread; nothing beyond torch and pytest is needed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # for streams.py and papers.py


@pytest.fixture(autouse=True)
def strict() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
