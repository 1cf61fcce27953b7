"""The kills of a watch that is over, read back from its lines, in each form."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from oomctl.oom.enums import EvidenceSource, Role
from oomctl.oom.kill import OomKill
from oomctl.oom.memcg import MemcgUsage
from oomctl.report.kills import CSV_HEADER, NUMBERS, TITLES, cells, csv_row, render_block
from oomctl.report.parts import Table, as_markdown


@dataclass(frozen=True)
class SavedKill:
    """A kill of a saved line, its local time, and the line."""

    kill: OomKill
    at: datetime
    line: str


def read_json(line: Mapping[str, Any]) -> SavedKill:
    """Read a line of render_json() back; KeyError, TypeError or ValueError if it is none."""
    usage, invoker = line["memcg_memory"], line["invoker"]
    kill = OomKill(
        at_ns=line["at_ns"],
        pid=line["killed"]["pid"],
        comm=line["killed"]["comm"],
        role=Role(line["role"]),
        rss=line["rss_bytes"],
        cgroup_id=line["cgroup_id"],
        cgroup=line["cgroup"],
        invoker_pid=invoker["pid"],
        invoker_comm=invoker["comm"],
        invoker_cgroup_id=invoker["cgroup_id"],
        invoker_cgroup=invoker["cgroup"],
        order=line["order"],
        constraint=line["constraint"],
        memcg_id=line["memcg_id"],
        exited_after_ns=line["exited_after_ns"],
        memcg=line["memcg"],
        usage=usage
        and MemcgUsage(
            usage["usage_bytes"],
            usage["limit_bytes"],
            usage["swap_bytes"],
            usage["swap_limit_bytes"],
            usage["stat"] or {},
        ),
        group=line["group"],
        oom_score_adj=line["oom_score_adj"],
        traced=line["source"] == EvidenceSource.RING_BUFFER,
    )
    return SavedKill(kill, datetime.fromisoformat(line["time"]), json.dumps(line))


def read_line(text: str) -> SavedKill:
    """Read a line of render_json() back from its text."""
    return read_json(json.loads(text))


def render_text(found: Sequence[SavedKill], width: int | None = None) -> str:
    """Return saved kills as blocks of lines."""
    return "".join(render_block(each.kill, width, each.at) for each in found)


def render_lines(found: Sequence[SavedKill]) -> str:
    """Return saved kills as JSON lines."""
    return "".join(f"{each.line}\n" for each in found)


def render_markdown(found: Sequence[SavedKill]) -> str:
    """Return saved kills as a table of Markdown."""
    return as_markdown([table(found)])


def table(found: Sequence[SavedKill]) -> Table:
    """Return a row for each kill."""
    return Table(TITLES, [cells(each.kill, each.at) for each in found], NUMBERS)


def render_csv(found: Sequence[SavedKill]) -> str:
    """Return saved kills as rows of CSV."""
    rows = (csv_row(each.kill, each.at) for each in found)
    return "".join([CSV_HEADER, *rows])
