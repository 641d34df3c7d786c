"""The store: one DuckDB file, everything that writes to it, and what keeps it whole."""

from ..errors import StoreError
from .store import Claim, Driver, Live, NewRun, Outcome, Store, open_store

__all__ = ["Claim", "Driver", "Live", "NewRun", "Outcome", "Store", "StoreError", "open_store"]
