"""Who may see the app, where TTR_LOGIN says so: all others see a button and nothing else.

The sign-in is Streamlit's, by OpenID Connect; docs/sharing.md says what it needs. Without it, or
with a file of secrets that cannot be read, nobody is let in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.errors import Error

EVERYBODY = "*"


def let_in() -> None:
    """Goes on for whoever may see the app, and stops the script for all others."""
    allowed = os.environ.get("TTR_LOGIN", "").replace(",", " ").split()
    if not allowed:
        return
    person = dict(st.user.items())
    if not person.get("is_logged_in"):
        st.button("Sign in", key="sign_in", icon=":material/login:", on_click=_sign_in)
        if said := st.session_state.pop("sign_in.failed", None):
            st.text(said)
        st.stop()
    if not may_enter(person, allowed):
        st.text(f"{person.get('email') or 'This account'} may not see this server.")
        st.button("Sign out", key="sign_out", icon=":material/logout:", on_click=st.logout)
        st.stop()


def may_enter(person: Mapping[str, Any], allowed: list[str]) -> bool:
    """Says whether somebody who has signed in may see the app.

    Args:
        person: what the provider says of them.
        allowed: addresses, domains as ``@example.org``, or ``*``.
    """
    if EVERYBODY in allowed:
        return True
    address = str(person.get("email") or "").lower()
    name, _, domain = address.rpartition("@")
    if not (name and domain) or person.get("email_verified") is False:
        return False
    return bool({address, f"@{domain}"} & {one.lower() for one in allowed})


def _sign_in() -> None:
    try:
        st.login()
    except Error as error:
        st.session_state["sign_in.failed"] = f"This server is not set up to sign in. {error}"
