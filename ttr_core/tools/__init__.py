"""Tools of the project itself, which a library user never imports: speed, documents, tables."""

from .bench import benchmark

__all__ = ["benchmark"]
