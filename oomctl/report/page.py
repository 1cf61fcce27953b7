"""What every HTML page is made of: its head, a heading that says it all, facts, tables, bars.

A page needs nothing else: no script, no other file.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape as escape_html
from importlib.resources import files
from typing import Any, Literal

from oomctl.oom.enums import FateKind
from oomctl.report.parts import Heading, Lines, Part, Table
from oomctl.text import printable

Tone = Literal["good", "bad", "warn"]
_NARROW = 4
"""Columns that fit a narrow screen; on it each row of a wider table is a list."""
_WIDE = 6
"""Columns that fit paper and a tablet."""
END = "</body>\n</html>\n"
_BEGIN = (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
)


def head(title: str) -> str:
    """Return the beginning of a page, before its body."""
    style = (files("oomctl.report") / "page.css").read_text()
    return f"{_BEGIN}<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"


def page(title: str, body: Iterable[str]) -> str:
    """Return a whole page."""
    return "\n".join([f"{head(title)}<body>", *body, END])


def escape(text: str) -> str:
    """Return text as HTML; what is not printable is escaped as for a terminal."""
    return escape_html(printable(text))


def pre(text: str) -> str:
    """Return lines as they are, in letters of one width."""
    lines = "\n".join(map(escape, text.split("\n")))
    return f"<pre>{lines}</pre>"


def top(tone: Tone, word: str, sentence: str, lead: Iterable[str] = ()) -> Iterator[str]:
    """Yield the heading: a word on a badge, what happened, and why."""
    yield f'<h1><span class="badge {tone}">{escape(word)}</span> {escape(sentence)}</h1>'
    yield from (f'<p class="lead">{escape(line)}</p>' for line in lead)


def origin(environment: Mapping[str, Any], *more: str) -> str:
    """Return where a result is from: command, host, kernel and kfunc, time."""
    kfunc = environment.get("kfunc") or {}
    provider = kfunc.get("provider")
    where = f"kfunc {kfunc.get('variant')} from {provider}" if provider else ""
    kernel, version = environment.get("kernel"), environment.get("oomctl")
    told = [
        *more,
        environment.get("command"),
        environment.get("host"),
        f"Linux {kernel}" if kernel else "",
        where,
        environment.get("time"),
        f"oomctl {version}" if version else "",
    ]
    return f'<p class="origin">{" · ".join(escape(str(each)) for each in told if each)}</p>'


def scenario(name: str, description: str) -> str:
    """Return which scenario a page is about, and what that says of itself."""
    return f"<p>Scenario {escape(': '.join(filter(None, (name, description))))}</p>"


def _breakable(text: str) -> str:
    """Let a narrow box break a long name after one of its parts."""
    return re.sub(r"[_/(]", r"\g<0><wbr>", escape(text))


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return the few facts that stand at the top, each with its name."""
    cells = (f"<div><dt>{escape(n)}</dt><dd>{_breakable(t)}</dd></div>" for n, t in rows if t)
    return f'<dl class="facts">{"".join(cells)}</dl>'


def rows(lines: Iterable[tuple[str, str]]) -> str:
    """Return labelled lines."""
    cells = (f"<dt>{escape(n)}</dt><dd>{escape(text)}</dd>" for n, text in lines)
    return f'<dl class="rows">{"".join(cells)}</dl>'


def table(shown: Table, classes: Mapping[str, str] | None = None) -> str:
    """Return a table; a cell that holds a key of `classes` has that class."""
    cards = len(shown.headers) > _NARROW
    kind = ' class="cards wider"' if len(shown.headers) > _WIDE else ' class="cards"' * cards
    known = {FateKind.OOM_KILLED: "bad", **(classes or {})}

    def row(tag: str, cells: Sequence[str]) -> str:
        parts = []
        for header, text in zip(shown.headers, cells, strict=True):
            names = ["number"] if header in shown.numbers else []
            names += [known[text.split(" ")[0]]] if text.split(" ")[0] in known else []
            about = f' class="{" ".join(names)}"' if names else ""
            about += f' data-of="{escape(header)}"' if cards and tag == "td" else ""
            parts.append(f"<{tag}{about}>{escape(text)}</{tag}>")
        return f"<tr>{''.join(parts)}</tr>"

    body = "".join(row("td", cells) for cells in shown.rows)
    return (
        f'<div class="wide"><table{kind}><thead>{row("th", shown.headers)}</thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def parts(shown: Iterable[Part]) -> Iterator[str]:
    """Yield parts as text has them: headings, labelled lines, tables."""
    for part in shown:
        if isinstance(part, Heading):
            yield f"<h3>{escape(part.text)}</h3>"
        elif isinstance(part, Lines):
            if part.rows:
                yield rows(part.rows)
        elif part.rows:
            yield table(part)


def details(summary: str, content: str, is_open: bool = False) -> str:
    """Return content that can be opened and closed."""
    return f"<details{' open' * is_open}><summary>{escape(summary)}</summary>{content}</details>"


@dataclass(frozen=True)
class Swatch:
    """A colour by its classes, and what it stands for."""

    classes: str
    text: str


def key(swatches: Iterable[Swatch]) -> str:
    """Return the key of a picture."""
    items = (f'<li><i class="{each.classes}"></i>{escape(each.text)}</li>' for each in swatches)
    return f'<ul class="key">{"".join(items)}</ul>'
