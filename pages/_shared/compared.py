"""Sides of a comparison and their curves, kept while the store stays as it is."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from experiments_db.read import comparing, queries
from experiments_db.read.comparing import Side
from experiments_db.store import Store


def sides_and_curves(
    store: Store, ids: Sequence[str], over_seeds: bool, smoothing: float = 0.0
) -> tuple[list[Side], list[str], pd.DataFrame]:
    """Returns the sides of a comparison, the ids that are gone, and the curves of the sides.

    Args:
        store: where the runs are.
        ids: as of `comparing.sides`.
        over_seeds: likewise.
        smoothing: as of `comparing.mean_curves`.

    Raises:
        StoreError: the store cannot be read.
    """
    version = queries.data_version(store)
    return _read_sides(str(store.path), version, tuple(ids), over_seeds, smoothing, store)


@st.cache_data(max_entries=20, show_spinner=False)
def _read_sides(
    path: str, version: str, ids: tuple[str, ...], over_seeds: bool, smoothing: float, _store: Store
) -> tuple[list[Side], list[str], pd.DataFrame]:
    """Reads them; ``path`` and ``version`` stand for what is stored."""
    found, missing = comparing.sides(_store, ids, over_seeds)
    return found, missing, comparing.mean_curves(_store, found, smoothing)
