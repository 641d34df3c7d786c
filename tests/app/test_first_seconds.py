"""The first ten seconds of Explore: it moves by itself, what is picked moves nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, expect

from pages._shared.rungs import RUNGS
from tests.app.browsing import Visit, menu, settle

PICTURES = Path(__file__).resolve().parents[2] / "pages/_explore/play/pictures.js"
SMALL = {"regression.seq_len": "64", "regression.dim": "8", "regression.sequences": "2"}
LETTER = 5.5  # pixels, in the tests of names


def test_it_plays_once_by_itself_until_anything_is_touched(visit: Visit) -> None:
    page = visit(f"?{urlencode(SMALL)}")
    player = page.locator(".play")
    expect(player).to_have_attribute("data-moving", "true")
    page.keyboard.down("Shift")  # to take a picture of the screen, say
    page.keyboard.up("Shift")
    expect(player).to_have_attribute("data-moving", "true")
    assert int(player.get_attribute("data-t") or -1) < 63
    page.get_by_text("Every sequence layer fits a function to the past.").click()
    expect(player).to_have_attribute("data-moving", "false", timeout=1000)
    assert player.get_attribute("data-t") == "63"
    page.wait_for_timeout(500)
    expect(page).not_to_have_url(re.compile("[?&]t="))
    menu(page, "Guide")
    menu(page, "Explore")
    expect(player).to_have_attribute("data-t", re.compile("[0-9]"))
    assert player.get_attribute("data-t") == "63", "at rest"
    page.goto(page.url.split("?")[0] + f"?{urlencode({**SMALL, 't': 20})}")
    settle(page)
    expect(player).to_have_attribute("data-moving", "false")
    assert player.get_attribute("data-t") == "20"


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1440, 900), (390, 844)], ids=["desktop", "phone"])
def test_a_rung_moves_nothing_below_it(visit: Visit, size: tuple[int, int]) -> None:
    page = visit(f"?{urlencode(SMALL)}")
    page.set_viewport_size({"width": size[0], "height": size[1]})
    main, start = page.get_by_test_id("stMain"), page.locator(".play .time")
    places = set()
    for rung in RUNGS:
        page.locator(".st-key-ladder").get_by_role("button", name=rung).click()
        settle(page)
        box, scrolled = start.bounding_box(), main.evaluate("main => main.scrollTop")
        assert box is not None
        places.add(round(box["y"] + scrolled))
    assert len(places) == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def drawn(browser: Browser, width: int, names: list[str]) -> list[str]:
    """Returns what stands at the ends of lines of a picture of some width."""
    page = browser.new_page()
    page.add_script_tag(path=str(PICTURES))
    texts: list[str] = page.evaluate(
        """([width, names, letter]) => {
          const film = { steps: 2, low: 0.01, high: 1,
            baselines: { "repeat the last value": [1, 1] },
            layers: names.map((name) => ({ name, values: [0.5, 0.5] })) };
          const ink = { size: 12, text: "black", font: "12px serif", colors: ["red", "blue"] };
          const canvas = { clientWidth: width, clientHeight: 300 }, drawn = [];
          const g = { fillText: (text) => drawn.push(text), setLineDash() {}, beginPath() {},
            measureText: (text) => ({ width: letter * text.length }), moveTo() {}, lineTo() {},
            stroke() {} };
          labels(g, film, 1, 1, axes(canvas, film, ink), ink);
          return drawn;
        }""",
        [width, names, LETTER],
    )
    page.close()
    return [text for text in texts if text != "0.5"]


def test_names_fit_a_phone_in_two_lines(browser: Browser) -> None:
    names = ["gated-deltanet", "softmax-attention", "linear-attention"]
    lines = drawn(browser, 360, names)
    assert lines == ["repeat the last", "value", "gated-", "deltanet", "softmax-", "attention",
                     "linear-", "attention"]  # fmt: skip
    assert drawn(browser, 700, names) == ["repeat the last value", *names]


def test_what_is_left_of_a_name_fits_no_other(browser: Browser) -> None:
    names = [f"Importance | {name} | SGD(step=1)" for name in ("Linear", "Affine")]
    names += [f"a_very_long_name_of_a_layer_that_ends_in_{i}" for i in range(6)]
    left = [text for text in drawn(browser, 700, names) if "…" in text]
    assert len(set(left)) == len(left) == len(names)
    for text in left:
        start, _, end = text.partition("…")
        assert sum(name.startswith(start) and name.endswith(end) for name in names) == 1
