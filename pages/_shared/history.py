"""One visit, one entry in the browser's history.

Streamlit enters a visit twice: once as the menu's bare address, and once more as soon as the page
has written its values into it. Back would then lead to the bare address of the page one is on, and
look as if it did nothing. So, until somebody does something on a page, what it writes into its
address replaces the entry that the visit has made.

It also enters the page of a run that was asked for before Back was pressed and answered after: the
page that was just left, on top of the one gone back to. Until somebody does something there, Back
and Forward alone say where one is, and the page that they lead to is asked for again.
"""

from __future__ import annotations

import streamlit as st

KEY = "history"

SCRIPT = """<script>
if (!window.oneEntryPerVisit) {
  window.oneEntryPerVisit = true;
  let arriving = true, returned = false;
  const push = history.pushState.bind(history);
  history.pushState = (state, title, url) => {
    const stays = new URL(url, location.href).pathname === location.pathname;
    if (returned && !stays) {
      setTimeout(() => dispatchEvent(new PopStateEvent("popstate", { state: history.state })));
    } else if (arriving && stays) {
      history.replaceState(state, title, url);
    } else {
      arriving = !stays;
      push(state, title, url);
    }
  };
  addEventListener("popstate", () => { arriving = returned = true; }, true);
  for (const done of ["pointerdown", "keydown"])
    addEventListener(done, () => { arriving = returned = false; }, true);
}
</script>"""


def keep() -> None:
    """Keeps the history of the browser in order, from the first page on; shows nothing."""
    st.html(f"<style>.st-key-{KEY} {{ display: none; }}</style>")
    with st.container(key=KEY):
        st.html(SCRIPT, unsafe_allow_javascript=True)
