"""What is played: one bounded message, true to what was computed; every step in a browser."""

from __future__ import annotations

import base64
import json
import math
import re
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, Page, expect
from streamlit.testing.v1 import AppTest

import ttr_core as ttr
from pages._explore import asked, chips, ladder
from pages._explore.play import film
from tests.app.app_text import played, text_of
from tests.app.browsing import Visit, back, chart, choose, settle, shot

Opener = Callable[..., AppTest]
ROOT = Path(__file__).resolve().parents[2]
SMALL = {"regression.seq_len": "16", "regression.dim": "4", "regression.sequences": "2"}
QUERY = "?regression.seq_len=64&regression.dim=8&regression.sequences=2"


def unpacked(packed: dict[str, Any]) -> list[list[float]]:
    """Returns the rows of a map as the browser reads them."""
    weights, scale = array("b"), array("f")
    weights.frombytes(base64.b64decode(packed["weights"]))
    scale.frombytes(base64.b64decode(packed["scale"]))
    assert len(scale) == packed["tokens"]
    rows, at = [], 0
    for t, most in enumerate(scale):
        row = weights[at : at + t + 1]
        rows.append([math.nan if w == -128 else w / 127 * most for w in row])
        at += t + 1
    assert at == len(weights)
    return rows


# --- the message -------------------------------------------------------------------------------


def test_a_map_comes_back_within_a_byte_of_each_row() -> None:
    weights = torch.randn(40, 40, generator=torch.Generator().manual_seed(0)).tril()
    weights[3:] *= torch.logspace(0, -6, 37)[:, None]  # late rows are faint, and stay true
    for t, row in enumerate(unpacked(film.packed(weights))):
        true = weights[t, : t + 1]
        assert (torch.tensor(row) - true).abs().max() <= 0.004 * true.abs().max()


def test_what_is_no_number_is_marked_and_spoils_nothing() -> None:
    weights = torch.ones(3, 3).tril()
    weights[1, 0], weights[2, 1] = math.nan, math.inf
    rows = unpacked(film.packed(weights))
    assert [[math.isnan(w) for w in row] for row in rows] == [
        [False], [True, False], [False, True, False]]  # fmt: skip
    assert rows[2][2] == pytest.approx(1.0)


def made(layers: int, steps: int, tokens: int) -> film.Film:
    """Returns a film of a size."""
    error, weights = [0.123456789] * steps, film.packed(torch.rand(tokens, tokens))
    made = tuple(film.Layer(f"layer {i}", error, error, weights) for i in range(layers))
    return film.Film(made, {"floor": error}, None, {"curves": "", "map": ""})


def test_a_film_is_bounded_whatever_is_asked() -> None:
    said = made(2 * film.MOST_LAYERS, 256, 4 * film.MOST_TOKENS).to_dict()
    assert len(said["layers"]) == film.MOST_LAYERS
    assert all(one["map"]["tokens"] == film.MOST_TOKENS for one in said["layers"])
    assert len(json.dumps(said)) < 450_000
    assert len(json.dumps(made(6, 256, 256).to_dict())) < 340_000


def test_json_holds_null_for_what_is_no_number() -> None:
    error = [1.0, math.nan, math.inf, 0.5]
    one = film.Film((film.Layer("a", error, error, None),), {}, 2, {"curves": "", "map": ""})
    said = json.loads(json.dumps(one.to_dict(), allow_nan=False))
    assert said["layers"][0]["values"] == [1.0, None, None, 0.5]
    assert (said["low"], said["high"]) == (0.5, 1.0)


def test_neither_a_zero_nor_an_outlier_stretches_the_axis() -> None:
    assert film.ends_of_axis([1.0, 0.5, 0.02, 0.0, 1e-30, 1e9, math.inf, math.nan]) == (0.02, 1.0)
    for nothing in ([], [0.0, 0.0], [math.nan]):
        low, high = film.ends_of_axis(nothing)
        assert 0 < low < high
    low, high = film.ends_of_axis([0.3, 0.3])
    assert low < 0.3 < high


# --- the page ----------------------------------------------------------------------------------


