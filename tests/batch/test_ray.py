"""Runs by Ray. What starts it runs in a network of its own with nothing but ``lo``.

Where no such network can be made, or Ray is not installed, that is skipped and says why; the words
for what is wrong are tested without Ray.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from experiments_db.cli import app

ROOT = Path(__file__).resolve().parents[2]
INSIDE = Path(__file__).with_name("ray_inside.py")
ALONE = ("unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
"""Starts a command in a network of its own."""

TESTS = [
    node.name
    for node in ast.parse(INSIDE.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
]


def obstacle() -> str | None:
    """Returns why Ray cannot be started here, or None."""
    if importlib.util.find_spec("ray") is None:
        return "Ray is not installed: pip install 'test-time-regression[ray]'"
    try:
        subprocess.run([*ALONE, "true"], check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        return f"no network of its own: {error}"
    except subprocess.CalledProcessError as error:
        return f"no network of its own: {error.stderr.strip()}"
    return None


@pytest.fixture(scope="module")
def inside() -> dict[str, str]:
    """What became of each test inside: its name -> what it said when it failed, or an empty text.

    Ray's folder has a short name, since the paths of its sockets are limited.
    """
    if (why := obstacle()) is not None:
        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="r") as place:
        report = Path(place) / "report.xml"
        path = os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
        own = {"HOME": place, "RAY_TMPDIR": place, "PYTHONPATH": path.rstrip(os.pathsep)}
        call = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--full-grid"]
        warnings = ["-o", "filterwarnings="]  # Ray's are not ours
        done = subprocess.run(
            [*ALONE, *call, *warnings, f"--junitxml={report}", str(INSIDE)],
            cwd=ROOT, env={**os.environ, **own}, capture_output=True, text=True,
        )  # fmt: skip
        assert report.exists(), done.stdout + done.stderr
        found: dict[str, str] = {}
        for case in ElementTree.parse(report).iter("testcase"):
            name = str(case.get("name")).partition("[")[0]
            said = "".join(str(part.text) for part in case if part.tag in ("failure", "error"))
            found[name] = found.get(name, "") + said
        return found


@pytest.mark.slow
@pytest.mark.parametrize("name", TESTS)
def test_by_ray(inside: dict[str, str], name: str) -> None:
    assert inside[name] == ""


# ---- words that need no Ray


def sweep(tmp_path: Path, *words: str) -> tuple[int, str]:
    plan = tmp_path / "plan.yaml"
    plan.write_text("layers: gla\ntasks: {name: regression, seq_len: 16, dim: 4}\n")
    asked = ["sweep", str(plan), "--db", str(tmp_path / "runs.duckdb"), *words]
    done = CliRunner().invoke(app, asked)
    return done.exit_code, done.stderr


def test_an_executor_that_there_is_not_is_named(tmp_path: Path) -> None:
    code, said = sweep(tmp_path, "--executor", "rya")
    assert code == 2 and "rya" in said and "ray" in said


def test_an_address_needs_ray(tmp_path: Path) -> None:
    code, said = sweep(tmp_path, "--address", "head:6379")
    assert code == 2 and "--executor ray" in said


def test_ray_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "experiments_db.run.cluster", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    code, said = sweep(tmp_path, "--executor", "ray")
    assert code == 1 and "pip install 'test-time-regression[ray]'" in said
    assert sweep(tmp_path, "--executor", "ray", "--dry-run")[0] == 0, "a dry run needs no cluster"


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
@pytest.mark.parametrize("address", ["", "head", "ray://head:1", "head:port", "a b:1", "head:1/x"])
def test_an_address_that_is_none_is_refused_before_ray_starts(tmp_path: Path, address: str) -> None:
    code, said = sweep(tmp_path, "--executor", "ray", "--address", address)
    assert code == 2 and "HOST:PORT" in said


def test_a_ray_of_our_own_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    from experiments_db.run.joining import joined

    def init(**settings: object) -> None:
        raise Exception("The current node timed out during startup.")  # Ray's own class for it

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(ConnectionError, match="could not be started on this machine: The current"):
        joined("local")
