"""The ladder: six ways to remember one sequence, each of which changes one thing."""

from __future__ import annotations

RUNGS = {
    "average": ("Uniform | Constant | Exact", "The mean of all values, whatever is asked."),
    "softmax": (
        "ExpKernel | Constant | Exact",
        "The mean of the values whose keys resemble the query: softmax attention.",
    ),
    "Hebbian sum": (
        "Uniform | Linear | Hebbian",
        "A matrix in place of the pairs, to which each adds its own: linear attention.",
    ),
    "SGD steps": (
        "Uniform | Linear | SGD",
        "A gradient step corrects what the memory would have answered: DeltaNet.",
    ),
    "Exact fit": (
        "Uniform | Linear | Exact",
        "The matrix that fits all pairs best, held small by a ridge, at every token.",
    ),
    "with a gate": (
        "Gate | Linear | Exact",
        "The same, and the past fades: it forgets the first rule when the second begins.",
    ),
}
"""Each rung: a spec, and what it adds."""
