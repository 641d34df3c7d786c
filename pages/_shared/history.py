"""One visit, one entry in the browser's history.

Streamlit enters a visit twice: once as the menu's bare address, and once more as soon as the page
has written its values into it. Back would then lead to the bare address of the page one is on, and
look as if it did nothing. So, until somebody does something on a page, what it writes into its
address replaces the entry that the visit has made.
"""

from __future__ import annotations

import streamlit as st

KEY = "history"

SCRIPT = """<script>
if (!window.oneEntryPerVisit) {
  window.oneEntryPerVisit = true;
  let arriving = true;
  const push = history.pushState.bind(history);
  history.pushState = (state, title, url) => {
    const stays = new URL(url, location.href).pathname === location.pathname;
    if (arriving && stays) {
      history.replaceState(state, title, url);
    } else {
      arriving = !stays;
      push(state, title, url);
    }
  };
  for (const done of ["pointerdown", "keydown"])
    addEventListener(done, () => { arriving = false; }, true);
}
</script>"""


def keep() -> None:
    """Keeps the history of the browser in order, from the first page on; shows nothing."""
    st.html(f"<style>.st-key-{KEY} {{ display: none; }}</style>")
    with st.container(key=KEY):
        st.html(SCRIPT, unsafe_allow_javascript=True)
