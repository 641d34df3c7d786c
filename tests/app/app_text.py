"""What a page says, as one text."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def text_of(app: AppTest) -> str:
    """Returns all that a page says."""
    kinds = (app.header, app.subheader, app.markdown, app.caption, app.text, app.code)
    return "\n".join(str(element.value) for kind in kinds for element in kind)
