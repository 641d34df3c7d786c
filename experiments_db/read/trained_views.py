"""What a stored run's trained model does on a test sequence, from the weights that were kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safetensors import SafetensorError

from ttr_core import RequestError

from ..errors import StoreError
from ..store import Store
from ..store.weights import file_of
from . import queries

if TYPE_CHECKING:
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
