"""Empty stores, copied: making one migrates it through every schema that there was.

And they do not wait a quarter of a second between two commits, unless a test asks for that.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from experiments_db.store import store
from experiments_db.store.files import workplace
from experiments_db.store.migrations import SCHEMA, create
from experiments_db.store.swap import publish


@contextmanager
def copied_stores(folder: Path) -> Iterator[None]:
    """Lets every new store of this process be a copy of one that is made in ``folder``.

    It takes its place as any other does. Other processes, and schemas of a test, make their own.
    """
    made = folder / "ready.duckdb"
    create(made, SCHEMA)

    def copied(path: Path, schema: Path) -> None:
        if schema != SCHEMA:
            create(path, schema)
            return
        with workplace(path) as work:
            publish(Path(shutil.copy(made, work / path.name)), path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "create", copied)
        patch.setattr(store, "INTERVAL", 0.0)
        yield
