"""Where the kills of a watch go: to stdout as they happen, into files at the end of the watch."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import IO

from oomctl.cli.output import Output
from oomctl.oom.kill import OomKill
from oomctl.report import KILLS_RENDERERS, kills, render
from oomctl.report.kills_saved import read_line

LINES = ("json", "jsonl")
_WHOLE = ("markdown", "html")
"""Forms that are made of all kills, at the end."""
_NEWEST = 10_000  # kills that are kept for such a form, and for `oomctl report --last`
_IN_MEMORY = 1 << 20


@dataclass
class _Place:
    """One form and its place; `pieces` gathers what a file gets."""

    form: str
    output: Output
    wide: bool
    pieces: IO[str] | None

    def write(self, text: str) -> None:
        if self.pieces is None:
            self.output.write(text)
        else:
            self.pieces.write(text)

    def coloured(self, text: str) -> str:
        return render({"table": lambda _width: text}, "table", terminal=self.output.width)

    @property
    def has_rows(self) -> bool:
        """Whether each kill of a table is one row."""
        return self.wide or (self.output.width or 0) >= kills.ROW_WIDTH

    def begin(self) -> None:
        if self.form == "table" and self.has_rows:
            self.write(self.coloured(kills.HEADER))
        elif self.form == "csv":
            self.write(kills.CSV_HEADER)

    def text(self, kill: OomKill, line: str) -> str:
        if self.form in LINES:
            return line
        if self.form == "csv":
            return kills.csv_row(kill)
        row = kills.render_row if self.has_rows else kills.render_block
        return self.coloured(row(kill, self.output.width))

    def end(self) -> None:
        if self.pieces is not None:
            self.pieces.seek(0)
            self.output.write_pieces(self.pieces)


@dataclass
class KillForms:
    """Writes kills in every form that is wanted; `newest` are the last of them, as JSON lines."""

    places: list[_Place]
    newest: deque[str] = field(default_factory=lambda: deque(maxlen=_NEWEST))

    @property
    def tells_counts(self) -> bool:
        """Whether the counts at the end are read on stdout."""
        return any(one.form in LINES and one.pieces is None for one in self.places)

    def begin(self) -> None:
        """Write what stands before the first kill."""
        for place in self.places:
            place.begin()

    def write(self, kill: OomKill, *, earlier: bool = False) -> None:
        """Write a kill; one that is `earlier` than the watch is none of its own."""
        line = kills.render_json(kill)
        for place in self.places:
            if place.form not in _WHOLE:
                place.write(place.text(kill, line))
        if not earlier:
            self.newest.append(line)

    def end(self, summary: Callable[[], str]) -> None:
        """Write the summary, all forms that are made of all kills, and all files."""
        for place in self.places:
            if place.form in LINES:
                place.write(summary())
            elif place.form in _WHOLE:
                found = [read_line(line) for line in self.newest]
                place.write(render(KILLS_RENDERERS, place.form, found, terminal=None))
            place.end()


@contextmanager
def opened(found: Iterable[tuple[str, Output]], wide: bool) -> Iterator[KillForms]:
    """Take forms with their places, which are open; `wide` asks for a row of each kill."""
    with ExitStack() as stack:

        def spool() -> IO[str]:
            return stack.enter_context(
                SpooledTemporaryFile(
                    _IN_MEMORY, "w+", encoding="utf-8", errors="backslashreplace", newline=""
                )
            )

        yield KillForms(
            [
                _Place(form, output, wide, spool() if output.is_file else None)
                for form, output in found
            ]
        )
