"""Fates: every sentence that is said of what becomes of old pairs; each has a measure in tests."""

from __future__ import annotations

from enum import Enum


class Fate(Enum):
    """A sentence about old pairs; ``{reach}`` is how many of the newest pairs may count."""

    TURN = "Pairs count less with their distance, at some nothing, and negatively beyond it."
    LAG = (
        "A pair counts by its distance, through filters that the content so far mixes; neither "
        "its key nor the query changes that."
    )
    SPANS = (
        "Nothing is lost: each token weighs spans of the past anew, the longer the further back."
    )
    GONE = "Pairs are gone once {reach} tokens have passed."
    QUERY = "Nothing is lost: every pair is kept, and each query weighs them anew."
    QUERY_SOME = "Nothing is lost, but each query gives weight to some pairs and to the rest none."
    QUERY_FADES = "Nothing is lost, but old pairs count less, and each query picks its own."
    FIT_FADES = "Old pairs count less in a fit to all of them."
    ALIKE = "Nothing: all pairs count alike however old they are."
    OWN_WEIGHT = "Nothing: a pair counts by the weight that it brought, however old it is."
    SHRINKS = "The memory shrinks at every token."
    DUAL_SHRINKS = "What the mirror reads shrinks at every token."
    KEEPS = "Nothing fades."
    ADDED = "Nothing is overwritten."
    ALONG_KEY = "Each step overwrites what the memory holds along its key."
    ALONG_KEYS = "Each step overwrites what the memory holds along its keys."
    GOES_ON = (
        "Each step overwrites what the memory holds along its key, and goes on in the tokens after."
    )
    EACH_FEATURE = "Each step shrinks every feature that its key has, whichever pair it holds."
    ANYWHERE = "Each step may change the answer to any key."
    AT_ENDS = (
        "Within a chunk the memory learns nothing; when it has ended, its pairs may change the "
        "answer to any key."
    )
    SHARED = "A pair counts less with every other that follows it in its batch."
