"""What the server does before the first visitor comes."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sources import tree

ROOT = Path(__file__).resolve().parents[2]
PAGES = [path for path in sorted((ROOT / "pages").glob("*.py")) if path.stem != "__init__"]
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


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_enters_before_it_imports_what_the_server_is_loading(path: Path) -> None:
    lines = [ast.unparse(node) for node in tree(path).body[1:]]
    assert lines[:3] == [
        "import streamlit as st", "from pages._shared import front_door", "front_door.enter()",
    ]  # fmt: skip


def test_only_a_page_itself_tells_its_address_and_last() -> None:
    for path in (ROOT / "pages").rglob("*.py"):
        lines = path.read_text(encoding="utf-8").splitlines()
        told = [i for i, line in enumerate(lines, 1) if line.strip() == "address.tell()"]
        assert told == ([len(lines)] if path in PAGES else []), path


def test_what_runs_before_all_is_loaded_imports_nothing_of_it() -> None:
    asked = (
        "import sys; from pages._shared import front_door, history, ready; print([*sys.modules])"
    )
    command = [sys.executable, "-c", asked]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "'pages._shared.ready'" in said
    assert "'ttr_core'" not in said and "'experiments_db'" not in said
