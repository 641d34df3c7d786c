"""Which runs are picked: kept as run ids, so that no new row and no filter moves a selection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from experiments_db.errors import StoreError
from experiments_db.read import queries
from experiments_db.store import Store
from pages._shared import address, params

IN_ADDRESS = 50  # an address with more ids than that is too long to be shared
PICKED, TURN, BEFORE = "run", "picked.turn", "picked.before"


@dataclass(frozen=True)
class Picks(params.Param):
    """Ids of runs of a store, of which an address holds the first ones.

    Args:
        store: where they are; others are named and left out.
    """

    store: Store = field(compare=False)

    @property
    def default(self) -> list[str]:
        return []

    def read(self, key: str, said: Sequence[str]) -> tuple[list[str], list[str]]:
        named = [text for text in dict.fromkeys(said) if text]
        asked, more = named[:IN_ADDRESS], params.more_than_fit(key, len(named), IN_ADDRESS)
        try:
            there = queries.there(self.store, asked)
        except StoreError:  # the table says what is wrong with it
            return asked, more
        gone = [one[: params.SHOWN_CHARS] for one in asked if one not in there]
        told = [f"The store has no run {one!a}: it may have been deleted." for one in gone]
        return [one for one in asked if one in there], told + more

    def write(self, value: Any) -> list[str]:
        return list(value or ())[:IN_ADDRESS] or [""]


def take_over(store: Store) -> None:
    """Takes the picked runs over from the address."""
    address.take({PICKED: Picks(store)})
    now = tuple(picked())
    if st.session_state.setdefault(BEFORE, now) != now:  # by Back, say: the table is to follow
        pick(now)


def picked() -> list[str]:
    """Returns the ids of the picked runs."""
    ids: list[str] = address.value(PICKED)
    return ids


def turn() -> int:
    """Returns how often runs were picked by other means than the table.

    A table keeps its ticks by its key; with this number in the key it takes up the new ones.
    """
    return st.session_state.get(TURN, 0)


def pick(ids: Sequence[str]) -> None:
    """Makes these the picked runs, in the table too."""
    st.session_state[TURN] = turn() + 1
    _keep(ids)


def _keep(ids: Sequence[str]) -> None:
    """Notes the picked runs."""
    address.put(PICKED, list(dict.fromkeys(ids)))
    st.session_state[BEFORE] = tuple(picked())


def rows_of(members: Sequence[Sequence[str]]) -> list[int]:
    """Returns the rows to tick: those all of whose runs are picked."""
    chosen = set(picked())
    return [row for row, ids in enumerate(members) if chosen.issuperset(ids)]


def follow(members: Sequence[Sequence[str]], before: Sequence[int], now: Sequence[int]) -> None:
    """Picks the runs of rows that were ticked and drops those of rows that were unticked.

    Runs that are picked but not in the table (a filter hides them) stay picked.

    Args:
        members: the run ids of each row.
        before: the rows that were ticked when the table was drawn.
        now: the rows that are ticked.
    """
    rows = [row for row in now if row < len(members)]
    dropped = {run_id for row in set(before) - set(rows) for run_id in members[row]}
    added = [run_id for row in rows if row not in set(before) for run_id in members[row]]
    _keep([run_id for run_id in picked() if run_id not in dropped] + added)
