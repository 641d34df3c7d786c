"""The package as others get it: built once, installed into environments without a download."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.sources import ROOT


def build(source: Path, kind: str, target: Path) -> Path:
    """Builds a wheel or an sdist of a folder and returns the file."""
    call = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    subprocess.run(call, cwd=source, check=True, capture_output=True)
    (made,) = target.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


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


class Environment:
    """A virtual environment with the package and what it needs.

    Args:
        folder: where it is made.
        packages: a folder that holds what is installed beside the package.
        wheel: the package.
    """

    def __init__(self, folder: Path, packages: Path, wheel: Path) -> None:
        self.folder, self.bin = folder, folder / "env" / "bin"
        self.empty, self.home = folder / "empty", folder / "home"
        self.empty.mkdir()
        self.home.mkdir()
        self._call(sys.executable, "-m", "venv", "--without-pip", str(folder / "env"))
        own = sysconfig.get_path("purelib", vars={"base": str(folder / "env")})
        (Path(own) / "packages.pth").write_text(f"{packages}\n")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
        pip += ["--python", str(self.bin / "python"), "install"]
        self._call(*pip, "--no-index", "--no-deps", "--no-compile", str(wheel))
        self.packages = Path(own)

    @staticmethod
    def _call(*words: str) -> None:
        subprocess.run(words, check=True, capture_output=True)

    def variables(self, **more: str) -> dict[str, str]:
        """Returns the variables of a shell of somebody who knows nothing of the repository."""
        known = ("PATH", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "LANG")
        return {
            **{name: os.environ[name] for name in known if name in os.environ},
            "HOME": str(self.home),
            **more,
        }

    def run(
        self, *words: str, folder: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment, in an empty folder unless another is given."""
        return subprocess.run(
            [str(self.bin / words[0]), *words[1:]],
            cwd=folder or self.empty, capture_output=True, text=True, env=self.variables(**variables),
        )  # fmt: skip


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


def needed_by(name: str, found: set[str]) -> set[str]:
    """Returns a distribution and all that it needs, by name."""
    name = re.sub(r"[-_.]+", "-", name).lower()
    if name in found:
        return found
    found.add(name)
    for line in metadata.requires(name) or ():
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            needed_by(wanted.name, found)
    return found


def tops(names: set[str]) -> Iterator[Path]:
    """Yields what the distributions put at the top of the folder of packages."""
    folder = Path(sysconfig.get_path("purelib"))
    parts = {f.parts[0] for name in names for f in metadata.files(name) or ()}
    yield from (folder / part for part in sorted(parts - {".."}) if (folder / part).exists())
