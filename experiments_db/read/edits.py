"""What people say of runs, changed so that it can be taken back.

An edit touches only the runs that it changes, so its opposite restores exactly what was: whoever
stars ten runs of which three had a star, and takes it back, leaves those three starred.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..store import Store
from . import queries
from .filters import Conditions

OPPOSITES = {
    "star": "unstar", "unstar": "star", "archive": "restore", "restore": "archive",
    "tag": "untag", "untag": "tag",
}  # fmt: skip


@dataclass(frozen=True)
class Edit:
    """One change to some runs.

    Args:
        kind: ``star``, ``unstar``, ``archive``, ``restore``, ``tag`` or ``untag``.
        ids: the runs.
        tag: of ``tag`` and ``untag``, the tag.
    """

    kind: str
    ids: tuple[str, ...]
    tag: str = ""


def perform(store: Store, edit: Edit) -> Edit:
    """Carries out an edit and returns the one that takes it back; without ids, nothing changed.

    Example:
        >>> perform(store, Edit("star", ("20261101-101500-000-abc",)))  # doctest: +SKIP
        Edit(kind='unstar', ids=('20261101-101500-000-abc',), tag='')

    Raises:
        StoreError: a run does not exist, or the store cannot be written.
    """
    store.allow_writing()
    changed = tuple(_changed(store, edit))
    if changed:
        _WRITES[edit.kind](store, changed, edit.tag)
    return replace(edit, kind=OPPOSITES[edit.kind], ids=changed)


def _changed(store: Store, edit: Edit) -> Sequence[str]:
    """Returns the runs of an edit that it changes, in order."""
    if edit.kind in ("tag", "untag"):
        having = Conditions(ids=edit.ids, tags=edit.tag, archived=True)
    elif edit.kind in ("star", "unstar"):
        having = Conditions(ids=edit.ids, starred=True, archived=True)
    else:
        having = Conditions(ids=edit.ids)
    found = set(queries.ids(store, having))
    kept = edit.kind in ("unstar", "untag", "archive")  # these change runs that are found so
    return [run_id for run_id in edit.ids if (run_id in found) == kept]


_WRITES: dict[str, Callable[[Store, Sequence[str], str], int]] = {
    "star": lambda store, ids, _: store.star(ids),
    "unstar": lambda store, ids, _: store.unstar(ids),
    "archive": lambda store, ids, _: store.archive(ids),
    "restore": lambda store, ids, _: store.restore(ids),
    "tag": lambda store, ids, tag: store.tag(ids, [tag]),
    "untag": lambda store, ids, tag: store.untag(ids, [tag]),
}
