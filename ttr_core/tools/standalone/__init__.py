"""A layer to take home: one file of plain PyTorch, cut out of the core by what the layer uses."""

from .standalone import StandaloneLayer, standalone_layer

__all__ = ["StandaloneLayer", "standalone_layer"]
