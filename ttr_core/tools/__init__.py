"""Tools of the project itself, which a library user never imports: speed, documents, tables."""

from .bench import benchmark
from .bench_training import training_benchmark

__all__ = ["benchmark", "training_benchmark"]
