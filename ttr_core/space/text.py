"""The grammar of specs: ``weights | function | optimizer [| loss=..] [| readout=..]``.

Each field is a name, or a name with keyword options, whose values are numbers, words, ``none`` or
again a name with options; weights may be multiplied. This is a part of Python's own grammar, so
that `ast.parse` reads it; nothing is ever evaluated.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

from ..errors import RequestError, unknown
from .ingredient import REGISTRY, Ingredient, Made
from .weights import Weights

MAX_TEXT = 1000
MAX_DEPTH = 24
WORDS = {"true": True, "false": False, "none": None}
NUMBERS = (int, float)


def fields_of(text: str, axes: Sequence[str], others: Sequence[str]) -> dict[str, str]:
    """Cuts the text of a spec into its fields.

    Args:
        text: what was written.
        axes: the fields that are told by their place.
        others: the fields that are written ``name=..`` and may be left out.

    Raises:
        RequestError: a field is missing, given twice or one too many.
        UnknownName: a named field that a spec does not have.

    Example:
        >>> fields_of("Gate | loss=Huber", ("weights",), ("loss",))
        {'weights': 'Gate', 'loss': 'Huber'}
    """
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise RequestError(f"A spec is a text of at most {MAX_TEXT} characters.")
    placed, named = [], {}
    for part in pieces(text, "|"):
        match = re.match(r"([A-Za-z_]+)\s*=(?!=)\s*(.*)", part)
        if not match:
            placed.append(part)
        elif match[1] not in others:
            raise unknown("field of a spec", match[1], others)
        elif match[1] in named:
            raise RequestError(f"{text!r} gives {match[1]} twice; give it once.")
        else:
            named[match[1]] = match[2]
    if len(placed) != len(axes) or not all(placed):
        raise RequestError(
            f"{text!r} has {len([part for part in placed if part])} of the three fields of a spec; "
            f"write '{' | '.join(axes)}', such as 'Gate | Linear | SGD'."
        )
    return {**dict(zip(axes, placed, strict=True)), **named}


def pieces(text: str, mark: str) -> list[str]:
    """Cuts a text at the marks that stand outside parentheses.

    Example:
        >>> pieces("Linear(map=rff(features=8, seed=1)), SGD", ",")
        ['Linear(map=rff(features=8, seed=1))', 'SGD']
    """
    depth, parts = 0, [""]
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == mark and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


def ingredient(family: str, text: str) -> Any:
    """Returns the choice of a family that a text says.

    Raises:
        RequestError: the text has another form, or a value is not valid.
        UnknownName: a choice or an option that does not exist.

    Example:
        >>> ingredient("weights", "Gate * ExpKernel(scale=8)").factors()[1].scale
        8.0
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise RequestError(
            f"{text!r} is not an ingredient; write a name with keywords, such as "
            "'ExpKernel(scale=8)'."
        ) from None
    return _built(family, tree, text, 0)


def _built(family: str, tree: ast.expr, text: str, depth: int) -> Ingredient:
    if depth > MAX_DEPTH:
        raise RequestError(f"{text[:80]!r}... is nested too deeply.")
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mult) and family == "weights":
        left = _built(family, tree.left, text, depth + 1)
        right = _built(family, tree.right, text, depth + 1)
        assert isinstance(left, Weights) and isinstance(right, Weights)
        return left * right
    name, keywords = _call(tree, text)
    if name not in REGISTRY[family]:
        raise unknown(f"choice of {family}", name, REGISTRY[family])
    cls = REGISTRY[family][name]
    known = {opt.name: opt for opt in cls.options()}
    settings: dict[str, Any] = {}
    for keyword in keywords:
        if keyword.arg is None:
            raise RequestError(f"{text!r}: options are written name=value.")
        if keyword.arg not in known:
            raise unknown(f"option of {name}", keyword.arg, known)
        constraint = known[keyword.arg].constraint
        if isinstance(constraint, Made):
            value: Any = _built(constraint.family, keyword.value, text, depth + 1)
        else:
            value = _literal(keyword.value, f"{name}.{keyword.arg}", text)
        settings[keyword.arg] = value
    return cls(**settings)


def _call(tree: ast.expr, text: str) -> tuple[str, list[ast.keyword]]:
    if isinstance(tree, ast.Name):
        return tree.id, []
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and not tree.args:
        names = [k.arg for k in tree.keywords]
        if len(set(names)) < len(names):
            raise RequestError(f"{text!r} gives an option twice; give it once.")
        return tree.func.id, tree.keywords
    raise RequestError(
        f"{text!r} is not an ingredient; write a name, or a name with keyword options, such as "
        "'SGD(residual=undecayed)'; weights may be multiplied: 'Gate * ExpKernel'."
    )


def _literal(tree: ast.expr, where: str, text: str) -> Any:
    if isinstance(tree, ast.Name):
        return WORDS.get(tree.id.lower(), tree.id)
    if isinstance(tree, ast.Constant) and isinstance(tree.value, (*NUMBERS, str, type(None))):
        return tree.value
    negative = isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub)
    inner = tree.operand if isinstance(tree, ast.UnaryOp) and negative else None
    if isinstance(inner, ast.Constant) and isinstance(inner.value, NUMBERS):
        return -inner.value
    raise RequestError(f"{where} in {text!r} must be a number, a word or none.")
