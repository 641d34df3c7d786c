"""The sidebar of Runs: what to list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from experiments_db.records import STATUSES
from experiments_db.store import Store
from ttr_core.errors import unknown
from ttr_core.tasks import TASKS

LIMITS = (50, 200, 1000, 5000)


@dataclass(frozen=True)
class Filters:
    """What to list; hashable, so that it can key a cache.

    Args:
        status: statuses to keep, or none for all.
        task: tasks to keep, or none for all.
        text: what must stand in a run's id, layer, spec, task, note or tags.
        starred: only starred ones.
        archived: the archived ones too.
        limit: rows at most.
    """

    status: tuple[str, ...]
    task: tuple[str, ...]
    text: str
    starred: bool
    archived: bool
    limit: int

    def query(self) -> dict[str, Any]:
        """Returns the arguments of `queries.runs`."""
        return {
            "status": list(self.status) or None,
            "task": list(self.task) or None,
            "text": self.text or None,
            "starred": True if self.starred else None,
            "archived": self.archived,
            "limit": self.limit,
        }


def sidebar(store: Store) -> Filters:
    """Shows the filters and returns what they hold."""
    wrong = [*_unknown("runs.status", STATUSES, "status"), *_unknown("runs.task", TASKS, "task")]
    with st.sidebar:
        filters = Filters(
            text=_search(),
            status=_pills("Status", STATUSES, "None chosen: every status."),
            task=_pills("Task", tuple(TASKS), "None chosen: every task."),
            starred=_toggle("Starred only", "runs.starred", "Runs that somebody starred."),
            archived=_toggle(
                "Archived too", "runs.archived", "Archived runs are hidden, not gone."
            ),
            limit=_limit(),
        )
        if store.readonly:
            st.caption("Read-only: this server changes nothing.")
        for sentence in wrong:
            st.text(sentence)
    return filters


def _search() -> str:
    text = st.text_input(
        "Search",
        key="runs.text",
        type="search",
        bind="query-params",
        max_chars=200,
        icon=":material/search:",
        help="In the run's id, layer, spec, task, note and tags.",
    )
    return text or ""


def _pills(label: str, options: tuple[str, ...], help: str) -> tuple[str, ...]:
    key = f"runs.{label.lower()}"
    chosen = st.pills(
        label, options, selection_mode="multi", key=key, bind="query-params", help=help
    )
    return tuple(chosen)


def _toggle(label: str, key: str, help: str) -> bool:
    return st.toggle(label, key=key, bind="query-params", help=help)


def _limit() -> int:
    return st.selectbox(
        "Rows at most", LIMITS, index=1, key="runs.limit", bind="query-params", help="Newest first."
    )


def _unknown(key: str, valid: Any, kind: str) -> list[str]:
    """Returns what the address asks for that does not exist; the control drops it."""
    asked = [] if key in st.session_state else st.query_params.get_all(key)
    return [str(unknown(kind, name[:80], valid)) for name in asked if name not in valid]
