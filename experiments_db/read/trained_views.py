"""What a stored run's trained model does on a test sequence, from the weights that were kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from ttr_core import RequestError

from ..errors import StoreError
from ..store import Store
from ..store.weights import file_of
from . import queries

if TYPE_CHECKING:
    import pandas as pd

    from ttr_core.lab import TrainedView


def trained_view(store: Store, run_id: str, index: int = 0) -> TrainedView:
    """Returns what the trained model of a run does on a sequence of the test set.

    Args:
        store: where the run is, with its weights beside it.
        run_id: its id.
        index: which sequence, from 0.

    Raises:
        StoreError: there is no such run, its weights are not kept, damaged or of another model.
    """
    from safetensors.torch import load_file

    from ttr_core.lab import Experiment, looked_at

    run = queries.run(store, run_id)
    if run is None:
        raise StoreError(f"The store has no run {run_id[:80]!a}.")
    try:
        experiment = Experiment.from_config({**run["config"], "device": "cpu"})
        return looked_at(experiment, load_file(file_of(store.path, run_id)), index)
    except (SafetensorError, OSError) as error:
        raise StoreError(f"The weights of run {run_id} cannot be read: {error}.") from error
    except RequestError as error:
        raise StoreError(str(error)) from error


@dataclass(frozen=True)
class OwnLayer:
    """What a run found out of a user's module.

    Args:
        linear_in: what its outputs are linear in by trial, or None.
        exact: whether its map says all.
        nearest: published layers and how far their maps are, nearest first.
        view: its map on a random stream, or None.
    """

    linear_in: str | None
    exact: bool
    nearest: tuple[tuple[str, float], ...]
    view: TrainedView | None

    @property
    def sentence(self) -> str:
        """It in words."""
        if self.linear_in is None:
            return (
                "By trial it is linear neither in its inputs nor in values that a method "
                "read(q, k, v) takes, so that it has no effective attention map."
            )
        mean = "" if self.exact else "; its map is the mean over channels"
        found = [f"By trial it is linear in the {self.linear_in}{mean}."]
        if self.nearest:
            near = ", ".join(f"{name} {far:.2f}" for name, far in self.nearest)
            found.append(f"Nearest published layers by their maps on a random stream: {near}.")
        return " ".join(found)


def own_layer(store: Store, run_id: str) -> OwnLayer | None:
    """Returns what a run found out of a user's module, or None where it trained none to the end.

    Args:
        store: where the run is.
        run_id: its id.
    """
    tables = queries.tables(store, run_id)
    if "module" not in tables:
        return None
    (facts,) = tables["module"].to_dict("records")
    nearest, rows = tables.get("nearest"), tables.get("own_map")
    near = () if nearest is None else zip(nearest["layer"], nearest["distance"], strict=True)
    return OwnLayer(
        facts["linear_in"],
        bool(facts["exact"]),
        tuple((str(name), float(far)) for name, far in near),
        None if rows is None else _map_of(rows),
    )


def _map_of(rows: pd.DataFrame) -> TrainedView:
    """Returns a map from its rows: query, token, weight."""
    from ttr_core.lab import TrainedView

    columns = (rows["query"], rows["token"], rows["weight"])
    found = zip(*columns, strict=True)
    return TrainedView.of_weights((int(t), int(i), float(weight)) for t, i, weight in found)