def test_the_page_plays_the_layer_and_what_is_pinned(page: Opener) -> None:
    app = page("explore", layer="deltanet", compare=["gla", "retnet"], t="7", **SMALL)
    said = played(app)
    assert [one["name"] for one in said["layers"]] == ["deltanet", "gla", "retnet"]
    assert said["steps"] == 16 and said["switch"] == 7 and said["start"]["step"] == 7
    assert all(one["map"]["tokens"] == 16 for one in said["layers"])
    assert "gla" in said["alt"]["curves"] and app.query_params["t"] == "7"


def test_where_people_stop_stays_in_the_address_and_moves_nothing(page: Opener) -> None:
    app = page("explore", layer="deltanet", **SMALL)
    first = played(app)["start"]
    app.query_params["t"] = "5"  # as the browser writes it
    app.number_input(key="task.pairs").set_value(2).run()
    assert app.query_params["t"] == "5" and played(app)["start"] == first
    del app.query_params["t"]
    app.number_input(key="task.pairs").set_value(3).run()
    assert "t" not in app.query_params


def test_a_step_that_is_none_is_answered_in_words(page: Opener) -> None:
    app = page("explore", t="soon", **SMALL)
    assert not app.exception and "t is 'soon'" in text_of(app)
    assert played(app)["start"]["step"] is None


def test_a_map_that_costs_much_is_small_and_says_how_far_it_may_be_off(page: Opener) -> None:
    far = {**SMALL, "regression.seq_len": "40"}
    far["regression.seq_len"] = "72"
    own, *pinned = played(page("explore", layer="titans", compare="titans", **far))["layers"]
    assert own["map"]["tokens"] == 64 and not pinned
    own, beside = played(page("explore", layer="gla", compare="titans", **far))["layers"]
    assert own["map"]["tokens"] == 72 and own["map"]["missed"] == 0
    assert beside["map"]["tokens"] == 64 and 0 < beside["map"]["missed"] < 0.5


def test_a_lock_holds_a_value_and_the_address_carries_it(page: Opener) -> None:
    app = page("explore", layer="gated-deltanet", compare="", **SMALL)
    free, open_label = played(app)["layers"][0], app.button(key="lock.signal.step").label
    app.button(key="lock.signal.step").click().run()
    held = "".join(app.query_params["hold"])
    assert held.startswith("signal.step=") and f"step **{held[12:]}" in open_label
    app.number_input(key="held.signal.step").set_value(0.01).run()
    assert "".join(app.query_params["hold"]) == "signal.step=0.01"
    slow = played(app)["layers"][0]
    assert slow["values"] != free["values"] and r"step = 0.01" in text_of(app)
    other = page("explore", **dict(app.query_params))
    assert played(other)["layers"][0] == slow
    other.button(key="lock.signal.step").click().run()
    assert "hold" not in other.query_params and played(other)["layers"][0] == free


def test_what_is_held_beyond_reason_is_answered_in_words(page: Opener) -> None:
    app = page("explore", hold=["signal.step=fast", "nothing=1", "signal.step=1e9"], **SMALL)
    assert not app.exception and "hold is 'signal.step=fast' in the address" in text_of(app)
    assert "Not possible as asked" in [b.value for b in app.markdown] or played(app)
    assert [b.key for b in app.button if b.key == "train"], "the rest of the page stands"


def test_the_second_map_stays_in_the_address(page: Opener) -> None:
    app = page("explore", layer="deltanet", compare=["gla", "retnet"], beside="retnet", **SMALL)
    assert played(app)["start"]["beside"] == "retnet"
    assert app.query_params["beside"] == "retnet"


@pytest.mark.parametrize("family", ["weights", "function", "optimizer"])
def test_a_chip_names_the_layer_one_gets_or_says_why_there_is_none(family: str) -> None:
    shown = chips.around("Gate | Linear | SGD", family)
    known = {cls.name for cls in ttr.choices(family)}
    assert len(shown) == chips.SHOWN and {chip.choice for chip in shown} <= known
    for chip in shown:
        spec = ttr.Spec.parse(chip.text)
        assert bool(chip.reason) == bool(spec.objections())
        assert chip.reason or not chip.named or chip.named in asked.named(chip.text)
    here = {chip.choice: chip.named for chip in shown if chip.text == "Gate | Linear | SGD"}
    assert list(here.values()) == ["gated-deltanet"]


