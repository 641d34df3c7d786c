"""Searches: a space of cells, trained by halving, the best compared with what is published."""

from .candidates import Candidate, Space, space_of
from .course import Search, SearchState
from .outlook import Outlook, look_ahead
from .search_plan import SearchPlan, checked_search, load_search
from .telling import write_search

__all__ = [
    "Candidate",
    "Outlook",
    "Search",
    "SearchPlan",
    "SearchState",
    "Space",
    "checked_search",
    "load_search",
    "look_ahead",
    "space_of",
    "write_search",
]
