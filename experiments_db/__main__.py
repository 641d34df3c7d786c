"""The door of the command ``ttr``, which says what is missing where only a part is installed."""

from __future__ import annotations

import os
import sys

from .installation import lacking


def main() -> None:
    """Runs the command line.

    Raises:
        SystemExit: always; with a sentence if a package is not installed.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the caller closed it: what would be printed there is lost
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    try:
        from .cli import app

        app()
    except ModuleNotFoundError as error:
        if (sentence := lacking(error)) is None:
            raise
        sys.exit(sentence)


if __name__ == "__main__":
    main()