def test_a_chip_that_makes_no_layer_is_gray_and_another_makes_its_layer(page: Opener) -> None:
    app = page("explore", spec="Gate | Linear | SGD", **SMALL)
    gray = app.button(key="chip.weights.ExpKernel")
    assert gray.disabled and ttr.Spec.parse("ExpKernel | Linear | SGD").objections()
    app.button(key="chip.optimizer.Hebbian").click().run()
    assert app.text_input(key="spec").value == "Gate | Linear | Hebbian" and not app.exception


@pytest.mark.parametrize("rung", ladder.RUNGS)
def test_every_rung_is_a_layer_and_a_state_of_the_page(page: Opener, rung: str) -> None:
    text, _ = ladder.RUNGS[rung]
    assert not ttr.Spec.parse(text).objections() and not ttr.caution(ttr.Spec.parse(text))
    app = page("explore", layer="gla", **SMALL)
    app.button(key=f"rung.{rung}").click().run()
    assert not app.exception and app.text_input(key="spec").value == text
    assert app.query_params["spec"] == text and "layer" not in app.query_params
    assert played(app)["layers"][0]["map"]["tokens"] == 16


def test_a_label_stands_as_high_as_its_number_says(browser: Browser) -> None:
    page = browser.new_page()
    page.add_script_tag(path=str(ROOT / "pages/_explore/play/pictures.js"))
    places = page.evaluate(
        """() => {
          const errors = [1, 0.01], layer = (name, values) => ({ name, values });
          const film = { steps: 2, low: 0.01, high: 1, baselines: {},
            layers: [layer("falls", errors), layer("rises", [...errors].reverse())] };
          const ink = { size: 12, text: "black", font: "12px serif", colors: ["red", "blue"] };
          const canvas = { clientWidth: 600, clientHeight: 300 }, at = axes(canvas, film, ink);
          return [0, 1].map((t) => {
            const drawn = {}, g = { fillText: (text, x, y) => (drawn[text] = y),
              measureText: () => ({ width: 1 }), setLineDash() {}, beginPath() {}, moveTo() {},
              lineTo() {}, stroke() {} };
            labels(g, film, t, 1, at, ink);
            return [drawn.falls, drawn.rises, drawn["1"], drawn["0.01"]];
          });
        }"""
    )
    page.close()
    for falls, rises, high, low in places:
        assert {falls, rises} == {high, low} and high < low
    assert places[0][0] < places[0][1] and places[1][0] > places[1][1]


# --- the browser -------------------------------------------------------------------------------


def step(page: Page) -> int:
    """Returns the step on show."""
    return int(page.locator(".play").get_attribute("data-t") or -1)


@pytest.mark.slow(seconds=17)
def test_plays_stops_and_scrubs_without_asking_the_server(visit: Visit) -> None:
    page = visit(QUERY)
    player, said = page.locator(".play"), page.locator(".play output")
    expect(player).to_have_attribute("data-moving", "true")  # by itself, once
    choose(page, "Optimizer", "Hebbian")
    expect(player).to_have_attribute("data-t", "63")  # whoever begins with something else sees all
    expect(page).to_have_url(re.compile("Hebbian"))  # before it there is nothing to come back from
    back(page)
    expect(player).to_have_attribute("data-t", "63")
    sent: list[object] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda f: sent.append(f)))
    page.reload()
    settle(page)
    assert sent, "nobody listens"
    expect(player).to_have_attribute("data-moving", "true")  # by itself anew
    expect(player).to_have_attribute("data-t", re.compile(r"^([1-9]|[1-5]\d)$"))
    page.get_by_role("button", name="Pause", exact=True).click()
    sent.clear()
    entries, stopped = page.evaluate("history.length"), step(page)
    assert 0 < stopped < 63
    page.get_by_role("button", name="Play", exact=True).click()
    expect(player).to_have_attribute("data-moving", "true")
    page.wait_for_timeout(700)
    page.get_by_role("button", name="Pause", exact=True).click()
    assert stopped < step(page) < 63
    slider = page.get_by_role("slider", name="Step t")
    slider.focus()
    page.keyboard.press("Home")
    expect(said).to_contain_text("At step 0 the squared error of gated-deltanet")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    expect(player).to_have_attribute("data-t", "11")
    expect(page).to_have_url(re.compile("t=11"))
    page.keyboard.press(" ")
    expect(player).to_have_attribute("data-moving", "true")
    page.keyboard.press(" ")
    page.keyboard.press("End")
    expect(player).to_have_attribute("data-t", "63")
    expect(page).not_to_have_url(re.compile("[?&]t="))
    assert page.evaluate("history.length") == entries and not sent
    picture = chart(page, "Squared error at each step")
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + 90)
    page.mouse.down()
    page.mouse.up()
    expect(player).to_have_attribute("data-t", re.compile("^[123][0-9]$"))


