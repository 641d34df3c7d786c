"""What the documents say is compared with the code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import yaml

import ttr_core

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
CODE = [
    *ROOT.glob("*.py"),
    *(
        path
        for top in ("ttr_core", "experiments_db", "pages")
        for path in (ROOT / top).rglob("*.py")
    ),
]
README = (ROOT / "README.md").read_text()
APP = re.sub(r".*visibility=\"hidden\".*\n", "", (ROOT / "app.py").read_text())
TITLES = re.findall(r'title="(\w+)"', APP)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)\)", path.read_text())
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (path.parent / target).exists()] == []


def anchors(path: Path) -> set[str]:
    """Returns what a link may name in a document: its headings as GitHub writes them."""
    heads = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S), re.M
    )
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_into_a_document_name_a_heading(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", path.read_text())
    local = [(file, anchor) for file, anchor in targets if "://" not in file]
    files = {file for file, _ in local}
    there = {file: anchors(path.parent / file if file else path) for file in files}
    assert [(file, anchor) for file, anchor in local if anchor not in there[file]] == []


def test_the_citation_is_of_this_version_and_of_the_paper() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == ttr_core.__version__
    paper = cited["preferred-citation"]
    assert paper["title"] == " ".join(
        re.search(r"title   = {(.*?)},", README, re.S)[1].split()  # type: ignore[index]
    )
    assert f"volume  = {{{paper['volume']}}}" in README and paper["url"] in README


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_make_targets_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    named = re.findall(r"(?:^ {4}|`)make ([a-z-]+)", path.read_text(), flags=re.M)
    assert set(named) - targets == set()


HELP = """
import json
import typer
from typer.testing import CliRunner
from experiments_db.cli import app
commands = typer.main.get_command(app).commands
asked = {"": ["--help"], **{name: [name, "--help"] for name in commands}}
print(json.dumps({name: CliRunner().invoke(app, words).stdout for name, words in asked.items()}))
"""


@pytest.fixture(scope="module")
def command_help() -> dict[str, str]:
    """The help text of every command of batch.py."""

    done = subprocess.run(
        [sys.executable, "-c", HELP], cwd=ROOT, capture_output=True, text=True, check=True,
        env={"COLUMNS": "200", "NO_COLOR": "1", "PATH": "/usr/bin:/bin", "TERM": "dumb"},
    )  # fmt: skip
    said: dict[str, str] = json.loads(done.stdout)
    top = said.pop("")
    assert all(re.search(rf"^[│|]?\s*{command} {{2,}}\S", top, re.M) for command in said)
    return said


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_commands_and_options_exist(path: Path, command_help: dict[str, str]) -> None:
    calls = re.findall(
        r"^\s*(?:\S+/)?(?:python batch\.py|ttr) ([a-z]+)(.*)$", path.read_text(), re.M
    )
    for command, rest in calls:
        assert command in command_help, f"batch.py has no command {command}"
        options = set(re.findall(r"(?<!\S)\[?(--[a-z][a-z-]*)", rest.split("#")[0]))
        missing = {option for option in options if option not in command_help[command]}
        assert missing == set(), f"batch.py {command} has no {missing}"


def test_every_variable_is_in_the_table_and_every_row_in_the_code() -> None:
    used = {v for path in CODE for v in re.findall(r"\bTTR_[A-Z]+\b", path.read_text())}
    listed = set(
        re.findall(r"^\| `(TTR_[A-Z]+)`", (ROOT / "docs/configuration.md").read_text(), re.M)
    )
    assert listed == used


def test_a_page_says_in_the_navigation_what_it_is_for() -> None:
    """Its line in app.py is enough; README and docs/app.md may tell of it, and of no other."""
    lines = re.findall(r"st\.Page\((.*?)\n? *\),$", APP, re.M | re.S)
    said = [re.search(r'help="[A-Z].{4,}\."', line) is not None for line in lines]
    assert len(lines) == len(TITLES) == len(set(TITLES)) and all(said)
    told = re.findall(r"^## (\w+)$", (ROOT / "docs/app.md").read_text(), re.M)
    assert told and set(told) <= set(TITLES)


def test_readme_names_every_document() -> None:
    documents = [name(path) for path in DOCUMENTS if path.name != "README.md"]
    assert [document for document in documents if document not in README] == []


def test_the_site_has_every_document_and_no_other() -> None:
    named = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text())
    docs = [str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")]
    top = {"README.md": "index.md"}
    wanted = docs + [top.get(path.name, path.name.lower()) for path in ROOT.glob("*.md")]
    assert sorted(named) == sorted(wanted)


def snippets(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S)


def test_readme_example_runs() -> None:
    namespace: dict[str, object] = {}
    example = next(code for code in snippets(README) if "ttr.solve" in code)
    exec(compile(example, "README.md", "exec"), namespace)
    assert namespace["y"].shape == (1, 1, 128, 16)  # type: ignore[attr-defined]
    assert namespace["W"].shape == (1, 1, 128, 128)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_readme_training_runs(capsys: pytest.CaptureFixture[str]) -> None:
    example = next(code for code in snippets(README) if "ttr.train" in code)
    exec(compile(example, "README.md", "exec"), {})
    assert 0.9 < float(capsys.readouterr().out) <= 1


def test_readme_ingredient_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """The class does what README says, under a module name that keeps it out of the registry."""
    import torch

    import ttr_core as ttr

    code = next(code for code in snippets(README) if "(FeatureMap)" in code)
    module = types.ModuleType("readme")
    monkeypatch.setitem(sys.modules, "readme", module)  # dataclasses look their module up
    namespace = module.__dict__
    exec(code, namespace)
    made = module.Softplus(sharpness=2.0)
    keys = torch.randn(1, 1, 5, 4)
    assert torch.equal(made(keys, {}), torch.nn.functional.softplus(keys, beta=2.0))
    assert str(made) == "softplus(sharpness=2.0)"
    assert "softplus" not in [cls.name for cls in ttr.choices("map")]


def test_no_registry_address_and_no_path_of_a_machine() -> None:
    outer = [ROOT / n for n in ("Makefile", ".ci/run", "requirements.txt", "requirements.lock")]
    outer += [ROOT / "pyproject.toml", ROOT / ".streamlit/config.toml", *DOCUMENTS]
    for path in outer:
        text = path.read_text()
        assert not re.search(r"(pypi\.org|download\.pytorch|index-url https?:)", text), name(path)
        assert not re.search(r"(?<![\w.])/(home|root|tmp|work|opt)/\w", text), name(path)


def test_lock_meets_the_ranges() -> None:
    from importlib.metadata import version

    from packaging.requirements import Requirement

    pinned = dict(
        line.split("==")
        for line in (ROOT / "requirements.lock").read_text().split()
        if "==" in line
    )
    pinned = {key.lower().replace("_", "-"): value for key, value in pinned.items()}
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    for line in (line for line in lines if line and not line.startswith("#")):
        wanted = Requirement(line)
        assert wanted.specifier.contains(pinned[wanted.name.lower()]), line
        assert wanted.specifier.contains(version(wanted.name)), f"installed: {line}"
