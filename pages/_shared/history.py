"""One visit, one entry in the browser's history.

Streamlit enters a visit twice: once as the menu's bare address, and once more as soon as the page
has written its values into it. Back would then lead to the bare address of the page one is on, and
look as if it did nothing. So, until somebody does something on a page, what it writes into its
address replaces the entry that the visit has made.

It can also write a page's values before it has entered the page, into an entry of the page that is
being left, and lose them on the way. What is written so is taken back, and the page is entered once
with its values; and a page says once more which values it has, for an address that lost them.

It also enters the page of a run that was asked for before Back was pressed and answered after: the
page that was just left, on top of the one gone back to. Until somebody does something there, Back
and Forward alone say where one is, and the page that they lead to is asked for again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlencode

import streamlit as st

KEY = "history"

SCRIPT = """<script>
if (!window.oneEntryPerVisit) {
  window.oneEntryPerVisit = true;
  let arriving = true, returned = false, early = null;
  const push = history.pushState.bind(history);
  const name = (url) => url.pathname.split("/").pop();
  const says = (search, page) => {
    const keys = [...new URLSearchParams(search).keys()];
    return page !== "" && keys.some((key) => key.startsWith(page + "."));
  };
  const isOf = (search, to) => {
    const left = name(new URL(location.href)), next = name(to);
    if (search === to.search || says(search, next)) return true;
    return left !== "" && !says(search, left);
  };
  history.pushState = (state, title, url) => {
    const to = new URL(url, location.href), stays = to.pathname === location.pathname;
    if (returned && !stays) {
      setTimeout(() => dispatchEvent(new PopStateEvent("popstate", { state: history.state })));
    } else if (arriving && stays) {
      history.replaceState(state, title, url);
    } else if (early !== null && !stays && isOf(early, to)) {
      history.replaceState(state, title, to.pathname + (to.search || early));
      [arriving, early] = [true, null];
    } else {
      [arriving, early] = [!stays, stays ? to.search : null];
      push(state, title, url);
    }
  };
  window.pageHas = (page, search) => {
    window.pageHas.last = search;
    setTimeout(() => {
      const here = (name(location) || "explore") === page;
      if (here && location.search === "" && window.pageHas.last === search)
        history.replaceState(history.state, "", location.pathname + search);
    }, 400);
  };
  addEventListener("popstate", () => { arriving = returned = true; early = null; }, true);
  for (const done of ["pointerdown", "keydown"])
    addEventListener(done, () => { arriving = returned = false; early = null; }, true);
}
</script>"""


def keep() -> None:
    """Keeps the history of the browser in order, from the first page on; shows nothing."""
    st.html(f"<style>.st-key-{KEY}, .st-key-{KEY}-has {{ display: none; }}</style>")
    with st.container(key=KEY):
        st.html(SCRIPT, unsafe_allow_javascript=True)


def has(page: str, query: Mapping[str, list[str]]) -> None:
    """Says which values a page has, for an address that lost them; shows nothing.

    Args:
        page: its name in the address.
        query: what its address says, by name.
    """
    said = json.dumps([page, f"?{urlencode(query, doseq=True)}" if query else ""])
    said = said.replace("<", "\\u003c")  # a value must not end the script
    with st.container(key=f"{KEY}-has"):
        st.html(f"<script>window.pageHas?.(...{said});</script>", unsafe_allow_javascript=True)
