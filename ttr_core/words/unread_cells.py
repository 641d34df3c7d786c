"""The cells of the grid that do not read back pairs as they start in the standard frame.

Measured and written by ``python -m ttr_core.tools.trials --write``: share of 8 clean pairs, and
what was seen (`ttr_core.words.verdicts.Unread`).
"""

UNREAD: dict[str, tuple[float, str]] = {
    "Uniform | NormLinear | MirrorDescent": (0.131, "ALIKE"),
    "Decay | NormLinear | MirrorDescent": (0.131, "ALIKE"),
    "Gate | NormLinear | MirrorDescent": (0.119, "ALIKE"),
    "Importance | NormLinear | MirrorDescent": (0.125, "ALIKE"),
    "LearnedDecay | NormLinear | MirrorDescent": (0.131, "ALIKE"),
    "Window | NormLinear | MirrorDescent": (0.131, "ALIKE"),
    "Gate * Importance | NormLinear | MirrorDescent": (0.125, "ALIKE"),
}
