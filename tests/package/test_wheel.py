"""What is in the package, and that it asks for what requirements.txt lists."""

from __future__ import annotations

import re
import subprocess
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import ttr_core as ttr
from tests.package.environment import build
from tests.sources import ROOT

APP = ("app.py", ".streamlit/config.toml", "docs/images/icon.png", "docs/images/name.svg")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LISTED = [
    Requirement(line)
    for line in (ROOT / "requirements.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def held(wheel: Path) -> dict[str, bytes]:
    return contents(wheel)


def shipped(folder: str) -> dict[str, Path]:
    """Returns every file of a folder that belongs to the project."""
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)): path for path in found if "__pycache__" not in path.parts}


def test_three_packages_stand_at_the_top_and_nothing_else(held: dict[str, bytes]) -> None:
    tops = {name.partition("/")[0] for name in held}
    (described,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops - {described} == {"ttr_core", "experiments_db", "ttr_app"}
    assert described == f"test_time_regression-{ttr.__version__}.dist-info"


def test_every_file_of_the_packages_is_there_as_it_is(held: dict[str, bytes]) -> None:
    wanted = {**shipped("ttr_core"), **shipped("experiments_db")}
    app = {**{name: ROOT / name for name in APP}, **shipped("pages")}
    wanted |= {f"ttr_app/{name}": path for name, path in app.items()}
    packed = {name for name in held if ".dist-info/" not in name}
    assert packed == set(wanted)
    assert [name for name, path in wanted.items() if held[name] != path.read_bytes()] == []


def test_what_is_no_python_is_not_forgotten(held: dict[str, bytes]) -> None:
    assert {"ttr_core/py.typed", "experiments_db/py.typed"} <= set(held)
    schema = [f"experiments_db/schema/{p.name}" for p in ROOT.glob("experiments_db/schema/*.sql")]
    assert schema and set(schema) <= set(held)


def test_an_sdist_makes_the_same_wheel(
    held: dict[str, bytes], unpacked: Path, tmp_path: Path
) -> None:
    again = contents(build(unpacked, "wheel", tmp_path))
    assert {n: b for n, b in again.items() if not n.endswith("RECORD")} == {
        n: b for n, b in held.items() if not n.endswith("RECORD")
    }


def test_the_sdist_holds_what_the_repository_tracks_and_nothing_of_a_user(unpacked: Path) -> None:
    asked = ["git", "-C", str(ROOT), "ls-files", "-z"]
    listed = subprocess.run(asked, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no repository")
    tracked = {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
    packed = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert tracked - packed == set()
    assert {name.split("/")[0] for name in packed - tracked} & {"var", ".venv", ".git"} == set()
    assert [name for name in packed if name.endswith((".duckdb", ".pyc"))] == []


@pytest.fixture(scope="module")
def about(held: dict[str, bytes]) -> Message:
    (text,) = (body.decode() for name, body in held.items() if name.endswith("/METADATA"))
    return Parser().parsestr(text)


def test_the_package_says_what_it_is(about: Message, held: dict[str, bytes]) -> None:
    assert about["Name"] == "test-time-regression"
    assert about["Version"] == ttr.__version__
    assert about["Requires-Python"] == "<3.14,>=3.11"
    assert about["License-Expression"] == "Apache-2.0"
    assert set(about.get_all("Provides-Extra")) == {"lab", "app", "ray", "search"}
    assert [n for n in held if n.endswith("licenses/LICENSE")]
    (script,) = (body.decode() for name, body in held.items() if "entry_points" in name)
    assert re.search(r"^ttr = experiments_db\.__main__:main$", script, re.M)


def test_the_core_needs_pytorch_alone(about: Message) -> None:
    always = [r for r in map(Requirement, about.get_all("Requires-Dist")) if r.marker is None]
    assert [wanted.name for wanted in always] == ["torch"]


def test_the_ranges_are_those_of_requirements_txt() -> None:
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *extras["lab"], *extras["app"]]
    asked = [wanted for wanted in map(Requirement, lines) if wanted.name != PROJECT["name"]]
    assert {(r.name, str(r.specifier)) for r in asked} == {
        (r.name, str(r.specifier)) for r in LISTED
    }


def test_the_tests_draw_by_the_sampler_that_the_extra_brings() -> None:
    listed = (ROOT / "tests/requirements.txt").read_text().splitlines()
    assert set(PROJECT["optional-dependencies"]["search"]) & set(listed) == {"optuna>=4.5,<6"}


def test_other_extras_bring_the_lab() -> None:
    for extra in ("app", "ray", "search"):
        assert f"{PROJECT['name']}[lab]" in PROJECT["optional-dependencies"][extra]