@pytest.mark.slow
def test_a_link_opens_at_its_step_and_a_change_keeps_playing(visit: Visit) -> None:
    page = visit(f"{QUERY}&t=20")
    player = page.locator(".play")
    expect(player).to_have_attribute("data-t", "20")
    page.get_by_role("button", name="Play", exact=True).click()
    choose(page, "Optimizer", "Hebbian")
    expect(chart(page, "Squared error at each step of gated retention")).to_be_visible()
    assert step(page) != 20
    shot(page, "explore-playing")


@pytest.mark.slow
def test_who_wishes_for_no_motion_gets_a_still_picture(visit: Visit) -> None:
    page = visit(QUERY)
    page.emulate_media(reduced_motion="reduce")
    page.reload()
    settle(page)
    player = page.locator(".play")
    expect(player).to_have_attribute("data-t", re.compile("[0-9]"))
    assert step(page) == 63, "nothing plays by itself"
    page.get_by_role("slider", name="Step t").focus()
    page.keyboard.press("Home")
    page.get_by_role("button", name="Step", exact=True).click()
    expect(player).to_have_attribute("data-t", "1")
    expect(player).to_have_attribute("data-moving", "false")


@pytest.mark.slow
def test_without_a_canvas_the_lines_are_drawn_all_the_same(visit: Visit) -> None:
    page = visit("runs")
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto(page.url.replace("/runs", f"/{QUERY}"))
    settle(page)
    expect(chart(page, "Squared error at each step of gated-deltanet")).to_be_visible()
    expect(page.locator(".play .curves polyline")).to_have_count(3)
    expect(page.locator(".play output")).to_contain_text("squared error of gated-deltanet")
    expect(page.get_by_test_id("stException")).to_have_count(0)
    page.close()  # no other test draws without a canvas


@pytest.mark.slow
def test_who_predicts_sees_nothing_of_what_comes(visit: Visit) -> None:
    page = visit(QUERY)
    player, said = page.locator(".play"), page.locator(".play output")
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(player).to_have_attribute("data-t", "0")
    page.get_by_label("Speed").select_option("4")
    page.get_by_role("button", name="Play", exact=True).click()
    expect(said).to_contain_text("The rule changes now: what will happen?")
    expect(player).to_have_attribute("data-t", "31")
    page.keyboard.press("p")
    expect(player).to_have_attribute("data-t", "63")


@pytest.mark.slow
def test_all_of_it_is_on_one_screen_and_one_key_plays_it(visit: Visit) -> None:
    page = visit("?t=0")
    page.set_viewport_size({"width": 1440, "height": 900})
    expect(page.locator(".play output")).to_be_in_viewport(ratio=1.0)
    page.locator("body").press("p")
    expect(page.locator(".play")).to_have_attribute("data-moving", "true")
    page.set_viewport_size({"width": 390, "height": 844})
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_have_the_color_of_their_ingredient(visit: Visit, scheme: str) -> None:
    page = visit(QUERY, scheme)
    for owner, letter in (("weights", "a"), ("function", "S"), ("optimizer", "β")):
        said = page.locator(".st-key-update .katex-html .mord", has_text=letter).last
        card = page.locator(f".st-key-card-{owner} strong").first
        wanted = card.evaluate("e => getComputedStyle(e).color")
        assert said.evaluate("e => getComputedStyle(e).color") == wanted
