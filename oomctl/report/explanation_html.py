"""Explained OOM reports as one HTML page: what was killed and why, and each dump as bars."""

from collections.abc import Iterable, Iterator

from oomctl import commandline
from oomctl.describe.report_text import report_rows, title
from oomctl.oom.explanation import Explanation
from oomctl.oom.why import why
from oomctl.report import page
from oomctl.report.explanation_parts import TOP, dump_table
from oomctl.report.page import END, escape, head, rows, table
from oomctl.report.prediction_html import ranking


def render(found: Iterable[Explanation], source: str, top: int | None) -> Iterator[str]:
    """Yield the page piece by piece: a section for each report."""
    name = f"OOM reports of {source}"
    origin = escape(" · ".join(commandline.origin().values()))
    yield f'{head(name)}<body>\n<p class="origin">{escape(name)} · {origin}</p>\n'
    for each in found:
        lead = [f"Why {why(each.reason)}"] if each.reason else []
        tone: page.Tone = "warn" if each.follows is None else "good" if each.follows else "bad"
        yield "".join(page.top(tone, each.report.end, title(each), lead))
        yield rows((label, text) for label, text in report_rows(each) if label != "why")
        if each.prediction and each.prediction.candidates:
            report = each.report
            dead = {one.pid for one in (report.victim, *report.members) if one}
            dead |= {report.process_of(pid) for pid in dead}
            yield "<h2>Task dump by badness</h2>\n"
            yield ranking(each.prediction, dead, report.memcg, top=top or TOP)
            yield page.details("the dump in pages", table(dump_table(each, top)))
    yield END
