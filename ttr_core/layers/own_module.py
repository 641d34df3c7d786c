"""A user's own module in the place of a layer: its name, how it is loaded, what it must keep to.

A name says the class and the content of its file, so that two contents are two layers and none is
taken for one of the catalog. Describing, comparing and storing a run needs the name alone. Only
`load_module` runs the file; what has not called it cannot build the layer.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import RequestError, unknown
from ..named import Carried

PREFIX, DIGITS = "module:", 16
FORM = re.compile(rf"{PREFIX}([^\W\d]\w*)@([0-9a-f]{{{DIGITS}}})")
MOST_SOURCE = 2_000_000  # bytes of a file

IMPORTS = (ast.Import, ast.ImportFrom)

MODULES: dict[str, Callable[..., nn.Module]] = {}
"""Name -> class, of the modules that this process has loaded."""

_FILES: set[str] = set()  # that it has run


def is_module(text: str) -> bool:
    """Says whether the text of a layer names a user's module.

    Args:
        text: of a layer, as in ``model.layers``.

    Example:
        >>> is_module("module:Mine@0123456789abcdef"), is_module("gla")
        (True, False)
    """
    return FORM.fullmatch(text) is not None


def module_name(file: Path, cls: str) -> str:
    """Returns the name of a class in a file, by the file's content; nothing of it is run.

    Args:
        file: Python source.
        cls: the name of a class in it.

    Raises:
        RequestError: the file cannot be read, is too large, or the name is no name of a class.

    Example:
        >>> import tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp(), "mine.py")
        >>> _ = file.write_text("class Mine: pass")
        >>> module_name(file, "Mine")
        'module:Mine@ee6b26a57407851d'
    """
    if not cls.isidentifier():
        raise RequestError(
            f"A module is FILE:Class, such as mine.py:Mine; {cls[:80]!r} is no name of a class."
        )
    return f"{PREFIX}{cls}@{hashlib.sha256(_source(file)).hexdigest()[:DIGITS]}"


def _source(file: Path) -> bytes:
    try:
        if file.stat().st_size > MOST_SOURCE:
            raise RequestError(f"{file} has more than {MOST_SOURCE:,} bytes: give one source file.")
        return file.read_bytes()
    except OSError as error:
        raise RequestError(
            f"{file} cannot be read ({error.strerror}): give FILE:Class, such as mine.py:Mine."
        ) from None


def check_class(file: Path, cls: str) -> None:
    """Refuses the name of a class that a file does not have, as far as its text tells.

    Nothing of it is run, so that a name which it may make otherwise (a star import, a text with the
    name) is let by.

    Args:
        file: Python source.
        cls: the name of a class in it.

    Raises:
        RequestError: the file has no such class, or is no Python; the text names the nearest.

    Example:
        >>> import tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp(), "mine.py")
        >>> _ = file.write_text("class Mine: pass")
        >>> check_class(file, "Mine")
    """
    try:
        tree = ast.parse(_source(file))
    except (SyntaxError, ValueError) as error:
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise RequestError(f"{file.name} is no Python: {said}{line}.") from None
    every = [*ast.walk(tree)]
    classes = [node.name for node in every if isinstance(node, ast.ClassDef)]
    bound = {node.id for node in every if isinstance(node, ast.Name)}
    bound |= {str(node.value) for node in every if isinstance(node, ast.Constant)}
    bound |= {x.asname or x.name for node in every if isinstance(node, IMPORTS) for x in node.names}
    if cls in {*classes, *bound} or "*" in bound:
        return
    if not classes:
        raise RequestError(
            f"{file.name} defines no class {cls!r} and no other: give the file with it."
        )
    raise unknown(f"class of {file.name}", cls, classes)


def load_module(file: Path, name: str) -> None:
    """Runs a user's file in this process and keeps its class, for models to be built of it.

    Args:
        file: Python source.
        name: as `module_name` returned it.

    Raises:
        RequestError: the file is another by now, cannot be imported, or has no such class.
    """
    found = FORM.fullmatch(name)
    cls = "" if found is None else found[1]
    if module_name(file, cls) != name:
        raise RequestError(f"{file} has changed since the run was asked for: run it again.")
    space = types.ModuleType(f"own_{cls}")
    space.__file__ = str(file)
    _FILES.add(str(file))
    sys.modules[space.__name__] = space  # dataclasses look their module up
    try:
        exec(compile(_source(file), str(file), "exec"), space.__dict__)
    except (Exception, SystemExit) as error:
        raise RequestError(f"{file} could not be imported: {told(error)}") from error
    classes = [
        n for n, x in vars(space).items() if isinstance(x, type) and issubclass(x, nn.Module)
    ]
    if cls not in classes:
        raise unknown(f"torch.nn.Module of {file.name}", cls, classes)
    MODULES[name] = vars(space)[cls]


def told(error: BaseException) -> str:
    """Returns what a user's code raised, and in which line.

    Args:
        error: what was raised.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename in _FILES]
    line = f" (line {own[-1].lineno} of {Path(own[-1].filename).name})" if own else ""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}{': ' + said[0][:500] if said else ''}{line}."


class OwnModule(nn.Module):
    """A user's module as the layer of a block.

    Args:
        name: as `module_name` returned it.
        d_model: D, size of its inputs and outputs.
        generator: what its fresh parameters are drawn by; None takes torch's own.

    Raises:
        RequestError: this process has not loaded it, or it cannot be made.
    """

    def __init__(self, name: str, d_model: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if name not in MODULES:
            raise RequestError(
                f"{name} is a user's module, and its file is not given here: it runs by "
                "`ttr run --module FILE:Class` alone."
            )
        self.name, self.d_model, self._process = name, d_model, os.getpid()
        with torch.random.fork_rng(devices=[]):
            if generator is not None:
                torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            try:
                self.inner = MODULES[name](d_model)
            except Exception as error:  # a user's code may raise anything
                raise RequestError(f"{name} could not be made: {told(error)}") from error

    def called(self, part: Callable[..., Any], *inputs: Tensor) -> Any:
        """Calls a part of the user's code and returns what it returns.

        Args:
            part: the module or a method of it.
            inputs: what it takes.

        Raises:
            RequestError: it raises something; or it has forked, and this is the copy.
        """
        if torch.compiler.is_compiling():
            return part(*inputs)
        try:
            found = part(*inputs)
        except Exception as error:  # a user's code may raise anything
            raise RequestError(f"{self.name} raised {told(error)}") from error
        if os.getpid() != self._process:  # it would go on and fork again, without end
            raise RequestError(f"{self.name} has forked: a copy of its process goes no further.")
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Maps a whole sequence, [B, T, D] to [B, T, D].

        Raises:
            RequestError: it raises something, or what it returns is no tensor of the shape and
                type of its input.
        """
        y = self.called(self.inner, x)
        if not isinstance(y, Tensor):
            raise RequestError(
                f"{self.name} returned {type(y).__name__}; it maps a tensor [B, T, {self.d_model}] "
                "to one of the same shape."
            )
        if y.shape != x.shape or y.dtype != x.dtype:
            raise RequestError(
                f"{self.name} returned {y.dtype} of shape {tuple(y.shape)} for an input of "
                f"{x.dtype} of shape {tuple(x.shape)}: both must be the same."
            )
        return y

    def step(self, x: Tensor, state: Carried | None = None) -> tuple[Tensor, Carried]:
        """Refuses: how it decodes is the module's own matter.

        Raises:
            RequestError: always.
        """
        raise RequestError(f"{self.name} is a user's module and maps whole sequences alone.")
