"""A table as one file for a browser, which sorts and searches it and asks nobody for anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from ttr_core import how_many

FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 14px/1.4 system-ui, sans-serif; }}
body {{ margin: 1rem; }}
div {{ overflow: auto; max-height: calc(100vh - 7rem); }}
table {{ border-collapse: collapse; }}
th, td {{ padding: 0.2rem 0.6rem; border-bottom: 1px solid #8884; text-align: left; }}
td {{ max-width: 40em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }}
.n {{ text-align: right; font-variant-numeric: tabular-nums; }}
th {{ position: sticky; top: 0; background: Canvas; }}
th button {{ all: unset; cursor: pointer; font-weight: 600; white-space: nowrap; }}
th button:focus-visible {{ outline: 2px solid; }}
[aria-sort=ascending] button::after {{ content: " \\2191"; }}
[aria-sort=descending] button::after {{ content: " \\2193"; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p><label>Rows with <input id="having" type="search"></label> <span id="count">{count}</span></p>
<div><table>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody>
</table></div>
<script>
const body = document.querySelector("tbody"), rows = [...body.rows];
const heads = [...document.querySelectorAll("th")];
const text = (row, at) => row.cells[at].textContent;
heads.forEach((head, at) => head.firstChild.addEventListener("click", () => {{
  const down = head.ariaSort === "ascending", number = head.className === "n";
  heads.forEach(one => one.removeAttribute("aria-sort"));
  head.ariaSort = down ? "descending" : "ascending";
  rows.sort((a, b) => {{
    const one = text(a, at), other = text(b, at);
    if (!one || !other) return !one - !other;
    const order = number ? one - other : one.localeCompare(other);
    return down ? -order : order;
  }});
  body.append(...rows);
}}));
document.getElementById("having").addEventListener("input", event => {{
  const wanted = event.target.value.toLowerCase();
  rows.forEach(row => row.hidden = !row.textContent.toLowerCase().includes(wanted));
  const shown = rows.filter(row => !row.hidden).length;
  document.getElementById("count").textContent = `${{shown}} of ${{rows.length}} rows`;
}});
</script>
</body>
</html>
"""


def page(
    title: str,
    columns: Sequence[tuple[str, bool]],
    rows: Iterable[Sequence[str]],
) -> str:
    """Returns a table as a document that needs nothing else.

    Its texts are shown as they are, whatever they hold; it may load nothing and send nothing.

    Args:
        title: what it is.
        columns: the name of each, and whether it holds numbers.
        rows: the texts of its cells.
    """
    kinds = [' class="n"' if number else "" for _, number in columns]
    head = "".join(
        f'<th scope="col"{kind}><button type="button">{escape(name)}</button></th>'
        for (name, _), kind in zip(columns, kinds, strict=True)
    )
    lines = [
        "<tr>"
        + "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in rows
    ]
    count = how_many(len(lines), "row")
    return FRAME.format(title=escape(title), count=count, head=head, rows="\n".join(lines))
