"""What Explore gives away: links, code, and the layer as a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pages._explore import share
from tests.app.app_text import text_of

NAMED = {"spec": "Uniform | Linear | Hebbian", "layer": "linear-attention"}
SLOW = {"spec": "Uniform | Linear | Exact(ridge=0)"}


def opened(page: Callable[..., AppTest], **query: str) -> AppTest:
    app = page("explore", **query)
    app.session_state["share"] = True
    return app.run()


def button(app: AppTest) -> Any:
    (found,) = app.get("download_button")
    return found.proto


def test_the_file_is_not_written_before_it_is_asked_for(
    page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(share, "layer_file", lambda *named: asked.append(named))
    app = opened(page, **NAMED)
    assert not app.exception and not asked
    assert button(app).deferred_file_id and not button(app).disabled


@pytest.mark.slow
def test_the_file_is_of_the_shown_layer_and_frame() -> None:
    text = share.layer_file("linear-attention", "paper")
    assert text.startswith('r"""linear-attention') and "class Layer" in text
    assert share.layer_file("linear-attention", "paper") == text


def test_where_there_is_no_file_the_page_says_so(page: Callable[..., AppTest]) -> None:
    app = opened(page, **SLOW)
    assert button(app).disabled and "There is no file of it." in text_of(app)
