"""Runs exported files where nothing but torch is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from ttr_core.tools import StandaloneLayer

RUNNER = """
import json, runpy, sys, torch

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ttr_core", "experiments_db", "pages", "tests"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Blocked())
for file in sys.argv[1:]:
    try:
        runpy.run_path(file, run_name="__main__")
        print(json.dumps([file, ""]))
    except BaseException as error:
        print(json.dumps([file, f"{type(error).__name__}: {error}"]))
"""
"""One process for many files: what it costs to load torch is paid once."""


def failures(layers: Iterable[StandaloneLayer], folder: Path) -> dict[str, str]:
    """Writes files, runs each alone, and returns title -> what went wrong."""
    titles = {}
    for i, layer in enumerate(layers):
        (folder / f"layer_{i}.py").write_text(layer.text)
        titles[str(folder / f"layer_{i}.py")] = layer.title
    call = [sys.executable, "-I", "-c", RUNNER, *titles]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True)
    said = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    return {t: said.get(f, done.stderr[-500:]) for f, t in titles.items() if said.get(f) != ""}
