"""Two pages of documentation made from the code: docs/catalog.md and docs/ingredients.md.

Everything on them is read from the catalog, the registry, the docstrings and the grid's objections;
what the layers learn stands in docs/learning.csv, what they do before in docs/vitals.csv.
``--write`` makes the files; the tests run ``--check``, so that no page outlives what it describes.
"""

from __future__ import annotations

import argparse
import inspect
import itertools
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..layers.frame import Frame
from ..layers.published import AS_OF, ELSEWHERE, Published, catalog
from ..solvers import caution
from ..space.constraints import Flag, Listed
from ..space.ingredient import REGISTRY, Ingredient, Paper, choices
from ..space.option import Option, options_of
from ..space.spec import AXES, listed, triples
from ..words import called
from ..words import markdown as md
from ..words.describe import Description, describe
from ..words.docstrings import paragraphs, sections
from ..words.names import ABSENT
from . import family_tree, learning, scales, vital_table

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs"
FAMILIES = {
    "weights": "Weights",
    "function": "Function classes",
    "map": "Feature maps",
    "optimizer": "Optimizers",
    "loss": "Losses",
    "readout": "Readouts",
}
SHOWN_NEIGHBORS = 6
MADE = "Made from the code by `make docs`; a test fails when this page differs from what it writes."
SYMBOLS = (
    "T tokens, d the width of the layer, H heads, C tokens per chunk; per head K the key size, "
    "V the value size, F the number of features."
)

# ---- the catalog


def catalog_page() -> str:
    """Returns docs/catalog.md: every published layer as a regression."""
    head = ("layer", "spec", "state size", "packed", "evidence", "paper")
    rows = [
        (
            md.link(name),
            md.code(str(entry.spec)),
            md.code(entry.state_size),
            md.code(packed) if (packed := _packed(entry)) else "",
            entry.evidence,
            _cited(entry.paper),
        )
        for name, entry in catalog.items()
    ]
    return _page(
        "# The catalog",
        f"The {len(rows)} published layers that this project knows, each as a point of the design "
        "space. Their ingredients are described in [ingredients.md](ingredients.md).",
        "## Family tree",
        "Each layer below the one that it is a move from: what stands for what in its spec, "
        "numbers left out, then the move in words. A layer that others move from stands outermost.",
        family_tree.tree(),
        "## Table",
        md.table(head, rows),
        f"- *State size*: {_argument(Description, 'state_size')}\n"
        f"- *Packed*: {_argument(Description, 'packed_state_size')}\n"
        f"- *Cost*: {_argument(Description, 'cost')}\n"
        f"- *Evidence*: {_argument(Published, 'evidence')}\n"
        f"- *Deviation*: {_argument(Published, 'deviation')}\n"
        f"- *Limit*: {_argument(Published, 'limit')}\n"
        f"- *Symbols*: {SYMBOLS}",
        *learning.section(FOLDER / learning.FILE),
        *vital_table.vital_section(FOLDER / vital_table.FILE),
        *itertools.chain.from_iterable(map(_entry, catalog.values())),
        *_elsewhere(),
        "## Frame settings",
        "What surrounds a layer, unless its section says otherwise.",
        _options(options_of(Frame)),
    )


def _entry(entry: Published) -> Iterable[str]:
    """The section of one published layer."""
    about = describe(entry.spec)
    yield f"## {entry.name}"
    yield md.plain(entry.summary)
    yield md.code(about.text)
    yield "Objective:"
    yield md.formula(about.objective)
    yield "Update:"
    yield md.formula(about.update)
    yield "Read-out:"
    yield md.formula(about.read)
    yield md.plain(about.words)
    yield md.bullets(_facts(entry, about))


def _elsewhere() -> Iterable[str]:
    """The cells that were published and have no entry."""
    yield "## Published elsewhere"
    yield (
        f"Layers of the literature that have a cell here and no entry yet, as of {AS_OF}. Of any "
        f"other cell without a name it is said that it is {ABSENT}, and no more."
    )
    rows = [
        (one.name, md.code(one.cell), _cited(one.paper), md.plain(one.beyond)) for one in ELSEWHERE
    ]
    yield md.table(("layer", "cell", "paper", "beyond the cell"), rows)


def _facts(entry: Published, about: Description) -> Iterable[tuple[str, str]]:
    packed = f", packed {md.code(_packed(entry))}" if _packed(entry) else ""
    yield "State size", md.code(entry.state_size) + packed
    yield "Held by the solver", md.code(about.held) if about.held else ""
    yield "Cost", f"{md.plain(about.cost)} (solver {md.code(about.solver)})"
    yield "Slow", md.plain(caution(entry.spec) or "")
    yield "Caution", md.plain(about.caution)
    yield "What it forgets", md.plain(about.forgets)
    yield "Same point", md.listing(md.link(name) for name in about.names if name != entry.name)
    yield "In another frame", called(entry.name) if entry.tied else ""
    yield "Same layer as", md.listing(map(md.code, about.same_as))
    near = [f"{md.link(name)} ({md.plain(what)})" for name, what in about.neighbors]
    if len(near) > SHOWN_NEIGHBORS:
        near[SHOWN_NEIGHBORS:] = [f"and {len(near) - SHOWN_NEIGHBORS} more as near"]
    yield "Nearest", "; ".join(near)
    yield "Frame", md.listing(map(md.code, _changed(entry.frame))) or "the default"
    yield "Deviation", md.plain(entry.deviations)
    yield "Limit", md.plain(entry.limit)
    yield "Evidence", entry.evidence
    yield "Paper", _cited(entry.paper)


