"""Pairs that somebody brings: a small CSV of keys and values, checked, and short enough for a link.

Numbers are kept to three digits, as half precision has them, and packed into the text that the
address carries: the picture is drawn from that text alone, so that a link shows the same.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from ttr_core import RequestError, how_many

LEAST_ROWS, MOST_ROWS, MOST_COLUMNS, MOST_NUMBERS = 10, 257, 32, 1024
MOST_BYTES = 100_000  # of a file
MOST_SIZE = 1000.0  # of a number
MOST_TEXT = 4000
"""Letters of packed pairs: half precision and base64 need 2.7 for each number."""
EXPECTED = "a CSV whose first line names its columns k1, k2, … and v1, v2, …"


@dataclass(frozen=True)
class Brought:
    """Keys and values, a row for each token.

    Args:
        keys: numbers of equally many columns in each row.
        values: the same.
    """

    keys: tuple[tuple[float, ...], ...]
    values: tuple[tuple[float, ...], ...]

    def packed(self) -> str:
        """Returns it as text for an address."""
        shape = (len(self.keys), len(self.keys[0]), len(self.values[0]))
        numbers = [x for pair in zip(self.keys, self.values, strict=True) for row in pair
                   for x in row]  # fmt: skip
        raw = struct.pack(f"<HBB{len(numbers)}e", *shape, *numbers)
        return base64.urlsafe_b64encode(zlib.compress(raw, 9)).decode().rstrip("=")

    def written(self) -> str:
        """Returns it as a CSV."""
        header = [f"{letter}{i + 1}" for letter, rows in (("k", self.keys), ("v", self.values))
                  for i in range(len(rows[0]))]  # fmt: skip
        rows = ([f"{x:g}" for x in (*k, *v)] for k, v in zip(self.keys, self.values, strict=True))
        return "".join(",".join(row) + "\n" for row in [header, *rows])


def unpacked(text: str) -> Brought:
    """Returns the pairs that a text of an address holds.

    Raises:
        RequestError: it holds none.
    """
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        inflate = zlib.decompressobj()
        raw = inflate.decompress(packed, 4 + 2 * MOST_NUMBERS + 1)
        rows, keys, values = struct.unpack_from("<HBB", raw)
        numbers = struct.unpack(f"<{rows * (keys + values)}e", raw[4:])
    except (binascii.Error, zlib.error, struct.error, ValueError):
        raise RequestError(
            "The pairs in the address cannot be read: copy the whole link, or upload the file."
        ) from None
    width = keys + values
    table = [numbers[i : i + width] for i in range(0, len(numbers), width or 1)]
    return _checked(table, keys, values)


def read(name: str, raw: bytes) -> Brought:
    """Returns the pairs of an uploaded file.

    Raises:
        RequestError: what is wrong with it, and where.
    """
    if len(raw) > MOST_BYTES:
        raise RequestError(f"{name} has {len(raw)} bytes; at most {MOST_BYTES} are read.")
    try:
        lines = list(csv.reader(io.StringIO(raw.decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise RequestError(f"{name} is no table of text; what is read is {EXPECTED}.") from None
    header, *rows = [[cell.strip() for cell in line] for line in lines if any(line)] or [[]]
    keys = sum(cell.lower().startswith("k") for cell in header)
    values = sum(cell.lower().startswith("v") for cell in header)
    named = [cell[:1].lower() for cell in header]
    if not keys or not values or named != ["k"] * keys + ["v"] * values:
        said = ", ".join(header)[:60] or "nothing"
        raise RequestError(f"The first line of {name} says {said}; what is read is {EXPECTED}.")
    if len(rows) > MOST_ROWS:
        raise RequestError(f"{name} has {len(rows)} pairs; at most {MOST_ROWS} are read.")
    table = [_numbers(name, header, at, row) for at, row in enumerate(rows, 2)]
    return _checked(table, keys, values)


def _numbers(name: str, header: list[str], at: int, row: list[str]) -> tuple[float, ...]:
    if len(row) != len(header):
        raise RequestError(
            f"Line {at} of {name} has {how_many(len(row), 'cell')}; its header {len(header)}."
        )
    found = []
    for column, cell in zip(header, row, strict=True):
        try:
            found.append(float(cell))
        except ValueError:
            wrong = f"Line {at} of {name}, column {column}: {cell[:20]!r} is no number."
            raise RequestError(wrong) from None
    return tuple(found)


def _checked(table: Sequence[tuple[float, ...]], keys: int, values: int) -> Brought:
    """Returns the pairs of a table, kept to three digits."""
    rows = len(table)
    if not LEAST_ROWS <= rows <= MOST_ROWS:
        raise RequestError(
            f"The table has {how_many(rows, 'pair')}; {LEAST_ROWS} to {MOST_ROWS} are drawn."
        )
    if not (1 <= keys <= MOST_COLUMNS and 1 <= values <= MOST_COLUMNS):
        raise RequestError(
            f"Keys have {keys} numbers and values {values}; each may have 1 to {MOST_COLUMNS}."
        )
    if rows * (keys + values) > MOST_NUMBERS:
        raise RequestError(
            f"{rows} pairs of {keys} + {values} numbers are {rows * (keys + values)}; at most "
            f"{MOST_NUMBERS} fit into a link."
        )
    for at, row in enumerate(table, 1):
        if not all(math.isfinite(x) and abs(x) <= MOST_SIZE for x in row):
            raise RequestError(
                f"Pair {at} holds a number that is not finite or beyond {MOST_SIZE:g}."
            )
    kept = [struct.unpack(f"<{len(row)}e", struct.pack(f"<{len(row)}e", *row)) for row in table]
    return Brought(tuple(row[:keys] for row in kept), tuple(row[keys:] for row in kept))


def example() -> Brought:
    """Returns pairs to begin with: four keys round and round, whose values turn half way."""
    rounds, around = 32, 2 * math.pi
    keys = [tuple(float(t % 4 == i) for i in range(4)) for t in range(rounds)]
    turn = [(t % 4 + 2 * (t >= rounds // 2)) / 4 for t in range(rounds)]
    values = [(math.cos(around * x), math.sin(around * x)) for x in turn]
    return _checked([(*k, *v) for k, v in zip(keys, values, strict=True)], 4, 2)
