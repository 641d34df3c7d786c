"""A layer by its name or spec, checked, as one file that needs PyTorch and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from ... import __version__
from ...errors import unknown
from ...layers.frame import FRAMES, Frame, named_frame
from ...layers.layer import SequenceLayer
from ...layers.published import Published, catalog
from ...space.spec import Spec
from .fla_form import fla_text
from .heading import form, heading
from .layer_file import LayerFile


@dataclass(frozen=True)
class StandaloneLayer:
    """A layer as a file of its own.

    Args:
        title: its name, or the text of its spec.
        form: whether it goes over chunks or from token to token, in words.
        text: the file.

    Example:
        >>> made = standalone_layer("softmax-attention")
        >>> made.title, "import ttr_core" in made.text
        ('softmax-attention', False)
    """

    title: str
    form: str
    text: str


FORMS = ("plain", "fla")
"""How a file's layer is called: as here, or as flash-linear-attention calls one as well."""


def standalone_layer(
    layer: str,
    frame: str | None = None,
    d_model: int = 64,
    num_heads: int = 1,
    conventions: str = FORMS[0],
) -> StandaloneLayer:
    """Returns a layer as one file of plain PyTorch with a test of its own.

    Args:
        layer: the name of a published layer, or the text of a spec.
        frame: ``standard``, ``paper`` or ``published``; by default ``published`` for a name and
            ``standard`` for a spec.
        d_model: D where the file's `Layer` is given none.
        num_heads: H where it is given none.
        conventions: ``plain``; ``fla`` adds the layer as flash-linear-attention calls one.

    Raises:
        UnknownName: no layer, frame or conventions have this name; says the nearest ones.
        IncompatibleSpec: the spec is not a layer.
        NoFastSolver: it is defined, but only the reference runs it.
        RequestError: sizes that do not fit.

    Example:
        >>> made = standalone_layer("linear-attention", d_model=32)
        >>> made.title, "class Layer" in made.text, "ttr_core" in made.text
        ('linear-attention', True, False)
    """
    if conventions not in FORMS:
        raise unknown("form", conventions, FORMS)
    entry = None if "|" in layer else catalog[layer]
    spec = Spec.parse(layer) if entry is None else entry.spec
    around = _frame(frame, entry)
    SequenceLayer(spec, around, d_model, num_heads)  # refuses what is no layer of these sizes
    sizes = {"d_model": d_model, "num_heads": num_heads}
    about = heading(spec, around, entry, __version__, sizes)
    title = str(spec) if entry is None else entry.name
    text = LayerFile(spec, around, about, **sizes).text()
    if conventions == FORMS[1]:
        text = fla_text(text, d_model, num_heads)
    return StandaloneLayer(title, form(spec), text)


def _frame(asked: str | None, entry: Published | None) -> Frame:
    name = asked or ("standard" if entry is None else "published")
    if entry is not None and name in FRAMES and FRAMES[name] is None:
        return entry.frame
    return named_frame(name)