def _packed(entry: Published) -> str:
    """Returns the size of its state with half of symmetric matrices, if it has any."""
    packed = entry.packed_state_size
    return packed if packed != entry.state_size else ""


def _changed(frame: Frame) -> tuple[str, ...]:
    """The settings of a frame that differ from the default."""
    values = ((opt, getattr(frame, opt.name)) for opt in options_of(Frame))
    return tuple(f"{opt.name}={md.value(v)}" for opt, v in values if v != opt.default)


def _cited(paper: Paper) -> str:
    return f"[{md.plain(paper.title)}]({paper.url}) ({md.plain(paper.authors)}, {paper.year})"


# ---- the ingredients


def ingredients_page() -> str:
    """Returns docs/ingredients.md: every choice of every family, and what never fits."""
    families = [*FAMILIES, *sorted(set(REGISTRY) - set(FAMILIES))]
    return _page(
        "# Ingredients",
        "A layer is written `weights | function | optimizer`. Each choice below is one class; its "
        "name is what `batch.py` and the pickers take. Traits are what it promises about its "
        "structure; solvers ask for nothing else. The published layers are in "
        "[catalog.md](catalog.md).",
        *itertools.chain.from_iterable(map(_family, families)),
        *scales.scales_section(FOLDER / scales.FILE),
        "## What never fits",
        "Choices that no layer holds together, whatever stands on the remaining axes, and why.",
        _objections(),
    )


def _family(family: str) -> Iterable[str]:
    yield f"## {FAMILIES.get(family, family.capitalize())}"
    base = next(c for c in choices(family)[0].__mro__ if "family" in c.__dict__)
    yield from _prose(inspect.getdoc(inspect.getmodule(base)) or "")
    for cls in choices(family):
        yield from _choice(cls)
    if family in AXES:
        composed = [str(part) for part in listed(family) if type(part) not in choices(family)]
        if composed:
            yield f"The grid also lists the products {md.listing(map(md.code, composed))}."


def _choice(cls: type[Ingredient]) -> Iterable[str]:
    """The section of one choice."""
    parts = sections(cls)
    yield f"### {cls.name}"
    yield from _prose(parts[""])
    if cls.options():
        yield _options(cls.options())
    made = (part for part in listed(cls.family) if type(part) is cls)
    signals = dict.fromkeys(signal for part in made for signal in part.signals)
    if signals:
        head = ("signal", "width", "link", "meaning")
        rows = [(md.code(s.name), s.width, md.code(s.link), md.plain(s.help)) for s in signals]
        yield md.table(head, rows)
    traits = [c for c in cls.__mro__[1:] if "phrase" in c.__dict__ and "family" not in c.__dict__]
    facts = [
        ("Traits", _promises(t for t in traits if issubclass(t, Ingredient) and t.phrase)),
        ("Needs", _promises(cls.needs)),
        ("Reference", _referenced(md.rich(parts.get("Reference", "")))),
        ("Deviation", md.rich(parts.get("Deviation", ""))),
    ]
    if any(text for _, text in facts):
        yield md.bullets(facts)


def _promises(traits: Iterable[type[Ingredient]]) -> str:
    return "; ".join(f"{md.code(trait.name)} ({md.plain(trait.phrase)})" for trait in traits)


def _options(options: Iterable[Option]) -> str:
    rows = [
        (md.code(o.name), md.code(md.value(o.default)), _range(o), md.plain(o.help))
        for o in options
    ]
    return md.table(("option", "default", "values", "meaning"), rows)


def _range(opt: Option) -> str:
    if isinstance(opt.constraint, Listed):
        return md.listing(md.code(md.value(choice)) for choice in opt.constraint.values)
    if isinstance(opt.constraint, Flag):
        return md.listing(map(md.code, ("true", "false")))
    words = str(opt.constraint).removeprefix("a ")
    return f"{words} or `none`" if opt.optional else words


# ---- what never fits

Placed = tuple[str, Ingredient]  # axis, and what stands there


