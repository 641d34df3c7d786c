"""Commands of a copy of the project, several in one process: loading torch is paid once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

COMMANDS = """
import json, sys
from typer.testing import CliRunner
from experiments_db.cli import app
for command in json.loads(sys.argv[1]):
    done = CliRunner().invoke(app, command)
    said = f"{command}: {done.stdout[-2000:]} {done.stderr[-3000:]}"
    assert done.exit_code == 0 and "Traceback" not in done.stderr, said
    print(json.dumps(done.stdout))
"""


def given(folder: Path, store: Path, *commands: list[str]) -> list[str]:
    """Gives commands to the project in a folder, one after the other.

    Args:
        folder: a copy of the project; the commands run there.
        store: the file in which runs are kept.
        commands: the words of each; all must succeed.

    Returns:
        What each prints.
    """
    environment = {**os.environ, "TTR_DB": str(store), "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(commands)],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]
