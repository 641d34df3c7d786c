"""The sidebar of Runs: filters that everything on the page obeys, all of them in the address."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from experiments_db.errors import StoreError
from experiments_db.read import choices, listing, measures, queries
from experiments_db.read.filters import Conditions
from experiments_db.read.sandbox import QueryError
from experiments_db.run.settings import sought
from experiments_db.store import Store
from experiments_db.store.records import STATUSES
from pages._shared import address, params, ui
from ttr_core import RequestError
from ttr_core.lab import TASKS, metrics

LIMITS = (50, 200, 1000, 5000)
VIEWS = ("runs", "configurations")
ORDERS = {
    "newest": ("started_at", True),
    **{
        f"{'highest' if metric.rises else 'least'} {metric.name}": (metric.name, metric.rises)
        for name, metric in metrics().items()
        if name in measures.mains()
    },
    "fastest": ("seconds", False),
}
"""How rows may be sorted: the measure, and whether the largest comes first."""

KEYS = ("text", "status", "task", "layer", "tags", "settings", "frame", "protocol", "device",
        "sql", "starred", "archived")  # fmt: skip
TEXT_CHARS, SQL_CHARS = 200, 2000


@dataclass(frozen=True)
class Filters:
    """What to list and how; hashable, so that it can key a cache.

    Args:
        view: one of `VIEWS`; a configuration has a row over its seeds.
        order: a key of `ORDERS`.
        limit: rows at most.
        text: what must stand in a run's id, layer, spec, task, note or tags.
        settings: ``key=value`` words that the config must meet.
        sql: a condition in SQL, run in a sandbox.
        starred: only starred ones.
        archived: the archived ones too.
        status: statuses to keep; this and the following are empty for all.
        task: tasks to keep.
        layer: layers to keep.
        tags: tags that a run must have, every one.
        frame: frames to keep.
        protocol: protocols to keep.
        device: devices to keep.
    """

    view: str
    order: str
    limit: int
    text: str
    settings: str
    sql: str
    starred: bool
    archived: bool
    status: tuple[str, ...]
    task: tuple[str, ...]
    layer: tuple[str, ...]
    tags: tuple[str, ...]
    frame: tuple[str, ...]
    protocol: tuple[str, ...]
    device: tuple[str, ...]

    def conditions(self, store: Store) -> Conditions:
        """Returns the filters as conditions on runs.

        Raises:
            RequestError: a setting is unknown.
            QueryError: the condition in SQL cannot be used.
            StoreError: the store cannot be read.
        """
        chosen = None
        if self.sql:
            version = queries.data_version(store)
            chosen = _chosen(str(store.path), version, self.sql, self.archived, store)
        return Conditions(
            ids=chosen,
            status=self.status or None,
            task=self.task or None,
            layer=self.layer or None,
            tags=self.tags or None,
            frame=self.frame or None,
            protocol=self.protocol or None,
            device=self.device or None,
            starred=True if self.starred else None,
            settings=sought(self.settings),
            text=self.text or None,
            archived=self.archived,
        )


@st.cache_data(max_entries=20, show_spinner="Asking the store…")
def _chosen(path: str, version: str, sql: str, archived: bool, _store: Store) -> tuple[str, ...]:
    with ui.computing():
        return tuple(listing.chosen(_store, sql, archived))


@st.cache_data(max_entries=20, show_spinner=False)
def there_is(path: str, version: str, _store: Store) -> choices.Choices:
    """Returns what occurs in the store; ``path`` and ``version`` stand for what it holds."""
    return choices.offered(_store)


def sidebar(store: Store) -> Filters:
    """Shows the filters and returns what they hold."""
    try:
        there = there_is(str(store.path), queries.data_version(store), store)
    except StoreError as error:
        ui.failed("The store could not be read", str(error))
        there = choices.Choices((), (), (), (), ())
    address.take(_params(there))
    wrong = address.problems()
    with st.sidebar:
        filters = _filters(there)
        if _active(filters):
            st.button("Clear the filters", icon=":material/filter_alt_off:", on_click=_clear)
        if store.readonly:
            st.caption("Read-only: this server changes nothing.")
        for sentence in wrong:
            st.text(sentence)
    return filters


def _params(there: choices.Choices) -> dict[str, params.Param]:
    """Returns how each filter is read from the address."""
    listed = {"status": STATUSES, "task": tuple(TASKS), "layer": there.layer, "tags": there.tags,
              "frame": there.frame, "protocol": there.protocol, "device": there.device}  # fmt: skip
    kinds = {"tags": "tag"}
    found: dict[str, params.Param] = {
        "view": params.first_of("view", VIEWS),
        "order": params.first_of("order", ORDERS),
        "limit": params.first_of("number of rows", LIMITS, LIMITS[1]),
        "text": params.Words(TEXT_CHARS),
        "settings": params.Words(TEXT_CHARS),
        "sql": params.Words(SQL_CHARS),
        "starred": params.Switch(),
        "archived": params.Switch(),
    }
    found |= {name: params.Several(kinds.get(name, name), tuple(v)) for name, v in listed.items()}
    return {f"runs.{name}": param for name, param in found.items()}


def _filters(there: choices.Choices) -> Filters:
    view, order, limit = _arrangement()
    shown = {
        "text": _text("text", "Search", "In the run's id, layer, spec, task, note and tags."),
        "status": _pills("status", STATUSES),
        "task": _pills("task", tuple(TASKS)),
        "layer": _several("layer", there.layer, "Any of these."),
        "tags": _several("tags", there.tags, "Every one of these."),
        "settings": _text(
            "settings", "Settings", "Words such as pairs=8 train.lr=0.003 seed=1; all must hold."
        ),
        "starred": _toggle("starred", "Starred only", "Runs that somebody starred."),
        "archived": _toggle("archived", "Archived too", "Archived runs are hidden, not gone."),
    }
    with st.expander("More filters", icon=":material/filter_alt:", expanded=_further()):
        shown["frame"] = _pills("frame", there.frame)
        shown["protocol"] = _pills("protocol", there.protocol)
        shown["device"] = _pills("device", there.device)
        shown["sql"] = _sql()
    return Filters(view=view, order=order, limit=limit, **shown)  # type: ignore[arg-type]


def _arrangement() -> tuple[str, str, int]:
    view = st.segmented_control(
        "Show",
        VIEWS,
        required=True,
        key="runs.view",
        help="A configuration is everything but the seed: its row has means and deviations.",
    )
    with st.container(horizontal=True, gap="small"):
        order = st.selectbox("First the", ORDERS, key="runs.order")
        limit = st.selectbox(
            "Rows at most",
            LIMITS,
            key="runs.limit",
            help="Exports and bulk actions reach beyond this, to all that match.",
        )
    return view or "runs", order, limit


def _text(name: str, label: str, help: str) -> str:
    said = st.text_input(
        label,
        key=f"runs.{name}",
        type="search" if name == "text" else "default",
        max_chars=TEXT_CHARS,
        icon=":material/search:" if name == "text" else None,
        placeholder="pairs=8 lr=0.01" if name == "settings" else None,
        help=help,
    )
    return (said or "").strip()[:TEXT_CHARS]


def _sql() -> str:
    said = st.text_area(
        "Condition in SQL",
        key="runs.sql",
        max_chars=SQL_CHARS,
        height=80,
        placeholder='accuracy > 0.9 AND "task.pairs" >= 8',
        help="Over the columns of an export, settings in double quotes. It runs in a sandbox that "
        "sees the runs and nothing else. The same as `runs --where` on the command line.",
    )
    return (said or "").strip()[:SQL_CHARS]


def _pills(name: str, options: tuple[str, ...]) -> tuple[str, ...]:
    chosen = st.pills(
        name.capitalize(),
        options,
        selection_mode="multi",
        key=f"runs.{name}",
        help=f"None chosen: every {name}.",
    )
    return tuple(chosen)


def _several(name: str, options: tuple[str, ...], help: str) -> tuple[str, ...]:
    chosen = st.multiselect(
        name.capitalize(),
        options,
        key=f"runs.{name}",
        placeholder="all" if options else "none yet",
        disabled=not options,
        help=help,
    )
    return tuple(chosen)


def _toggle(name: str, label: str, help: str) -> bool:
    return st.toggle(label, key=f"runs.{name}", help=help)


def _active(filters: Filters) -> bool:
    return any(getattr(filters, name) for name in KEYS)


def _further() -> bool:
    """Whether a filter that is out of sight is set."""
    hidden = [f"runs.{name}" for name in ("frame", "protocol", "device", "sql")]
    return any(address.value(key) for key in hidden)


def _clear() -> None:
    for name in KEYS:
        address.reset(f"runs.{name}")


WRONG = (RequestError, QueryError, StoreError)
"""What `Filters.conditions` raises."""