def _objections() -> str:
    """The grid's objections, each once, beside the choices that never fit because of it."""
    found: dict[tuple[str, tuple[str, ...]], list[tuple[str, ...]]] = {}
    for key, sentences in _misfits().items():
        for sentence in sentences:
            general = _general(sentence, key)
            texts = tuple(str(part) for _, part in key)
            found.setdefault((general, tuple(axis for axis, _ in key)), []).append(texts)
    why: dict[str, list[str]] = {}
    for (general, _), combinations in found.items():
        why.setdefault(general, []).extend(_grouped(combinations))
    return md.table(("why", "never together"), [(w, "<br>".join(g)) for w, g in why.items()])


def _misfits() -> dict[tuple[Placed, ...], tuple[str, ...]]:
    """The smallest sets of choices that no layer holds -> why.

    An objection may stop at the first reason, so that a point tells but one of its reasons. Each is
    told of the set, among those at its points, whose other points raise it most.
    """
    said = {tuple((a, getattr(s, a)) for a in AXES): s.objections() for s in triples()}
    holding: dict[tuple[Placed, ...], list[tuple[str, ...]]] = {}
    for point, sentences in said.items():
        for key in _subsets(point):
            holding.setdefault(key, []).append(sentences)
    never = {key for key, points in holding.items() if all(points)}
    least = {key for key in never if never.isdisjoint(k for k in _subsets(key) if k != key)}

    def share(key: tuple[Placed, ...], sentence: str) -> float:
        return sum(sentence in point for point in holding[key]) / len(holding[key])

    why: dict[tuple[Placed, ...], dict[str, None]] = {}
    for point, sentences in said.items():
        here = [key for key in _subsets(point) if key in least]
        for sentence in sentences:
            best = max(here, key=lambda key: share(key, sentence))
            why.setdefault(best, {})[sentence] = None
    return {key: tuple(sentences) for key, sentences in why.items()}


def _subsets(point: tuple[Placed, ...]) -> list[tuple[Placed, ...]]:
    """Every choice of a point, then every pair, then all three."""
    sizes = range(1, len(point) + 1)
    return [key for size in sizes for key in itertools.combinations(point, size)]


def _general(sentence: str, key: tuple[Placed, ...]) -> str:
    """The sentence with the names of the choices replaced by those of their axes."""
    text = md.plain(sentence)
    for axis, part in key:
        for name in (str(part), part.name):
            pattern = rf"(?<!\w){re.escape(md.plain(name))}(?!\w)"
            text = re.sub(pattern, f"*{axis}*", text)
    return text


def _grouped(combinations: Sequence[tuple[str, ...]]) -> Iterable[str]:
    """Yields the combinations as text, those that share a side together."""
    partners: dict[tuple[str, ...], list[str]] = {}
    for texts in combinations:
        partners.setdefault(texts[:-1], []).append(texts[-1])
    sides: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for left, lasts in partners.items():
        sides.setdefault(tuple(lasts), []).append(left)
    for rights, lefts in sides.items():
        named = [md.code(" | ".join(left)) for left in lefts if left]
        right = md.listing(map(md.code, rights))
        yield f"{md.listing(named)} with {right}" if named else right


# ---- docstrings


def _argument(cls: type, name: str) -> str:
    """What a docstring says of one argument."""
    text = textwrap.dedent(sections(cls)["Args"].lstrip("\n"))
    _, *parts = re.split(r"^(\w+): ", text, flags=re.M)
    return md.rich(dict(zip(parts[::2], parts[1::2], strict=True))[name])


def _prose(text: str) -> Iterable[str]:
    """Yields the paragraphs and equations of a docstring."""
    for equation, piece in paragraphs(text):
        yield md.formula(piece) if equation else md.rich(piece)


def _referenced(text: str) -> str:
    return re.sub(r"(\S.*?) \(([^()]*)\) (https://\S+)", r"[\1](\3) (\2)", text)


def _page(*blocks: str) -> str:
    return "\n\n".join((*blocks, "---", MADE)) + "\n"


# ---- the command


def pages() -> dict[str, str]:
    """Returns every generated page by the name of its file."""
    return {"catalog.md": catalog_page(), "ingredients.md": ingredients_page()}


def is_checkout(folder: Path) -> bool:
    """Returns whether a folder is the repository of this project, not one of installed packages."""
    project = folder / "pyproject.toml"
    named = re.compile(r'^name = "test-time-regression"$', re.M)
    return project.is_file() and named.search(project.read_text(encoding="utf-8")) is not None


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the pages, or says which are out of date; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ttr_core.tools.documents", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the pages that changed")
    action.add_argument("--check", action="store_true", help="exit with 1 if a page is stale")
    asked = parser.parse_args(arguments)
    if not is_checkout(ROOT):
        parser.error(
            f"the pages stand in docs/ of the repository, and {ROOT} is none: run this in a "
            "checkout of test-time-regression."
        )
    stale = 0
    for name, text in pages().items():
        file = FOLDER / name
        if file.exists() and file.read_text(encoding="utf-8") == text:
            continue
        if asked.write:
            file.write_text(text, encoding="utf-8")
            print(f"docs/{name} is written.")
        else:
            stale += 1
            print(f"docs/{name} is stale: run make docs.", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
