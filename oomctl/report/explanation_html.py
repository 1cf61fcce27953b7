"""Explained OOM reports as one HTML page that needs nothing else."""

from collections.abc import Iterable, Iterator

from oomctl.describe.report_text import report_rows, title
from oomctl.oom.explanation import Explanation
from oomctl.report.explanation_parts import dump_table
from oomctl.report.html import END, escape, head, html_table


def render(found: Iterable[Explanation], source: str, top: int | None) -> Iterator[str]:
    """Yield the page piece by piece: a section for each report."""
    name = f"OOM reports of {source}"
    yield f"{head(name)}<body>\n<h1>{escape(name)}</h1>\n"
    for each in found:
        lines = "".join(
            f"<dt>{label}</dt><dd>{escape(text)}</dd>" for label, text in report_rows(each)
        )
        yield f"<h2>{escape(title(each))}</h2>\n<dl>{lines}</dl>\n"
        if (dump := dump_table(each, top)).rows:
            yield f"<h3>Task dump, in pages</h3>\n{html_table(dump)}\n"
    yield END
