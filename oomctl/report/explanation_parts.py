"""Explained OOM reports as parts: labelled lines, and the ranked task dump."""

from collections.abc import Iterable, Iterator

from oomctl.describe.report_text import report_rows, title
from oomctl.oom.explanation import Explanation
from oomctl.oom.prediction import Candidate
from oomctl.report.parts import Heading, Lines, Part, Table, as_markdown, as_text
from oomctl.report.prediction_parts import SPARE
from oomctl.text import counted

TOP = 10
"""The tasks of a dump that are shown, unless a number is given."""
_HEADERS = ("rank", "pid", "comm", "badness", "rss", "swap", "ptes", "adj", "weight", "actual")
_NUMBERS = frozenset(_HEADERS) - {"comm", "actual"}


def render_text(
    found: Iterable[Explanation], _source: str, top: int | None, terminal: int | None = None
) -> Iterator[str]:
    """Yield each explanation as text; what is counted in the table is in pages."""
    for number, each in enumerate(found):
        yield "\n" * bool(number) + as_text(parts(each, top), terminal=terminal)


def render_markdown(found: Iterable[Explanation], _source: str, top: int | None) -> Iterator[str]:
    """Yield each explanation as Markdown."""
    for number, each in enumerate(found):
        yield "\n" * bool(number) + as_markdown(parts(each, top))


def parts(found: Explanation, top: int | None) -> list[Part]:
    """Return one explanation as parts."""
    made: list[Part] = [Heading(title(found)), Lines([*report_rows(found)])]
    if (dump := dump_table(found, top)) and dump.rows:
        made.append(dump)
        if left := len(found.report.tasks) - len(dump.rows):
            made.append(Lines([("", f"and {counted(left, 'more task')}: --top shows them")]))
    return made


def dump_table(found: Explanation, top: int | None) -> Table:
    """Return the first tasks of the dump by badness, and those that were killed."""
    report, prediction = found.report, found.prediction
    candidates = prediction.candidates if prediction else ()
    weight = prediction.totalpages // 1000 if prediction else 0
    page = report.page_size
    dead = {each.pid for each in (report.victim, *report.members) if each}
    dead |= {report.process_of(pid) for pid in dead}

    def row(rank: int, one: Candidate) -> list[str]:
        task, eligible = one.task, one.badness is not None
        return [
            f"{rank}" if eligible else "-",
            str(task.pid),
            task.comm,
            str(one.badness) if eligible else "-",
            *(str(size // page) for size in (task.rss, task.swap, task.pgtables)),
            str(task.oom_score_adj),
            str(task.oom_score_adj * weight) if eligible else "-",
            "killed" if task.pid in dead else one.excluded,
        ]

    shown = TOP if top is None else top
    rows = [
        row(rank, one)
        for rank, one in enumerate(candidates, 1)
        if rank <= shown or one.task.pid in dead
    ]
    return Table(_HEADERS, rows, _NUMBERS, ("comm",), spare=SPARE)
