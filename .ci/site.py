"""What the site of docs/ needs beside its pages: the documents at the top, formulas, links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

TOP = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Documents beside docs/ -> the pages that they become."""

REPOSITORY = re.compile(r"\]\((?:\.\./)?(CITATION\.cff|LICENSE)\)")
"""Files that have no page: their names stay, without a link."""


def on_files(files: Files, config: Any) -> Files:
    """Adds the documents at the top as pages."""
    root = Path(config.config_file_path).parent
    for name, page in TOP.items():
        text = (root / name).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Returns a page whose formulas and links are as the site writes them."""
    text = re.sub(r"\$`([^`]+)`\$", r"\\(\1\\)", markdown)  # GitHub's formulas inside a line
    for name, made in TOP.items():
        text = text.replace(f"](../{name}", f"]({made}").replace(f"]({name}", f"]({made}")
    return re.sub(r"\[([^\]]+)" + REPOSITORY.pattern, r"\1", text)
