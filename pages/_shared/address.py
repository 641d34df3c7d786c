"""The address of a page: it carries every value that the page shows, and it wins over the session.

A page begins, takes the values that its address may name, draws, and tells its address what it has
drawn. The address decides where somebody comes by it: the first visit of a session, Back and
Forward, a link that names values. It says nothing new where somebody changes a control, and where
the menu leads back to a page, which then shows what it showed.

A value at its default is not written, so that an address is as short as it can be; an emptied list
is, as ``compare=``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages._shared import history
from pages._shared.params import Param
from ttr_core import unknown

NOT_OURS = ("embed", "embed_options")  # names that Streamlit reads
STRANGE = 3  # so many names that nothing knows are named
HERE, KEPT = "address.here", "address.kept"
Query = dict[str, list[str]]


@dataclass
class Remembered:
    """What a session knows of a page.

    Args:
        values: by their names in the address.
        params: how each is read and written.
        implied: names that need not be written, because the others say what they are.
        asked: the address that is being read, or None where the session decides.
        taken: names of ``asked`` that are read already.
        told: the address as the page has written it last.
        brought_back: the address that a visit by the menu has written, over one without values.
        by_menu: whether this visit began by the menu.
        problems: what was wrong with the address.
    """

    values: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Param] = field(default_factory=dict)
    implied: frozenset[str] = frozenset()
    asked: Query | None = None
    taken: set[str] = field(default_factory=set)
    told: Query | None = None
    brought_back: Query | None = None
    by_menu: bool = False
    problems: list[str] = field(default_factory=list)

    def stands_for_itself(self, now: Query, arrived: bool) -> bool:
        """Whether an entry of the history says what the page shows.

        Two kinds say nothing and are passed through: the bare address of the menu, which the page
        has completed at once, and the one that the next page's values were written into.
        """
        if not now:
            return arrived or self.brought_back is None or self.brought_back != self.told
        return any(key in self.params for key in now)


def begin(page: str) -> bool:
    """Begins a page and decides whether its address or the session says what it shows.

    Returns:
        whether somebody has come to the page, rather than changed something on it.
    """
    now, kept = _query(), _page(page)
    arrived = st.session_state.get(HERE) != page
    st.session_state[HERE] = page
    if kept.told is None and kept.asked is None:
        reads = True
    elif _by_history():
        reads = kept.stands_for_itself(now, arrived)
    else:
        reads = arrived and bool(now)
    if arrived:
        kept.by_menu = not reads
        st.session_state.update(kept.values)  # another page may have used the same names
    if reads:
        kept.asked, kept.taken, kept.problems, kept.brought_back = now, set(), [], None
    return arrived


def take(params: Mapping[str, Param]) -> None:
    """Puts the values of some names into the session, where controls find them."""
    kept, state = _page(), st.session_state
    for key, param in params.items():
        if kept.asked is not None and key not in kept.taken:
            kept.taken.add(key)
            state[key] = copy.copy(param.default)
            if key in kept.asked:
                state[key], wrong = param.read(key, kept.asked[key])
                kept.problems += wrong
        elif key not in state:
            state[key] = copy.copy(kept.values.get(key, param.default))
        elif kept.params.get(key, param) != param:  # what was valid need not be so any more
            state[key], _ = param.read(key, param.write(state[key]))
        kept.params[key] = param
        kept.values[key] = state[key]


def reads() -> bool:
    """Says whether it is the address that decides in this run, and not the session."""
    return _page().asked is not None


def take_from_browser(key: str) -> None:
    """Takes over a value that the browser writes into the address by itself, where it has."""
    kept = _page()
    if kept.asked is None and not kept.by_menu:
        param, said = kept.params[key], st.query_params.get_all(key)
        put(key, param.read(key, said)[0] if said else param.default)


def value(key: str) -> Any:
    """Returns the value of a name that was taken."""
    kept = _page()
    kept.values[key] = st.session_state.get(key, kept.values[key])
    return kept.values[key]


def put(key: str, value: Any) -> None:
    """Gives a name another value; before its control is drawn, if it has one."""
    st.session_state[key] = _page().values[key] = value


def reset(key: str) -> None:
    """Gives a name the value that it has where the address says nothing."""
    put(key, _page().params[key].default)


def imply(keys: Iterable[str]) -> None:
    """Says which names the others make superfluous."""
    _page().implied = frozenset(keys)


def problems() -> list[str]:
    """Returns what is wrong with the address on show, once everything was taken."""
    kept = _page()
    if kept.asked is not None:
        strange = [key for key in kept.asked if key not in kept.params and key not in NOT_OURS]
        kept.problems += [
            str(unknown("name in the address", key[:80], kept.params)) for key in strange[:STRANGE]
        ]
    return list(dict.fromkeys(kept.problems))


def complain(sentence: str) -> None:
    """Adds to what is wrong with the address, where it is the address that decides in this run."""
    if reads():
        _page().problems.append(sentence)


def tell() -> None:
    """Writes the values of the page on show into its address; once, as the last thing of a page."""
    history.has(st.session_state[HERE], write())


def write() -> Query:
    """Writes the values into the address from the midst of a page, and returns what it says."""
    kept = _page()
    for key in kept.params:
        value(key)
    said = _written(kept)
    if kept.asked is None and said != kept.told:
        kept.problems = []
    if kept.by_menu:
        kept.by_menu, kept.brought_back = False, said
    kept.asked, kept.told = None, said
    if said != _query():
        st.query_params.from_dict(said)
    return said


def values_of(page: str, without: Iterable[str] = ()) -> Query:
    """Returns what the address of a page would say in this session, as a link to it."""
    kept = _pages().get(page, Remembered())
    return {key: said for key, said in _written(kept).items() if key not in without}


def every_value() -> Query:
    """Returns an address of the page on show that names every value, also the defaults.

    What is empty is left out where nothing said means the same.
    """
    named = {key: (param.write(value(key)), param) for key, param in _page().params.items()}
    return {
        key: said
        for key, (said, param) in named.items()
        if said != [""] or said != param.at_default
    }


def _written(kept: Remembered) -> Query:
    said = {
        key: param.write(kept.values[key])
        for key, param in kept.params.items()
        if key not in kept.implied
    }
    return {key: text for key, text in said.items() if text != kept.params[key].at_default}


def _query() -> Query:
    """Returns what the address says, by name."""
    return {key: st.query_params.get_all(key) for key in st.query_params}


def _by_history() -> bool:
    """Says whether this run was asked for by Back or Forward."""
    return bool(getattr(get_script_run_ctx(), "is_history_navigation", False))


def _pages() -> dict[str, Remembered]:
    known: dict[str, Remembered] = st.session_state.setdefault(KEPT, {})
    return known


def _page(name: str | None = None) -> Remembered:
    return _pages().setdefault(name or st.session_state[HERE], Remembered())
