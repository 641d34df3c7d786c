"""Where the program finds itself: a checkout or an installed package."""

from __future__ import annotations

import runpy
import shlex
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from experiments_db import installation
from experiments_db.cli import app, explorer
from experiments_db.run import process
from experiments_db.store import open_store
from tests.sources import ROOT

OURS = '[project]\nname = "test-time-regression"\n'


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Lets a test move the program; what was found before is forgotten, and again afterwards."""
    answers = (installation.checkout, installation._called)
    for answer in answers:
        answer.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    for answer in answers:
        answer.cache_clear()


@pytest.mark.parametrize("text", [None, '[project]\nname = "other"\n', "[tool]\n", "no [ toml"])
def test_only_a_pyproject_of_this_name_makes_a_checkout(
    tmp_path: Path, anew: pytest.MonkeyPatch, text: str | None
) -> None:
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text)
    anew.setattr(installation, "ABOVE", tmp_path)
    anew.delenv("TTR_HOME")
    anew.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert installation.checkout() is None
    assert installation.app_folder() == tmp_path / "ttr_app"
    assert "PYTHONPATH" not in process.child_environment() or str(
        tmp_path
    ) not in process.child_environment()["PYTHONPATH"].split(":")
    if sys.platform == "linux":
        assert installation.data_folder() == tmp_path / "data" / "test-time-regression"


def test_a_checkout_keeps_its_runs_and_its_app(tmp_path: Path, anew: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text(OURS)
    anew.setattr(installation, "ABOVE", tmp_path)
    anew.delenv("TTR_HOME")
    assert open_store().path == tmp_path / "var" / "runs.duckdb"
    assert installation.app_folder() == tmp_path
    assert process.child_environment()["PYTHONPATH"].split(":")[0] == str(tmp_path)


def test_this_is_a_checkout() -> None:
    assert installation.checkout() == ROOT
    assert (installation.app_folder() / "app.py").samefile(ROOT / "app.py")


def test_variables_win(tmp_path: Path, anew: pytest.MonkeyPatch) -> None:
    anew.setattr(installation, "ABOVE", tmp_path)
    anew.setenv("TTR_HOME", str(tmp_path / "home"))
    assert open_store().path == tmp_path / "home" / "runs.duckdb"
    anew.setenv("TTR_DB", str(tmp_path / "one.duckdb"))
    assert open_store().path == tmp_path / "one.duckdb"


def called(anew: pytest.MonkeyPatch, above: Path, scripts: Path, path: str, argv: str) -> str:
    anew.setattr(installation, "ABOVE", above)
    anew.setattr(installation.sysconfig, "get_path", lambda name: str(scripts))
    anew.setenv("PATH", path)
    anew.setattr(sys, "argv", [argv])
    return installation.command("runs")


def test_the_program_is_named_as_it_is_called_here(
    tmp_path: Path, anew: pytest.MonkeyPatch
) -> None:
    scripts, other, nothing = tmp_path / "a bin", tmp_path / "other", tmp_path / "none"
    for folder in (scripts, other):
        folder.mkdir()
        (folder / "ttr").write_text("#!/bin/sh\n")
        (folder / "ttr").chmod(0o755)
    full = shlex.join([str(scripts / "ttr"), "runs"])
    cases = {  # where the package is, where scripts are, PATH, what was typed
        (ROOT, nothing, "/bin", "batch.py"): "python batch.py runs",
        (ROOT, scripts, str(scripts), "x/batch.py"): "python batch.py runs",
        (ROOT, nothing, "/bin", "streamlit"): "python batch.py runs",
        (ROOT, nothing, str(other), "streamlit"): "python batch.py runs",  # not its own
        (ROOT, scripts, str(scripts), "streamlit"): "ttr runs",
        (ROOT, scripts, "/bin", "streamlit"): full,  # the environment is not activated
        (ROOT, scripts, str(other), "streamlit"): full,  # another installation is
        (nothing, scripts, str(scripts), str(scripts / "ttr")): "ttr runs",
        (nothing, nothing, str(other), str(other / "ttr")): "ttr runs",  # pip install --user
        (nothing, nothing, "/bin", "-m"): f"{sys.executable} -m experiments_db runs",
    }
    for case, said in cases.items():
        installation.checkout.cache_clear()
        installation._called.cache_clear()
        assert called(anew, *case) == said, case


def test_what_is_missing_is_named_with_its_extra() -> None:
    for package, extra in (("streamlit.web", "app"), ("ray", "ray"), ("duckdb", "lab"),
                           ("optuna", "search")):  # fmt: skip
        said = installation.lacking(ModuleNotFoundError(name=package))
        assert said and f"pip install 'test-time-regression[{extra}]'" in said
    for own in ("ttr_core.nowhere", "experiments_db.nowhere", None):
        assert installation.lacking(ModuleNotFoundError(name=own)) is None


def test_the_app_says_that_its_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(explorer.os, "execv", lambda *words: pytest.fail("it was started"))
    done = CliRunner().invoke(app, ["app"])
    assert done.exit_code == 1
    assert "pip install 'test-time-regression[app]'" in done.stderr


def test_the_next_free_port_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(explorer.os, "execv", lambda program, words: asked.extend(words))
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        done = CliRunner().invoke(app, ["app", "--port", str(port), "--headless"])
    free = next(word for word in asked if word.startswith("--server.port=")).partition("=")[2]
    assert int(free) > port and "--server.headless=true" in asked
    assert f"Port {port} is busy; using {free}." in done.stderr
    assert f"http://localhost:{free} " in done.stderr


def test_the_server_has_the_settings_of_the_app() -> None:
    settings = runpy.run_path(str(ROOT / "pages/_shared/server.py"))["settings"]
    found = settings(ROOT, ["--server.port=8601", "--server.headless=false"])
    assert (found["server.port"], found["server.headless"]) == (8601, False)
    assert (found["server.address"], found["browser.gatherUsageStats"]) == ("127.0.0.1", False)
    assert found["theme.light.primaryColor"].startswith("#")


def test_the_server_answers_to_the_names_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = runpy.run_path(str(ROOT / "pages/_shared/server.py"))["settings"]
    own = settings(ROOT, ["--server.port=8601"])["server.allowedHosts"]
    assert own == ["localhost", "127.0.0.1"]
    monkeypatch.setenv("TTR_HOSTS", "runs.example.org, other.example.org")
    found = settings(ROOT, ["--server.port=8601"])["server.allowedHosts"]
    assert found == [*own, "runs.example.org", "other.example.org"]
    for wrong in ("*", "*.example.org", "https://runs.example.org", "runs.example.org:443"):
        monkeypatch.setenv("TTR_HOSTS", wrong)
        with pytest.raises(SystemExit, match="is no host name"):
            settings(ROOT, ["--server.port=8601"])


def test_no_free_port_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "TRIED", 1)
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = str(busy.getsockname()[1])
        done = CliRunner().invoke(app, ["app", "--port", port])
    assert done.exit_code == 1 and "--port 9000" in done.stderr


@pytest.mark.parametrize("variable", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_a_browser_is_opened_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("CI", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not explorer.has_display()
    monkeypatch.setenv(variable, ":0")
    assert explorer.has_display()
    monkeypatch.setenv("CI", "true")
    assert not explorer.has_display()
