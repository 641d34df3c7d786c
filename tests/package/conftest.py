"""The package as others get it: built once, installed twice."""

from __future__ import annotations

import sysconfig
import tarfile
from pathlib import Path

import pytest

from tests.package.environment import Environment, build, needed_by, tops
from tests.sources import ROOT


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked sdist of this checkout."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build(ROOT, "sdist", folder)) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (root,) = (folder / "unpacked").iterdir()
    return root


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    """The package with all extras that the tests have."""
    packages = Path(sysconfig.get_path("purelib"))
    return Environment(tmp_path_factory.mktemp("installed"), packages, wheel)


@pytest.fixture(scope="session")
def core_only(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    """The package with PyTorch, what PyTorch needs, and nothing else."""
    folder = tmp_path_factory.mktemp("core")
    packages = folder / "packages"
    packages.mkdir()
    for top in tops(needed_by("torch", set())):
        (packages / top.name).symlink_to(top)
    return Environment(folder, packages, wheel)
