"""The page Paper names both scales where they say different words of a claim."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from tests.app.app_text import text_of


@pytest.mark.parametrize(
    ("scale", "said"),
    [
        ("quick", "At scale paper (n = 10): holds in part."),
        ("paper", "At scale quick (n = 3): holds if."),
    ],
)
def test_a_card_tells_the_word_of_the_other_scale(
    page: Callable[..., AppTest], scale: str, said: str
) -> None:
    app = page("paper", **{"paper.claims": "softmax-adapts", "paper.scale": scale})
    assert not app.exception and said in text_of(app)
