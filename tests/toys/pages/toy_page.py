"""A toy."""

from __future__ import annotations

import streamlit as st

st.title("A toy of a page")
