"""What is played: processes, one's own words, pairs from a file, checked and carried by a link."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable

import pytest
import torch
from streamlit.testing.v1 import AppTest

from pages._explore import pairs, sequences
from tests.app.app_text import played, text_of
from ttr_core import RequestError

Opener = Callable[..., AppTest]
SMALL = {"regression.seq_len": "16", "regression.dim": "4", "regression.sequences": "2"}


def test_every_sequence_is_played_and_stays_in_the_address(page: Opener) -> None:
    app = page("explore", layer="deltanet", compare="", **SMALL)
    assert app.selectbox(key="regression.process").value == "repeated"
    for kind in sequences.KINDS:
        app.selectbox(key="regression.process").set_value(kind).run()
        assert not app.exception, kind
        said = played(app)
        changes = kind not in (sequences.OWN_WORDS, sequences.OWN_PAIRS)
        assert said["steps"] == 16 and (said["switch"] is not None) == changes, kind
    assert app.query_params["regression.process"] == "pairs"
    assert list(said["baselines"]) == ["repeat the last value"]


def test_words_name_the_tokens_and_what_cannot_be_read_is_said(page: Opener) -> None:
    app = page("explore", compare="", **SMALL, **{"regression.process": "text"})
    app.text_input(key="regression.text").set_value("la la land").run()
    assert played(app)["words"][:4] == ["la", "la", "land", "la"]
    assert app.query_params["regression.text"] == "la la land"
    app.text_input(key="regression.text").set_value("la").run()
    assert "reads 2 to 100 words" in text_of(app) and not app.exception
    assert [b.key for b in app.button if b.key == "train"], "the rest of the page stands"


def test_uploaded_pairs_are_drawn_and_carried_by_the_address(page: Opener) -> None:
    app = page("explore", compare="", **SMALL, **{"regression.process": "pairs"})
    brought = "k1,k2,v1\n" + "".join(f"{t % 3},1,{t % 2}\n" for t in range(14))
    app.file_uploader[0].upload("mine.csv", brought.encode(), "text/csv").run()
    assert not app.exception and played(app)["steps"] == 13
    packed = "".join(app.query_params["pairs"])
    assert pairs.unpacked(packed).written() == brought
    other = page("explore", **dict(app.query_params))
    assert played(other)["layers"] == played(app)["layers"]
    app.file_uploader[0].upload("mine.csv", b"k1,v1\n1,nan\n", "text/csv").run()
    assert "The table has 1 pair; 10 to 257 are drawn" in text_of(app)
    assert played(app)["steps"] == 13 and not app.exception
    broken = page("explore", compare="", **{"regression.process": "pairs", "pairs": packed[:-9]})
    assert "cannot be read: copy the whole link" in text_of(broken) and not broken.exception


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"\x89PNG\x00\xff", "no table of text"),
        (b"", "says nothing"),
        (b"a,b\n1,2\n", "says a, b"),
        (b"v1,k1\n1,2\n", "says v1, k1"),
        (b"k1,v1\n" + b"1,2,3\n" * 12, "Line 2 of x.csv has 3 cells"),
        (b"k1,v1\n" + b"1,\n" * 12, "Line 2 of x.csv, column v1: '' is no number"),
        (b"k1,v1\n" + b"1,inf\n" * 12, "Pair 1 holds a number that is not finite"),
        (b"k1,v1\n" + b"1,1e9\n" * 12, "Pair 1 holds a number that is not finite or beyond"),
        (b"k1,v1\n" + b"1,2\n" * 258, "has 258 pairs"),
        (b"k1,v1\n" + b"1,2\n" * 60_000, "bytes"),
        ((",".join(["k1"] * 33 + ["v1"]) + "\n" + ("1," * 33 + "1\n") * 12).encode(), "may have 1"),
        ((",".join(["k1"] * 20 + ["v1"]) + "\n" + ("1," * 20 + "1\n") * 50).encode(), "are 1050"),
    ],
)
def test_a_file_of_the_wrong_kind_shape_or_size_is_answered_in_a_sentence(
    raw: bytes, said: str
) -> None:
    with pytest.raises(RequestError, match=said):
        pairs.read("x.csv", raw)


def test_the_largest_pairs_fit_into_the_address() -> None:
    numbers = torch.randn(64, 16, generator=torch.Generator().manual_seed(0)).tolist()
    made = pairs.Brought(*(tuple(tuple(r[a:b]) for r in numbers) for a, b in ((0, 8), (8, 16))))
    assert len(made.packed()) <= pairs.MOST_TEXT
    close = [a == pytest.approx(b, rel=1e-3, abs=1e-6) for a, b in
             zip(pairs.unpacked(made.packed()).keys, made.keys, strict=True)]  # fmt: skip
    assert all(close)
    bomb = base64.urlsafe_b64encode(zlib.compress(b"\x00" * 10**7)).decode()
    with pytest.raises(RequestError, match="cannot be read"):
        pairs.unpacked(bomb)
