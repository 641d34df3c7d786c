"""Builds the package, and environments that hold it without a download."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement


def build(source: Path, kind: str, target: Path) -> Path:
    """Builds a wheel or an sdist of a folder and returns the file."""
    call = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    subprocess.run(call, cwd=source, check=True, capture_output=True)
    (made,) = target.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


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
            cwd=folder or self.empty,
            capture_output=True,
            text=True,
            env=self.variables(**variables),
        )


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
