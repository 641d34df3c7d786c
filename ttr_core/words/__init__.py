"""Words: what is said of a spec, in LaTeX, sentences and tables."""

from .defining import defining
from .describe import formulas
from .framed import one_function
from .grid import place
from .lessons import Lesson, lesson
from .names import STANDINGS, called, standing
from .owners import OWNERS, marked_formulas
from .tables import GRID_COLUMNS, LAYER_COLUMNS, cited, grid_rows, layer_rows
from .theory import REFLECTIONS, THEOREMS, TheoryCard, abilities, cards_of, transition
from .verdicts import unread, verdict

__all__ = [
    "GRID_COLUMNS",
    "LAYER_COLUMNS",
    "OWNERS",
    "REFLECTIONS",
    "STANDINGS",
    "THEOREMS",
    "Lesson",
    "TheoryCard",
    "abilities",
    "called",
    "cards_of",
    "cited",
    "defining",
    "formulas",
    "grid_rows",
    "layer_rows",
    "lesson",
    "marked_formulas",
    "one_function",
    "place",
    "standing",
    "transition",
    "unread",
    "verdict",
]
