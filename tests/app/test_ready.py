"""What the server does before the first visitor comes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ASKED = """
import gc, sys
from pages._shared import ready
before = set(sys.modules)
ready.prepare()
pages = {name for name in sys.modules if name.startswith("pages.")}
print(sorted(pages), "torch" in sys.modules, "torch" in before, gc.get_freeze_count() > 100_000)
"""


@pytest.mark.slow  # a process that loads everything
def test_all_parts_of_pages_are_loaded_and_left_out_of_collections() -> None:
    asked = [sys.executable, "-c", ASKED]
    said = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    parts = [p for p in sorted((ROOT / "pages").glob("_*/*.py")) if p.stem != "__init__"]
    for part in parts:
        assert f"'pages.{part.parent.name}.{part.stem}'" in said, part
    assert "'pages.explore'" not in said  # a script, which would run
    assert said.endswith("True False True\n"), said
