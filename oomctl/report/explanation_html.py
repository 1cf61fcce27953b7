"""Explained OOM reports as one HTML page: what was killed and why, and each dump as bars."""

from collections.abc import Iterable, Iterator

from oomctl import commandline
from oomctl.describe.report_text import report_rows, title
from oomctl.oom.explanation import Explanation
from oomctl.oom.log.oomreport import OomEnd
from oomctl.oom.why import why
from oomctl.report import page
from oomctl.report.explanation_parts import TOP, dump_table
from oomctl.report.page import END, escape, head, rows, table
from oomctl.report.prediction_html import ranking

_RED = (OomEnd.KILLED, OomEnd.PANIC)


def render(found: Iterable[Explanation], source: str, top: int | None) -> Iterator[str]:
    """Yield the page piece by piece: a section for each report."""
    name = f"OOM reports of {source}"
    origin = escape(" · ".join(commandline.origin().values()))
    yield f'{head(name)}<body>\n<p class="origin">{escape(name)} · {origin}</p>\n'
    for each in found:
        found_rows = dict(report_rows(each))
        cause = found_rows.pop("cause", "")
        found_rows.pop("why", None)
        lead = [f"Limit: {cause}", f"Why {why(each.reason)}" if each.reason else ""]
        lead += [found_rows.pop("choice", "")] if each.follows is False else []
        tone: page.Tone = "bad" if each.report.end in _RED else "warn"
        yield "".join(page.top(tone, each.report.end, title(each), filter(None, lead)))
        yield rows(found_rows.items())
        if each.prediction and each.prediction.candidates:
            report = each.report
            dead = {one.pid for one in (report.victim, *report.members) if one}
            dead |= {report.process_of(pid) for pid in dead}
            yield "<h2>Task dump by badness</h2>\n"
            yield ranking(each.prediction, dead, report.memcg, top=top or TOP)
            yield page.details("the dump in pages", table(dump_table(each, top)))
    yield END
