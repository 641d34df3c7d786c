"""Tools of the project itself, which a library user never imports: speed, documents, tables."""

from .bench import benchmark
from .bench_training import training_benchmark
from .family_tree import tree
from .identities import EXACT, IDENTITIES, Equality
from .stability import Growth, growth
from .standalone import StandaloneLayer, standalone_layer

__all__ = [
    "EXACT",
    "IDENTITIES",
    "Equality",
    "Growth",
    "StandaloneLayer",
    "benchmark",
    "growth",
    "standalone_layer",
    "training_benchmark",
    "tree",
]
