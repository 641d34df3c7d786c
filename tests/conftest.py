"""What every test shares: a home of its own, one thread, fixed seeds, and who owns the clock.

Nothing beyond torch and pytest is imported here, so that tests/core runs with those two alone.
"""

from __future__ import annotations

import gc
import logging
import os
import random
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadFileScheduling

SLOW_SECONDS = 2.0
"""A test beyond this belongs under ``@pytest.mark.slow``, or must become faster."""

SHOWN, DEPTH = 5, len(Path(__file__).parts) - 1

USUAL = {"core": 0.03, "app": 0.7, "batch": 0.35, "store": 0.8, "test_drop_in.py": 11.0}
"""Seconds that a test takes about: of a folder or file of tests/, .02 elsewhere."""

SLOW, IN_BROWSER = 3.0, (8.0, 40.0)
"""And one that is marked slow without a number; in a browser one that is not, and one that is."""

BROWSER = {"test_browser.py", "test_first_seconds.py", "test_play.py", "test_walk.py"}
"""Files whose tests open the app in a browser: without the full grid one worker runs them all, so
that they share a server, and no two browsers take each other's time."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full-grid",
        action="store_true",
        help="also run what is marked slow or full_grid: every cell of the finite grid",
    )
    parser.addoption(
        "--learning", action="store_true", help="also train every layer of the catalog"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Points every store of this session, and of the processes it starts, to an empty folder."""
    home = tempfile.mkdtemp(prefix="ttr-tests-")
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    for name in [name for name in os.environ if name.startswith("TTR_")]:
        del os.environ[name]
    os.environ["TTR_HOME"] = home
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collects no garbage meanwhile, nor any among the tests from then on: they all stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left = [] if config.getoption("--full-grid") else ["slow", "full_grid"]
    left += [] if config.getoption("--learning") else ["learning"]
    extra = [item for item in items if any(map(item.get_closest_marker, left))]
    if extra:
        config.hook.pytest_deselected(items=extra)
        left_out = set(map(id, extra))
        items[:] = [item for item in items if id(item) not in left_out]
    spent: dict[str, float] = defaultdict(float)
    whole = config.getoption("--full-grid")
    units = {path: str(path) if whole else unit(path) for path in {i.path for i in items}}
    for item in items:
        spent[units[item.path]] += about(item)
    items.sort(key=lambda item: (-spent[units[item.path]], units[item.path]))
    # heaviest first: whoever gets the last file has little to do


def unit(file: Path) -> str:
    """Returns what one worker runs of a file: itself, or all that open the app in a browser."""
    return "browser" if file.name in BROWSER else str(file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadFileScheduling | None:
    """Gives each worker whole units; of the full grid files, as one browser would work for long."""
    if config.getoption("dist") != "loadfile" or config.getoption("--full-grid"):
        return None
    from xdist.scheduler import LoadFileScheduling

    class Units(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit(Path(nodeid.split("::", 1)[0]))

    return Units(config, log)  # type: ignore[arg-type]


def about(item: pytest.Item) -> float:
    """Returns the seconds that a test takes about, or is marked with: ``slow(seconds=40)``."""
    slow = item.get_closest_marker("slow")
    usual, long = USUAL.get(item.path.parts[DEPTH], 0.02), SLOW
    if "server" in getattr(item, "fixturenames", ()):
        usual, long = IN_BROWSER
    return usual if slow is None else slow.kwargs.get("seconds", long)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def chromium() -> str:
    """Returns the browser's path; without one the test is skipped, and fails in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None and os.environ.get("CI"):
        pytest.fail("CI must have Chromium: apt-get install chromium")
    if found is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    return found


@pytest.fixture(scope="session", autouse=True)
def first_seeds() -> None:
    """Seeds every device once, and lets torch's loggers speak through their root.

    For each device without a context ``torch.manual_seed`` prints a whole stack, and pytest hangs
    a handler on every logger that does not propagate: 1 ms a test and .4, where most take 10.
    """
    import torch

    torch.manual_seed(0)
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("torch") and isinstance(logger, logging.Logger):
            logger.propagate = True


@pytest.fixture(autouse=True)
def seeds(first_seeds: None) -> None:
    import torch

    random.seed(0)
    torch.set_num_threads(1)
    torch.default_generator.manual_seed(0)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the time of each folder, the slowest tests, and which of them overrun the budget."""
    spent: dict[str, float] = defaultdict(float)
    tests: dict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                spent[report.nodeid.split("::")[0].rpartition("/")[0]] += report.duration
                if report.when == "call":
                    tests[report.nodeid] += report.duration
    if sum(spent.values()) < SLOW_SECONDS:
        return
    terminalreporter.section("durations")
    folders = sorted(spent.items(), key=lambda item: -item[1])
    terminalreporter.write_line(", ".join(f"{name} {seconds:.0f} s" for name, seconds in folders))
    for name, seconds in sorted(tests.items(), key=lambda item: -item[1])[:SHOWN]:
        over = "  over the budget of a test" if seconds > SLOW_SECONDS else ""
        terminalreporter.write_line(f"{seconds:7.2f} s  {name}{over}")
