"""What can go wrong with a store, told to the person who can fix it."""

from __future__ import annotations


class StoreError(RuntimeError):
    """A store cannot do what was asked; the text is one clear sentence, fit for a page."""


class WrongFile(StoreError):
    """A file that was named to be read is none: the request is wrong, and the store is well."""
