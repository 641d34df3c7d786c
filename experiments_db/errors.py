"""What can go wrong with a store, told to the person who can fix it."""

from __future__ import annotations


class StoreError(RuntimeError):
    """A store cannot do what was asked; the text is one clear sentence, fit for a page."""


class WrongFile(StoreError):
    """A file that was named to be read is none: the request is wrong, and the store is well."""


def required(message: str) -> str:
    """Returns what a form asks of a value, as this project says it.

    Example:
        >>> required("Input should be a valid integer, unable to parse string as an integer")
        'it must be a valid integer'
        >>> required("Value error, count is above stop")
        'count is above stop'
    """
    said = message.removeprefix("Value error, ")
    wanted = said.removeprefix("Input should ")
    return said if wanted == said else f"it must {wanted.split(', unable to')[0]}"
