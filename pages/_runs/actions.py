"""What can be done with many runs at once: star, archive, tag, export; the last edit undone."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import streamlit as st

from experiments_db.errors import StoreError
from experiments_db.installation import command
from experiments_db.read import export, grouping, queries
from experiments_db.read.edits import Edit, perform
from experiments_db.read.filters import Conditions
from experiments_db.store import Store
from pages._runs import picks
from pages._runs.filters import WRONG, Filters, there_is
from pages._shared import to_compare, ui

BUTTONS = (
    ("star", "Star", ":material/star:", "Marks what you come back to."),
    ("unstar", "Unstar", ":material/star_border:", "Takes the star off."),
    ("archive", "Archive", ":material/archive:", "Hides runs; nothing is lost."),
    ("restore", "Bring back", ":material/unarchive:", "Makes archived runs visible again."),
)
DONE = {
    "star": "Starred", "unstar": "Unstarred", "archive": "Archived", "restore": "Brought back",
    "tag": "Tagged", "untag": "Took the tag off",
}  # fmt: skip
MOST_TAGS, TAG_CHARS = 20, 40
DELETED_AT_ONCE = 20
FORMATS = tuple(suffix.removeprefix(".") for suffix in export.WRITERS)
UNDO = "runs.undo"


@dataclass(frozen=True)
class Undo:
    """What was done last, and how to take it back.

    Args:
        said: what was done, in words.
        edits: what takes it back.
        picked: what was picked before.
    """

    said: str
    edits: tuple[Edit, ...]
    picked: tuple[str, ...]


def undo_bar(store: Store) -> None:
    """Says what was done last, with a way back."""
    if "edit_error" in st.session_state:
        ui.failed("That could not be stored", st.session_state.pop("edit_error"))
    done: Undo | None = st.session_state.get(UNDO)
    if done is None or store.readonly:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", border=True):
        st.text(done.said, width="content")
        if done.edits and st.button("Undo", icon=":material/undo:", key="undo"):
            _undo(store, done)
        if st.button("Fine", key="undo.dismiss", help="Takes this line away.", type="tertiary"):
            del st.session_state[UNDO]
            st.rerun()


def show(store: Store, filters: Filters, total: int) -> None:
    """Shows what can be done with the picked runs, or with all that pass the filters."""
    picked = picks.picked()
    with st.container(border=True):
        everything = _scope(store, picked, total)
        count = total if everything else len(picked)
        if not store.readonly:
            _edits(store, filters, everything, count)
        _exports(store, filters, () if everything else tuple(picked), total)


def _scope(store: Store, picked: list[str], total: int) -> bool:
    """Asks whether everything that matches is meant; else the picked runs are."""
    names = {False: f"{ui.count(len(picked))} picked", True: f"all {ui.count(total)} that match"}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        chosen = st.segmented_control(
            "Do this with",
            [False, True],
            default=False,
            required=True,
            format_func=names.__getitem__,
            key="runs.scope",
            help="The picked runs, or all runs that pass the filters, listed or not.",
        )
        if picked and st.button("Unpick all", icon=":material/deselect:", key="unpick"):
            st.session_state["look"] = None
            picks.pick([])
            st.rerun()
        if picked and not chosen:
            to_compare.compare_link(picked)
        if picked and not chosen and not store.readonly:
            _deletion(picked)
    return bool(chosen)


# --- edits -------------------------------------------------------------------------------------


def _edits(store: Store, filters: Filters, everything: bool, count: int) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for kind, label, icon, about in BUTTONS:
            if st.button(label, icon=icon, help=about, key=f"act.{label}", disabled=not count):
                _do(store, filters, everything, kind, ("",))
        tags = _tags(store)
        ready = bool(count and tags)
        help = "Choose or type tags first." if not tags else None
        if st.button("Tag", icon=":material/sell:", key="act.Tag", disabled=not ready, help=help):
            _do(store, filters, everything, "tag", tags)
        if st.button("Untag", icon=":material/label_off:", key="act.Untag", disabled=not ready):
            _do(store, filters, everything, "untag", tags)


def _tags(store: Store) -> tuple[str, ...]:
    there = there_is(str(store.path), queries.data_version(store), store)
    chosen = st.multiselect(
        "Tags",
        there.tags,
        accept_new_options=True,
        max_selections=MOST_TAGS,
        key="bulk.tags",
        width=260,
        placeholder="choose or type",
        label_visibility="collapsed",
    )
    return tuple(dict.fromkeys(tag.strip()[:TAG_CHARS] for tag in chosen if tag.strip()))


def _do(store: Store, filters: Filters, everything: bool, kind: str, tags: tuple[str, ...]) -> None:
    """Carries out an edit and keeps what takes it back."""
    picked = tuple(picks.picked())
    try:
        with st.spinner("Storing…"):
            ids = tuple(queries.ids(store, filters.conditions(store))) if everything else picked
            undone = tuple(perform(store, Edit(kind, ids, tag)) for tag in tags)
    except WRONG as error:
        st.session_state["edit_error"] = str(error)
        st.rerun()
    changed = tuple(edit for edit in undone if edit.ids)
    touched = len({run_id for edit in changed for run_id in edit.ids})
    named = f" with {', '.join(tags)}" if kind == "tag" else ""
    named = f" {', '.join(tags)}" if kind == "untag" else named
    said = f"{DONE[kind]} {ui.count(touched)} {'run' if touched == 1 else 'runs'}{named}."
    if not touched:
        said = "Nothing to change: that is so already."
    st.session_state[UNDO] = Undo(said, changed, picked)
    if kind == "archive" and not filters.archived:  # what is hidden now is not to stay picked
        gone = {run_id for edit in changed for run_id in edit.ids}
        picks.pick([run_id for run_id in picked if run_id not in gone])
    st.rerun()


def _undo(store: Store, done: Undo) -> None:
    try:
        with st.spinner("Storing…"):
            for edit in done.edits:
                perform(store, edit)
    except StoreError as error:
        st.session_state["edit_error"] = str(error)
    else:
        del st.session_state[UNDO]
        picks.pick(done.picked)
    st.rerun()


def _deletion(picked: list[str]) -> None:
    with st.popover("Delete for good", icon=":material/delete:", type="tertiary"):
        st.markdown("Only the command line deletes; archiving hides runs and can be undone.")
        few = picked[:DELETED_AT_ONCE]
        st.code(command("delete", *few), language="bash")
        if len(picked) > len(few):
            st.caption(f"The first {len(few)} of {len(picked)} picked runs.")


# --- exports -----------------------------------------------------------------------------------


def _exports(store: Store, filters: Filters, picked: tuple[str, ...], total: int) -> None:
    """Offers the picked runs as files; if there are none, all that match."""
    what = f"the {ui.count(len(picked))} picked" if picked else f"all {ui.count(total)} that match"
    over = ", over seeds," if filters.view == "configurations" else ""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.caption(f"Export {what}{over} with everything known of them", width="content")
        for suffix in FORMATS:
            st.download_button(
                {"tex": "LaTeX", "md": "Markdown", "parquet": "Parquet"}.get(
                    suffix, suffix.upper()
                ),
                data=partial(exported, store, filters, picked, suffix),
                file_name=f"{filters.view}.{suffix}",
                key=f"export.{suffix}",
                icon=":material/download:",
                on_click="ignore",
                help=f"As a .{suffix} file.",
            )


def exported(store: Store, filters: Filters, picked: tuple[str, ...], suffix: str) -> bytes:
    """Returns the picked runs, or without any all that pass the filters, as a file's content."""
    conditions = Conditions(ids=picked, archived=True) if picked else filters.conditions(store)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"runs.{suffix}"
        return export.write(_whole(store, filters, conditions), path).read_bytes()


def _whole(store: Store, filters: Filters, conditions: Conditions) -> pd.DataFrame:
    if filters.view == "configurations":
        return queries.flattened(grouping.grouped(store, conditions))
    return queries.runs(store, conditions, flat=True, limit=len(queries.ids(store, conditions)))
