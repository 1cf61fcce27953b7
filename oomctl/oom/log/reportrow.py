"""A row of the task dump of an OOM report. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from oomctl.oom.log import reporttext as texts
from oomctl.oom.log.oomreport import DumpedTask
from oomctl.text import printable

_PTE_PAGE = 4096  # before 4.15 page tables are counted in pages
# by the numbers between rss and oom_score_adj, for a dump whose head is missing
_COLUMNS = {
    2: ("pgtables_bytes", "swapents"),  # before 4.15 "nr_ptes"
    3: ("nr_ptes", "nr_pmds", "swapents"),
    4: ("nr_ptes", "nr_pmds", "nr_puds", "swapents"),
    5: ("rss_anon", "rss_file", "rss_shmem", "pgtables_bytes", "swapents"),
}
_TABLES = frozenset({"nr_ptes", "nr_pmds", "nr_puds"})


def parse_row(text: str, columns: Sequence[str]) -> DumpedTask | None:
    """Parse a row; `columns` are the names of the head between rss and oom_score_adj, if known."""
    pattern = texts.row_of(len(columns) + 4) if columns else texts.ROW
    found = pattern.fullmatch(text)
    if not found:
        return None
    uid, tgid, total_vm, rss, *rest = (int(number) for number in found["numbers"].split())
    names = columns or _COLUMNS.get(len(rest), ())
    if len(names) != len(rest):
        return None
    named = dict(zip(names, rest, strict=True))
    tables = sum(named[name] for name in _TABLES & named.keys()) * _PTE_PAGE
    return DumpedTask(
        *(int(found["pid"]), tgid, uid & 0xFFFFFFFF, total_vm, rss),
        pgtables=named.get("pgtables_bytes", tables),
        swapents=named.get("swapents", 0),
        oom_score_adj=int(found["adj"]),
        comm=printable(found["comm"]),
        rss_anon=named.get("rss_anon"),
        rss_file=named.get("rss_file"),
        rss_shmem=named.get("rss_shmem"),
    )


def in_bytes(rows: Sequence[DumpedTask], columns: Sequence[str]) -> tuple[DumpedTask, ...]:
    """Return the rows; a number of page tables without a head is of pages if it looks so."""
    if columns or all(row.pgtables % _PTE_PAGE == 0 for row in rows):
        return tuple(rows)
    return tuple(replace(row, pgtables=row.pgtables * _PTE_PAGE) for row in rows)
