"""What the app costs: processor time, waiting, payloads, memory. Printed, never asserted.

    python -m tests.app.measure                 all of it, some minutes; needs Chromium
    python -m tests.app.measure --layers titans gla --visits 0

Times of the processor are those of the server's process alone, as the kernel counts them, and
hold on a busy machine, too. Waiting is what a person sees in a browser on the same machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, WebSocket, expect, sync_playwright
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

import ttr_core as ttr
from tests import processes
from tests.app.browsing import FLAGS, settle
from tests.servers import wait_until_healthy

ROOT = Path(__file__).resolve().parents[2]
WORST = 6  # layers that are named
CHARTS = ("vega", "component")  # kinds of elements; one that the browser holds is a ``ref_hash``
KNOBS = ("regression.noise=0.1", "regression.noise=0.05", "regression.seed=1")
"""Changes of a setting, one after the other, on top of the layer that opens first."""


@dataclass(frozen=True)
class Server:
    """The real app in a process of its own.

    Args:
        process: it.
        address: where it answers.
    """

    process: subprocess.Popen[bytes]
    address: str

    def cpu(self) -> float:
        """Returns the seconds of processor time that it has taken, all threads, no children."""
        return processes.cpu(self.process.pid)

    def rest(self) -> None:
        """Waits until it has loaded what it loads by itself."""
        before = -1.0
        while self.cpu() > before:
            before = self.cpu()
            time.sleep(1.0)

    def memory(self) -> dict[str, float]:
        """Returns its resident megabytes, and those of its child processes, by kind."""
        mine = self.process.pid
        held = {"server": [mine], "workers": processes.descendants(mine)}
        return {name: sum(map(processes.resident, pids)) / 1e6 for name, pids in held.items()}


@contextmanager
def served(home: Path | None = None) -> Iterator[Server]:
    """Starts the app with an empty store of its own, or on that of a folder, and ends it."""
    with socket.socket() as probe, tempfile.TemporaryDirectory() as empty:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        process = subprocess.Popen(
            [sys.executable, "pages/_shared/server.py", f"--server.port={port}"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TTR_HOME": str(home or empty)},
        )
        try:
            wait_until_healthy(f"http://127.0.0.1:{port}/_stcore/health", process)
            yield Server(process, f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait(20)


@dataclass
class Wire:
    """What a page hears from the server.

    Args:
        bytes: of all messages.
        kinds: bytes by the kind of element.
        charts: bytes of each chart, by its place in the order of arrival.
        arrived: when each chart arrived.
    """

    bytes: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    charts: list[int] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)

    def heard(self, socket: WebSocket) -> None:
        """Listens to a connection."""
        socket.on("framereceived", self.hear)

    def hear(self, frame: str | bytes) -> None:
        """Counts a message."""
        if isinstance(frame, str):
            return
        self.bytes += len(frame)
        message = ForwardMsg()
        message.ParseFromString(frame)
        kind = str(message.WhichOneof("type"))
        if kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            kind = str(message.delta.new_element.WhichOneof("type"))
        self.kinds[kind] += len(frame)
        if kind == "ref_hash" or any(chart in kind for chart in CHARTS):
            self.charts.append(len(frame))
            self.arrived.append(time.monotonic())

    def clear(self) -> None:
        """Begins anew."""
        self.bytes, self.kinds, self.charts, self.arrived = 0, Counter(), [], []


@dataclass(frozen=True)
class Cost:
    """What one change costs.

    Args:
        cpu: seconds of the server's processor.
        chart: seconds until the first chart has arrived.
        wall: seconds until the page stands still.
        bytes: that came over the wire.
    """

    cpu: float
    chart: float
    wall: float
    bytes: int

    def __str__(self) -> str:
        return (
            f"{self.cpu:5.2f} s of processor, first chart after {self.chart:5.2f} s, "
            f"all after {self.wall:5.2f} s, {self.bytes / 1000:.0f} kB"
        )


@dataclass(frozen=True)
class Visit:
    """A browser at the app.

    Args:
        server: the app.
        page: the browser's.
        wire: what it hears.
    """

    server: Server
    page: Page
    wire: Wire

    @classmethod
    def opened(cls, browser: Browser, server: Server) -> tuple[Visit, Cost]:
        """Opens the app in a fresh browser; returns the cost, too."""
        page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
        page.set_default_timeout(60_000)
        visit = cls(server, page, Wire())
        page.on("websocket", visit.wire.heard)
        return visit, visit._cost(lambda: page.goto(server.address))

    def to(self, **values: str) -> Cost:
        """Goes to another state of Explore within the session, as Back would."""
        there = "/?" + urlencode(values)
        script = "there => { history.pushState({}, '', there); dispatchEvent(new PopStateEvent("
        return self._cost(lambda: self.page.evaluate(script + "'popstate')); }", there))

    def _cost(self, act: Callable[[], object]) -> Cost:
        self.wire.clear()
        began, used = time.monotonic(), self.server.cpu()
        act()
        settle(self.page)
        wall = time.monotonic() - began
        self.page.wait_for_timeout(200)  # what the server does after its last word
        first = min(self.wire.arrived, default=began) - began
        return Cost(self.server.cpu() - used, first, wall, self.wire.bytes)


def openings(browser: Browser) -> None:
    """Prints what a server takes to start, and its first and second visitor."""
    began = time.monotonic()
    with served() as server:
        wall = time.monotonic() - began
        print(f"server answers after {wall:.2f} s, {server.cpu():.2f} s of processor")
        server.rest()
        print(f"libraries and all else loaded: {server.cpu():.2f} s of processor")
        for name in ("first", "second"):
            visit, cost = Visit.opened(browser, server)
            print(f"{name} opening: {cost}")
            if name == "first":
                _payloads(visit.wire)
        print("memory: " + _listed(server.memory()))


def _payloads(wire: Wire) -> None:
    kinds = ", ".join(f"{kind} {size / 1000:.1f}" for kind, size in wire.kinds.most_common(6))
    charts = ", ".join(f"{size / 1000:.1f}" for size in wire.charts)
    print(f"  payload in kB: {kinds}; each chart: {charts}")


def _listed(memory: dict[str, float]) -> str:
    return ", ".join(f"{name} {held:.0f} MB" for name, held in memory.items())


def changes(browser: Browser, layers: Sequence[str]) -> None:
    """Prints what a change of the layer costs, and one of a knob."""
    with served() as server:
        visit, _ = Visit.opened(browser, server)
        found = {layer: visit.to(layer=layer) for layer in layers}
        ordered = sorted(found, key=lambda layer: found[layer].cpu)
        print(f"change of the layer, {len(found)} layers, median: {_median(list(found.values()))}")
        for layer in ordered[: -WORST - 1 : -1]:
            print(f"  {layer}: {found[layer]}")
        again = [visit.to(layer=layer) for layer in ordered[:8]]
        print(f"the same again, all known: {_median(again)}")
        knobs = [visit.to(**dict([knob.split("=")])) for knob in KNOBS]
        print(f"change of a knob, {', '.join(KNOBS)}: {_median(knobs)}")


def _median(costs: Sequence[Cost]) -> Cost:
    def middle(name: str) -> float:
        return statistics.median(getattr(cost, name) for cost in costs)

    return Cost(middle("cpu"), middle("chart"), middle("wall"), int(middle("bytes")))


def playing(browser: Browser) -> None:
    """Prints frames per second while 6 layers of 256 steps play, and waiting for a changed knob."""
    six = ["deltanet", "gla", "retnet", "linear-attention", "mesa-layer"]
    query = urlencode({"regression.seq_len": "256", "compare": six, "t": "0"}, doseq=True)
    with served() as server:
        visit, _ = Visit.opened(browser, server)
        page, player = visit.page, visit.page.locator(".play")
        page.goto(f"{server.address}/?{query}")
        settle(page)
        page.locator("body").press("p")
        before, began = int(player.get_attribute("data-frames") or 0), time.monotonic()
        page.wait_for_timeout(5000)
        drawn = int(player.get_attribute("data-frames") or 0) - before
        layers, rate = player.get_attribute("data-layers"), drawn / (time.monotonic() - began)
        print(f"playing {layers} layers x 256 steps: {rate:.0f} frames a second")
        took = []
        for rung in ("Hebbian sum", "SGD steps", "Exact fit", "with a gate", "softmax"):
            began = time.monotonic()
            page.get_by_role("button", name=rung).click()
            page.locator('.play[data-moving="true"]').wait_for()
            took.append(time.monotonic() - began)
            settle(page)
        print("a rung to its first moving frame: " + ", ".join(f"{s:.2f} s" for s in took))


def knobs(browser: Browser, layers: Sequence[str]) -> None:
    """Prints how long a changed knob takes to the first frame that moves, layer by layer."""
    took, used = {}, {}
    with served() as server:
        page = Visit.opened(browser, server)[0].page
        for layer in layers:
            page.goto(f"{server.address}/?{urlencode({'layer': layer, 't': 40})}")
            settle(page)
            page.locator('.play[data-moving="false"]').wait_for()
            noise = page.get_by_role("spinbutton", name="Noise").first
            noise.fill("0.05")
            began, before = time.monotonic(), server.cpu()
            noise.press("Enter")
            page.locator('.play[data-moving="true"]').wait_for()
            took[layer], used[layer] = time.monotonic() - began, server.cpu() - before
            settle(page)
    wall, cpu = (statistics.median(found.values()) for found in (took, used))
    print(f"a knob to its first moving frame, {len(took)} layers, median: {wall:.2f} s, "
          f"{cpu:.2f} s of the server's processor")  # fmt: skip
    for layer in sorted(took, key=lambda layer: used[layer])[: -WORST - 1 : -1]:
        print(f"  {layer}: {took[layer]:.2f} s, {used[layer]:.2f} s of processor")


def visits(browser: Browser, layers: Sequence[str], count: int) -> None:
    """Prints the memory of a server at which two people change the layer and the seed in turn."""
    with served() as server:
        people = [Visit.opened(browser, server)[0] for _ in range(2)]
        print(f"memory after two openings: {_listed(server.memory())}")
        for i in range(count):
            layer, seed = layers[i % len(layers)], i // len(layers)
            people[i % 2].to(**{"layer": layer, "regression.seed": str(seed)})
            if (i + 1) % max(1, count // 4) == 0:
                print(f"memory after {i + 1} changes by two people: {_listed(server.memory())}")


def chromium() -> str:
    """Returns where Chromium is, or ends the program with a sentence."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    return found or sys.exit("This needs Chromium: apt-get install chromium")


def main() -> None:
    """Measures what was asked for."""
    asked = argparse.ArgumentParser(description="Measures the app in headless Chromium.")
    asked.add_argument("--layers", nargs="*", default=list(ttr.catalog), help="layers to change to")
    asked.add_argument("--visits", type=int, default=200, help="changes by two people; 0 for none")
    chosen = asked.parse_args()
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        openings(browser)
        playing(browser)
        if chosen.layers:
            changes(browser, chosen.layers)
            knobs(browser, chosen.layers)
        if chosen.visits:
            visits(browser, chosen.layers or list(ttr.catalog), chosen.visits)
        browser.close()


if __name__ == "__main__":
    main()
