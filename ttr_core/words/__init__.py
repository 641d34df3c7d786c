"""Words: what is said of a spec, in LaTeX, sentences and tables."""

from .defining import defining
from .describe import formulas
from .grid import place
from .names import STANDINGS, called, standing
from .tables import GRID_COLUMNS, LAYER_COLUMNS, cited, grid_rows, layer_rows
from .verdicts import unread, verdict

__all__ = [
    "GRID_COLUMNS",
    "LAYER_COLUMNS",
    "STANDINGS",
    "called",
    "cited",
    "defining",
    "formulas",
    "grid_rows",
    "layer_rows",
    "place",
    "standing",
    "unread",
    "verdict",
]
