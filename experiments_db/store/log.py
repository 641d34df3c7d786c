"""The log beside a store: what was claimed, stored, changed and refused."""

from __future__ import annotations

import contextlib
import logging
import os
from logging.handlers import RotatingFileHandler
from pathlib import Path

from ..errors import WrongVariable

BYTES, FILES = 1_000_000, 3
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
FORMAT = "%(asctime)s %(process)d %(levelname)s %(module)s: %(message)s"


class StoreLog(RotatingFileHandler):
    """A rotating file that is open only while a line is written.

    Several processes write it: one that kept it open would go on in a file that another rotated.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line."""
        super().emit(record)
        if self.stream is not None:
            with contextlib.suppress(OSError):  # what could not be written is tried again here
                self.stream.close()
            self.stream = None

    def handleError(self, record: logging.LogRecord) -> None:
        """Drops a line that cannot be written: a full disk is reported where it matters."""


def logger_of(path: Path) -> logging.Logger:
    """Returns the logger of the store at ``path``; its level is TTR_LOG, INFO by default.

    Raises:
        WrongVariable: TTR_LOG names no level.
    """
    level = os.environ.get("TTR_LOG", "").upper() or "INFO"
    if level not in LEVELS:
        raise WrongVariable(f"TTR_LOG is {level[:80]!r}; valid levels: {', '.join(LEVELS)}.")
    logger = logging.getLogger(f"experiments_db.store:{str(path).replace('.', '_')}")
    if not logger.handlers:
        logger.addHandler(handler_of(path))
        logger.propagate = False
    logger.setLevel(level)
    return logger


def handler_of(path: Path) -> logging.Handler:
    """Returns a handler that writes into the log of the store at ``path``."""
    handler = StoreLog(
        f"{path}.log", maxBytes=BYTES, backupCount=FILES, encoding="utf-8", delay=True
    )
    handler.setFormatter(logging.Formatter(FORMAT))
    return handler
