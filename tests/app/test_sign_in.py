"""Who is let in: nobody by mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages._shared import sign_in
from tests.app.app_text import text_of

ANN = {"is_logged_in": True, "email": "Ann@Example.org", "email_verified": True}


@pytest.mark.parametrize(
    ("allowed", "change", "enters"),
    [
        (["@example.org"], {}, True),
        (["ann@example.org"], {}, True),
        (["bob@example.org", "ANN@example.ORG"], {}, True),
        (["*"], {"email": None}, True),
        (["bob@example.org"], {}, False),
        (["example.org"], {}, False),
        (["@ample.org"], {}, False),
        (["@example.org"], {"email": "ann@example.org.evil.net"}, False),
        (["@example.org"], {"email": "@example.org"}, False),
        (["@example.org"], {"email_verified": False}, False),
        (["@example.org"], {"email": None}, False),
        (["@"], {"email": "ann@"}, False),
    ],
)
def test_addresses_and_domains(allowed: list[str], change: dict[str, Any], enters: bool) -> None:
    assert sign_in.may_enter({**ANN, **change}, allowed) is enters


PAGES = ("explore", "runs", "paper")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("person", [{}, {"is_logged_in": False}, {**ANN, "email": "x@evil.net"}])
def test_others_see_nothing_of_a_page(
    page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch, name: str, person: Any
) -> None:
    monkeypatch.setenv("TTR_LOGIN", "@example.org")
    monkeypatch.setattr(st, "user", person)
    app = page(name)
    assert not app.exception
    assert [one.label for one in app.button] in (["Sign in"], ["Sign out"])
    assert not (app.selectbox or app.dataframe or app.text_input or app.markdown)


def test_without_a_set_up_nobody_enters_and_is_told(
    page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTR_LOGIN", "*")
    app = page("runs")
    app.button(key="sign_in").click().run()
    assert not app.exception and [one.label for one in app.button] == ["Sign in"]
    assert "not set up to sign in" in text_of(app)


def test_who_may_enter_sees_the_page(
    page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTR_LOGIN", "@example.org")
    monkeypatch.setattr(st, "user", ANN)
    app = page("runs")
    assert not app.exception and "Sign in" not in [one.label for one in app.button]
    assert text_of(app)
