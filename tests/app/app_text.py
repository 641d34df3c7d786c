"""What a page says, as one text."""

from __future__ import annotations

import json
from typing import Any

from streamlit.testing.v1 import AppTest


def text_of(app: AppTest) -> str:
    """Returns all that a page says."""
    kinds = (app.header, app.subheader, app.markdown, app.caption, app.text, app.code)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def played(app: AppTest) -> dict[str, Any]:
    """Returns the message that the page sends."""
    (one,) = app.get("bidi_component")
    said: dict[str, Any] = json.loads(one.proto.json)
    return said
