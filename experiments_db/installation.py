"""Where this program stands, a checkout or an installed package, and how it is called there."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
import tomllib
from functools import lru_cache
from importlib import metadata
from pathlib import Path

PROJECT = "test-time-regression"
SCRIPT = "ttr"
EXTRAS = {
    "streamlit": "app",
    "altair": "app",
    "vl_convert": "app",
    "ray": "ray",
    "optuna": "search",
}
"""The extra that brings a package; every other one comes with ``lab``."""

ABOVE = Path(__file__).resolve().parents[1]
"""The repository, or the folder that packages are installed in."""


@lru_cache(maxsize=1)
def checkout() -> Path | None:
    """Returns the repository, or None where the package is installed from a wheel.

    A checkout has this project's pyproject.toml beside its packages; an editable installation is
    one.
    """
    try:
        text = (ABOVE / "pyproject.toml").read_text(encoding="utf-8")
        named = tomllib.loads(text).get("project", {}).get("name")
    except (OSError, ValueError):
        return None
    return ABOVE if named == PROJECT else None


def installed() -> bool:
    """Says whether Python finds these packages in any folder, as a wheel or an editable one."""
    try:
        metadata.distribution(PROJECT)
    except metadata.PackageNotFoundError:
        return False
    return True


def data_folder() -> Path:
    """Returns where the store lies, unless TTR_DB names its file.

    TTR_HOME, if it is set; in a checkout ``var/``; else the platform's folder for data, which
    outlives the environment that the package is installed in.
    """
    if said := os.environ.get("TTR_HOME"):
        return Path(said)
    if repository := checkout():
        return repository / "var"
    from platformdirs import user_data_path

    return user_data_path(PROJECT, appauthor=False)


def app_folder() -> Path:
    """Returns the folder of app.py, its pages and its ``.streamlit/config.toml``."""
    return checkout() or ABOVE / "ttr_app"


def command(*words: str) -> str:
    """Returns a command line that calls this program with some words, to be pasted in a shell.

    Example:
        >>> command("runs", "--where", "task = 'mqar'").endswith('''"task = 'mqar'"''')
        True
    """
    return " ".join(map(_quoted, [*_called(), *words]))


def _quoted(word: str) -> str:
    """Returns a word as a shell takes it: text in SQL as people would quote it."""
    plain = "'" in word and not set(word) & set('"$`\\!')
    return f'"{word}"' if plain else shlex.quote(word)


def lacking(error: ModuleNotFoundError) -> str | None:
    """Returns what to say where a package is not installed; None where the fault is ours."""
    missing = (error.name or "").partition(".")[0]
    if missing in ("", "ttr_core", "experiments_db"):
        return None
    wanted = f"{PROJECT}[{EXTRAS.get(missing, 'lab')}]"
    return f"This needs {missing}, which is not installed here: pip install '{wanted}'"


@lru_cache(maxsize=1)
def _called() -> tuple[str, ...]:
    """Returns the words that start this program here."""
    if Path(sys.argv[0]).name == "batch.py":
        return "python", "batch.py"
    script = Path(sysconfig.get_path("scripts")) / SCRIPT
    found = shutil.which(SCRIPT)
    if script.exists():  # by its path where the environment is not activated
        return (SCRIPT,) if found and script.samefile(found) else (str(script),)
    if checkout():
        return "python", "batch.py"
    return (SCRIPT,) if found else (sys.executable, "-m", __package__)
