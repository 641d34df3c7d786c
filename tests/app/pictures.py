"""The pictures of README and docs, taken in a browser: ``python -m tests.app.pictures [--write]``.

An animated one of the ladder playing, as a GIF of few colors, and one of each page that docs show,
over the runs of docs/evidence and some of a small sweep, which is run first. Without ``--write``
they land in a temporary folder, to be looked at first.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlencode

import yaml
from PIL import Image
from playwright.sync_api import FloatRect, Page, ViewportSize, expect, sync_playwright

from experiments_db.read import queries
from experiments_db.read.filters import Conditions
from experiments_db.store import Store, open_store
from experiments_db.store.importing import import_runs
from pages._analyze.empty import EVIDENCE
from pages._explore.ladder import RUNGS
from tests.app.browsing import FLAGS, settle
from tests.app.measure import ROOT, chromium, served

SIZE: ViewportSize = {"width": 1440, "height": 900}
PART: FloatRect = {"x": 60, "y": 75, "width": 1320, "height": 800}  # without the menu
SHOWN = ("softmax", "SGD steps", "Exact fit", "with a gate")
FRAMES, FRAME_MS, REST_MS = 10, 140, 1300
WIDTH, COLORS = 820, 128
PLAN = {
    "layers": ["linear-attention", "deltanet", "gated-deltanet", "softmax-attention"],
    "tasks": [{"name": "mqar", "pairs": [2, 4], "seq_len": 32}],
    "model": {"d_model": 32},
    "train": {"steps": 100},
    "seeds": [0, 1, 2],
}
"""What has been run of the sweep in the picture, which asks for more pairs, too."""

COMPARED = ("softmax-attention", "deltanet", "gla", "retnet", "ttt-mlp")


def frames(page: Page, address: str) -> tuple[list[Image.Image], list[int]]:
    """Returns the frames of some rungs, each played to its end, and how long each stands."""
    found, stays = [], []
    for rung in SHOWN:
        text, _ = RUNGS[rung]
        page.goto(f"{address}/?{urlencode({'spec': text, 't': 0})}")
        settle(page)
        slider, shown = page.get_by_role("slider", name="Step t"), page.locator(".at")
        expect(shown).to_have_text(re.compile(r"step 0 / \d+"))
        last = int(slider.get_attribute("max") or 0)
        for i in range(FRAMES + 1):
            step = round(last * i / FRAMES)
            slider.fill(str(step))
            expect(shown).to_have_text(f"step {step} / {last}")
            page.wait_for_timeout(60)
            found.append(_taken(page))
            stays.append(REST_MS if i == FRAMES else FRAME_MS)
    return found, stays


def _taken(page: Page) -> Image.Image:
    shot = Image.open(io.BytesIO(page.screenshot(clip=PART))).convert("RGB")
    small = shot.resize((WIDTH, round(WIDTH * shot.height / shot.width)), Image.Resampling.LANCZOS)
    return small.quantize(COLORS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def pages(store: Store) -> dict[str, str]:
    """Returns the addresses of the pages that docs show, by the names of their pictures."""
    asked = {"layers": PLAN["layers"], "task.pairs": "2,4,8", "task.seq_len": "32",
             "model.d_model": "32", "train.steps": "100", "seeds": "0,1,2"}  # fmt: skip
    swept = urlencode({f"sweep.{name}": value for name, value in asked.items()}, doseq=True)
    known = queries.runs(store, Conditions(layer=COMPARED, frame="published", seed=1))
    eight = known[[json.loads(text)["task"]["pairs"] == 8 for text in known["config"]]]
    compared = [("compare.run", run_id) for run_id in eight.drop_duplicates("layer")["run_id"]]
    return {
        "explore": "?t=96",
        "map": "map",
        "sweep": f"sweep?{swept}",
        "runs": "runs?runs.view=configurations",
        "compare": f"compare?{urlencode(compared)}",
        "analyze": "analyze",
        "paper": "paper",
    }


def sweep(home: Path) -> None:
    """Runs the plan of the picture of Sweep into the store of a folder."""
    plan = home / "plan.yaml"
    plan.write_text(yaml.safe_dump(PLAN))
    command = [sys.executable, "batch.py", "sweep", str(plan)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "TTR_HOME": str(home)}, check=True)


def main() -> None:
    """Takes the pictures and says where they are."""
    asked = argparse.ArgumentParser(description="Takes the pictures of README and docs.")
    asked.add_argument("--write", action="store_true", help="into docs/images")
    folder = ROOT / "docs/images" if asked.parse_args().write else Path(tempfile.mkdtemp())
    home = Path(tempfile.mkdtemp())
    store = open_store(home / "runs.duckdb")
    import_runs(store, ROOT / EVIDENCE)
    sweep(home)
    with served(home) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(60_000)
        (first, *others), stays = frames(page, server.address)
        first.save(folder / "ladder.gif", save_all=True, append_images=others, duration=stays,
                   loop=0, optimize=True)  # fmt: skip
        for name, path in pages(store).items():
            page.goto(f"{server.address}/{path}")
            settle(page)
            page.wait_for_timeout(2000)
            page.screenshot(path=str(folder / f"{name}.png"))
        browser.close()
    for path in sorted(folder.glob("*.[gp]*[fg]")):
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
