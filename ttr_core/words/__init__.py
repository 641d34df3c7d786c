"""Words: what is said of a spec, in LaTeX, sentences and tables."""

from .describe import formulas
from .grid import place, verdict
from .names import STANDINGS, called, standing
from .tables import GRID_COLUMNS, LAYER_COLUMNS, cited, grid_rows, layer_rows

__all__ = [
    "GRID_COLUMNS",
    "LAYER_COLUMNS",
    "STANDINGS",
    "called",
    "cited",
    "formulas",
    "grid_rows",
    "layer_rows",
    "place",
    "standing",
    "verdict",
]
