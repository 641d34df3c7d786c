r"""Main effects and interactions of the three ingredients, from cells that differ in nothing else.

A grid of results has holes, so that means over all cells with a choice compare different companies.
Instead two cells count as a pair that differ in one ingredient only. The effect of a choice $a$
against a reference $r$ is the mean of $y_{a c} - y_{r c}$ over the $n$ companies $c$ in which both
were run, its standard error their deviation over $\sqrt n$; an interaction is the mean of
$(y_{a b} - y_{r b}) - (y_{a s} - y_{r s})$ over the choices of the third ingredient.
"""

from __future__ import annotations

import pandas as pd

from ttr_core import AXES, RequestError, Spec
from ttr_core.lab import Metric
from ttr_core.words import place


def cells_of(table: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Returns the best row of each cell, with the ingredients as columns.

    As on the Map, numbers such as a ridge are left out of an ingredient, and a cell is the best of
    them; a spec that this program cannot read, or a stack of several, has no place.

    Args:
        table: columns spec and mean, of one setting and size, such as `best_of_rates` returns.
        metric: what is measured.
    """
    places = {spec: place_of(spec) for spec in table["spec"].unique()}
    known = table.loc[[places[spec] is not None for spec in table["spec"]]]
    columns = zip(*(places[spec] or () for spec in known["spec"]), strict=True)
    axes = dict(zip(AXES, map(list, columns), strict=True)) if len(known) else dict.fromkeys(AXES)
    ordered = known.assign(**axes).sort_values("mean", ascending=not metric.rises, kind="stable")
    return ordered.drop_duplicates(list(AXES)).reset_index(drop=True)


def place_of(spec: str) -> tuple[str, str, str] | None:
    """Returns the ingredients of a spec without their numbers, or None of what cannot be read."""
    try:
        return place(Spec.parse(spec))
    except RequestError:
        return None


def main_effects(cells: pd.DataFrame, axis: str, reference: str | None = None) -> pd.DataFrame:
    """Returns what each choice of an ingredient adds to a reference, all else the same.

    Args:
        cells: as `cells_of` returns them.
        axis: the ingredient, one of `AXES`.
        reference: the choice that others are compared with; by default the one with most pairs.

    Returns:
        Columns choice, reference, n (pairs of cells), difference, se (missing for a single pair),
        the best first; choices that no pair has are left out.

    Example:
        >>> cells = pd.DataFrame({"weights": ["a", "b", "a", "b"], "function": list("ffgg"),
        ...                       "optimizer": ["o"] * 4, "mean": [0.1, 0.3, 0.2, 0.6]})
        >>> main_effects(cells, "weights", "a")[["choice", "n", "difference"]].values.tolist()
        [['b', 2, 0.3]]
    """
    others = [name for name in AXES if name != axis]
    pairs = cells.merge(cells, on=others, suffixes=("", "_base"))
    pairs = pairs[pairs[axis] != pairs[f"{axis}_base"]]
    base = reference if reference is not None else references(cells)[axis]
    kept = pairs[pairs[f"{axis}_base"] == base]
    apart = (kept["mean"] - kept["mean_base"]).groupby(kept[axis])
    columns = {"n": apart.size(), "difference": apart.mean(), "se": apart.sem()}
    found = pd.DataFrame(columns).rename_axis("choice").reset_index()
    ordered = found.sort_values(["difference", "choice"], ascending=[False, True])
    return ordered.assign(reference=base).reset_index(drop=True)


def references(cells: pd.DataFrame) -> dict[str, str]:
    """Returns of each ingredient the choice that is in most pairs of cells."""
    found = {}
    for axis in AXES:
        others = [name for name in AXES if name != axis]
        company = cells.groupby(others)[axis].transform("size") - 1
        partners = company.groupby(cells[axis]).sum().sort_index()
        found[axis] = "" if partners.empty else str(partners.idxmax())
    return found


def interactions(cells: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Returns how the effect of one ingredient's choice changes with another ingredient's.

    Args:
        cells: as `cells_of` returns them.
        first: an ingredient.
        second: another.

    Returns:
        Columns first, second (choices other than the references), n (choices of the third
        ingredient, or 1), difference, se; for what four cells are there.
    """
    (third,) = [name for name in AXES if name not in (first, second)]
    base = references(cells)
    at = cells.set_index([first, second, third])["mean"].unstack(third)
    if at.empty:
        return pd.DataFrame(columns=["first", "second", "n", "difference", "se"])
    rows = []
    for one, other in at.index:
        corners = [(one, other), (base[first], other), (one, base[second])]
        least = (base[first], base[second])
        if one == least[0] or other == least[1] or not {*corners, least} <= set(at.index):
            continue
        crossed = at.loc[corners[0]] - at.loc[corners[1]] - at.loc[corners[2]] + at.loc[least]
        values = crossed.dropna()
        if len(values):
            rows.append((one, other, len(values), values.mean(), values.sem()))
    return pd.DataFrame(rows, columns=["first", "second", "n", "difference", "se"])
