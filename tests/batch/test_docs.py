"""docs/command-line.md and the code say the same."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from experiments_db.cli import app

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "command-line.md").read_text()
SECTIONS = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
EXAMPLES = re.findall(r"^\$ (python batch\.py .*)$", TEXT, re.MULTILINE)


def options(command: str) -> set[str]:
    return {text for p in COMMANDS[command].params for text in p.opts if text.startswith("--")}


def test_every_command_has_a_section_and_no_other() -> None:
    assert list(SECTIONS) == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_documented(command: str) -> None:
    documented = set(re.findall(r"^\| `(--[a-z-]+)`", SECTIONS[command], re.MULTILINE))
    assert documented == options(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(command: str) -> None:
    assert any(shlex.split(line)[2] == command for line in EXAMPLES)


@pytest.mark.parametrize("line", EXAMPLES)
def test_examples_use_what_exists(line: str) -> None:
    _, _, command, *rest = shlex.split(line)
    assert {part for part in rest if part.startswith("--")} <= options(command)


@pytest.mark.parametrize("line", [line for line in EXAMPLES if line.split()[2] == "run"])
def test_examples_of_runs_are_valid_requests(line: str) -> None:
    from experiments_db.run import request
    from experiments_db.run.brought import brought

    _, _, _, *rest = shlex.split(line)
    pairs = [(rest[i], rest[i + 1]) for i in range(len(rest) - 1) if rest[i].startswith("--")]
    given = dict(pairs)
    sets = [value for key, value in pairs if key == "--set"]
    own = given.get("--module")
    request.request(
        given.get("--layer"),
        given.get("--spec"),
        given.get("--task", "mqar"),
        sets=sets,
        module=None if own is None else brought(str(ROOT / own)).name,
    )
