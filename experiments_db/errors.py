"""What can go wrong with a store, told to the person who can fix it."""

from __future__ import annotations

import re

FORMS = {
    re.compile(r"a valid dictionary( or instance of \w+)?"): "keys with values, as {key: value}",
    re.compile(r"a valid (list|tuple)"): "a list",
    re.compile(r"a valid string"): "a text",
}
"""How the library that checks forms calls things -> how people do."""


class StoreError(RuntimeError):
    """A store cannot do what was asked; the text is one clear sentence, fit for a page."""


class WrongFile(StoreError):
    """A file that was named to be read is none: the request is wrong, and the store is well."""


class WrongVariable(StoreError):
    """A variable of the environment says what none may say: the request is wrong."""


def how_many_of(some: int, whole: int, one: str) -> str:
    """Returns how many of some things are meant, with the verb that follows.

    Example:
        >>> how_many_of(1, 3, "run"), how_many_of(0, 1, "run"), how_many_of(2, 2000, "run")
        ('1 of 3 runs is', '0 of 1 run are', '2 of 2,000 runs are')
    """
    from ttr_core import how_many

    return f"{some:,} of {how_many(whole, one)} {'is' if some == 1 else 'are'}"


def required(message: str) -> str:
    """Returns what a form asks of a value, as this project says it.

    Example:
        >>> required("Input should be a valid integer, unable to parse string as an integer")
        'it must be a valid integer'
        >>> required("Input should be a valid dictionary or instance of Sample")
        'it must be keys with values, as {key: value}'
        >>> required("Value error, count is above stop")
        'count is above stop'
    """
    said = message.removeprefix("Value error, ")
    wanted = said.removeprefix("Input should ")
    if wanted == said:
        return said
    for form, words in FORMS.items():
        wanted = form.sub(words, wanted)
    return f"it must {wanted.split(', unable to')[0]}"
