"""What every page shares: the store, one door for computations, and how to say that it failed."""

from __future__ import annotations

import os
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import urlencode, urlsplit, urlunsplit

import streamlit as st
import torch

from experiments_db.errors import StoreError
from experiments_db.run.supervisor import Supervisor, get_supervisor
from experiments_db.store import Store, open_store
from ttr_core import how_many

STATUS_COLORS = {
    "finished": "green",
    "diverged": "orange",
    "failed": "red",
    "cancelled": "gray",
    "interrupted": "gray",
    "running": "blue",
    "queued": "blue",
    "existing": "violet",
}
STATUS_ICONS = {
    "finished": ":material/check_circle:",
    "diverged": ":material/trending_up:",
    "failed": ":material/error:",
    "cancelled": ":material/cancel:",
    "interrupted": ":material/power_off:",
    "running": ":material/play_circle:",
    "queued": ":material/hourglass_empty:",
    "existing": ":material/history:",
}


@st.cache_resource(show_spinner=False)
def _door() -> threading.BoundedSemaphore:
    """Returns the one door of all sessions; a place fewer than there are processors."""
    return threading.BoundedSemaphore(max(1, (os.cpu_count() or 2) - 1))


@contextmanager
def computing() -> Iterator[None]:
    """Lets few computations in at a time, so that the server always answers.

    Each has one thread: pools of several sessions on the same processors slow each other down
    many times over, and the number is a property of the thread that asks.
    """
    with _door():
        torch.set_num_threads(1)
        yield


def store() -> Store | None:
    """Returns the store, or shows why there is none."""
    try:
        return open_store()
    except StoreError as error:
        failed("The store of runs cannot be used", str(error))
        return None


def supervisor() -> Supervisor | None:
    """Returns this server's Supervisor, or shows why there is none."""
    try:
        return get_supervisor()
    except StoreError as error:
        failed("The store of runs cannot be used", str(error))
        return None


def failed(headline: str, text: str) -> None:
    """Shows what went wrong; the text may come from anywhere, so it is no markdown."""
    with st.container(border=True):
        st.badge(headline, icon=":material/error:", color="red")
        st.text(text)


def escaped(text: str) -> str:
    """Returns text that shows as it stands where markdown is read, as on buttons."""
    return re.sub(r"([\\`*_{}\[\]()#+\-!|$<>~:^])", r"\\\1", text)


def status_badge(status: str) -> None:
    """Shows the status of a run in words, color and shape."""
    st.badge(
        status,
        icon=STATUS_ICONS.get(status, ":material/help:"),
        color=STATUS_COLORS.get(status, "gray"),  # type: ignore[arg-type]
    )


def session_id() -> str:
    """Returns a name of this browser session, by which it watches its runs."""
    return st.session_state.setdefault("session_id", uuid.uuid4().hex)


@st.cache_resource(scope="session", show_spinner=False, on_release=lambda leave: leave())
def _on_leaving(session: str, _supervisor: Supervisor) -> Callable[[], None]:
    """Arranges that a session that ends stops watching; a run nobody watches is cancelled.

    What is returned runs on the server's event loop, so it may only set a timestamp.
    """
    return lambda: _supervisor.unwatch(session)


def watch_until_left(supervisor: Supervisor) -> str:
    """Returns the session's name, whose watching stops when the browser goes away."""
    session = session_id()
    _on_leaving(session, supervisor)
    return session


def permalink(values: Mapping[str, Sequence[str]]) -> str:
    """Returns an address of the page on show with the texts of some values."""
    address = urlsplit(st.context.url or "")
    return urlunsplit(
        (address.scheme, address.netloc, address.path or "/", urlencode(values, doseq=True), "")
    )


def waiting(before: int) -> str:
    """Returns what a run waits for, in words."""
    if before == 0:
        return "It is the next to run, as soon as a worker is free."
    return f"{before} {'run waits' if before == 1 else 'runs wait'} before it."


def seconds(value: float | None) -> str:
    """Returns a duration as people read it."""
    if value is None or value != value:
        return "–"
    if value < 90:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def percent(value: float | None) -> str:
    """Returns a share as people read it."""
    return "–" if value is None or value != value else f"{100 * value:.1f} %"


def count_of(number: int, one: str, many: str = "") -> str:
    """Returns a number of things, with thin spaces between thousands."""
    return how_many(number, one, many).replace(",", "\u2009")


def count(value: float | None) -> str:
    """Returns a number with thin spaces between thousands."""
    return "–" if value is None or value != value else f"{value:,.0f}".replace(",", "\u2009")
