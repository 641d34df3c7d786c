r"""Sequence layers as test-time regression.

At every token a layer fits a function to the weighted pairs of keys and values seen so far and
asks it about the query:

$$m_t \approx \arg\min_{m \in \mathcal{M}} \tfrac12 \sum_{i \le t} \gamma_i^{(t)}
|v_i - m(k_i)|^2 + \tfrac{\lambda}{2} |m|^2, \qquad y_t = m_t(q_t)$$

Three choices make a layer: the **weights** gamma, the **function class** M, the **optimizer**.

=============  ====================  ==========================================================
paper          code                  meaning
=============  ====================  ==========================================================
gamma_i^(t)    ``Weights.matrix``    how much pair i counts at token t
M              ``FunctionClass``     what is fitted
argmin         ``Optimizer``         how it is fitted
M_t            ``memory["S"]``       fitted memory, transposed: [F, V]
phi            ``FeatureMap``        features of keys and queries
lambda         ``Exact.ridge``       strength of the ridge
beta_t, delta  signal ``step``       step size of the newest pair
a_t            signal ``decay``      share of the past that is kept, as its logarithm
B H T K V F    dimensions            batch, heads, tokens, key, value and feature size
=============  ====================  ==========================================================

Example:
    >>> import torch, ttr_core as ttr
    >>> spec = ttr.Spec.parse("Uniform | Linear | Exact(ridge=0.1)")
    >>> q, k, v = torch.randn(3, 1, 2, 16, 4).unbind(0)
    >>> ttr.solve(spec, ttr.Stream(q, k, v)).shape
    torch.Size([1, 2, 16, 4])
    >>> ttr.resolve(spec).name
    'prefix_cholesky'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .errors import (
    IncompatibleSpec,
    LimitExceeded,
    NoFastSolver,
    RequestError,
    UnknownName,
    how_many,
    nearest,
    unknown,
)
from .layers.frame import FRAMES, Frame
from .layers.layer import SequenceLayer
from .layers.model import ModelConfig, SequenceModel
from .layers.published import Published, catalog
from .solvers import (
    SOLVERS,
    attention_map,
    caution,
    explain,
    packed_state_size,
    prefill,
    resolve,
    sampled_map,
    solve,
    state_size,
)
from .space import constraints
from .space.ingredient import Ingredient, Paper, choices
from .space.option import Option, from_settings, options_of
from .space.spec import AXES, Spec, triples
from .stream import Signal, Stream
from .words.describe import Description, describe
from .words.grid import Cell, cell, grid

if TYPE_CHECKING:
    from .lab.protocol import TrainConfig
    from .lab.tasks import TASKS, task
    from .lab.training import train

__version__ = "1.0.0"

__all__ = [
    "AXES",
    "FRAMES",
    "SOLVERS",
    "TASKS",
    "Cell",
    "Description",
    "Frame",
    "IncompatibleSpec",
    "Ingredient",
    "LimitExceeded",
    "ModelConfig",
    "NoFastSolver",
    "Option",
    "Paper",
    "Published",
    "RequestError",
    "SequenceLayer",
    "SequenceModel",
    "Signal",
    "Spec",
    "Stream",
    "TrainConfig",
    "UnknownName",
    "attention_map",
    "catalog",
    "caution",
    "cell",
    "choices",
    "constraints",
    "describe",
    "explain",
    "from_settings",
    "grid",
    "how_many",
    "nearest",
    "options_of",
    "packed_state_size",
    "prefill",
    "resolve",
    "sampled_map",
    "solve",
    "state_size",
    "task",
    "train",
    "triples",
    "unknown",
]

LAB = {
    "TASKS": "lab.tasks",
    "TrainConfig": "lab.protocol",
    "task": "lab.tasks",
    "train": "lab.training",
}
"""Where the lab's names are; loaded when first asked for, as many who solve never train."""


def __getattr__(name: str) -> object:
    if name not in LAB:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{LAB[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
