"""The OOM kills that `oomctl watch` sees: a block of lines, a row or a JSON object each. Pure."""

import csv
import io
import json
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from oomctl import commandline
from oomctl.oom.as_json import kill_counts
from oomctl.oom.counts import KillCounts
from oomctl.oom.enums import Constraint, EvidenceSource
from oomctl.oom.kill import OomKill
from oomctl.oom.memcg import V1_ID, MemcgUsage
from oomctl.text import printable, shortened
from oomctl.units import format_duration, format_size

WatchFormat = Literal["table", "json", "jsonl", "csv", "markdown", "html"]

_ROW = "{:<12}  {:<22}  {:<22}  {:<7}  {:>7}  {:>5}  {:<13}  {:>10}  {:>7}  {:>7}  "
_CGROUP = 22
_COLUMNS = f"{_ROW}{{:<{_CGROUP}}}  {{:<{_CGROUP}}}  {{}}\n"
TITLES = (
    *("time", "invoker", "killed", "role", "rss", "order", "constraint", "exit after", "usage"),
    *("limit", "oom_memcg", "invoker's cgroup", "victim's cgroup"),
)
NUMBERS = ("rss", "order", "exit after", "usage", "limit")
HEADER = _COLUMNS.format(*TITLES)
_OTHERS = len(HEADER) - len("victim's cgroup\n")  # characters before the last column
ROW_WIDTH = _OTHERS + _CGROUP
"""The columns of a terminal on which a kill is one row."""
_NARROW = 80
_INDENT = 13
_KINDS = ("anon", "file", "shmem", "slab", "pagetables", "kernel_stack", "percpu", "sock")
_SHOWN = 4  # kinds of memory in a block; JSON has all


def render_row(kill: OomKill, width: int | None, at: datetime | None = None) -> str:
    """Return a kill as one row; on a terminal of that width long names are shortened."""
    row = cells(kill, at)
    if width is None or width < ROW_WIDTH:
        return _COLUMNS.format(*row)
    others = [shortened(cell, _CGROUP) for cell in row[:-1]]
    return _COLUMNS.format(*others, shortened(row[-1], width - _OTHERS))


def render_block(kill: OomKill, width: int | None, at: datetime | None = None) -> str:
    """Return a kill as lines of 80 columns, or of the terminal if that is narrower.

    The three cgroups have a line each. Without a terminal a longer path is not shortened.
    """
    columns = min(width or _NARROW, _NARROW)
    indent = " " * min(_INDENT, columns // 4)
    wrap = textwrap.TextWrapper(columns, subsequent_indent=indent, break_on_hyphens=False)
    lines = wrap.wrap(
        f"{_time(kill, at)}  {_task(kill.comm, kill.pid)} killed ({kill.role}), "
        f"rss {format_size(kill.rss)}, exit after {format_duration(kill.exited_after_ns)}"
    )
    wrap.initial_indent = indent
    for label, path, more in _cgroup_lines(kill):
        line = f"  {label}".ljust(len(indent) - 2) + "  "
        line += path if width is None else shortened(path, max(columns - len(line), 8))
        together = f"{line}  {more}"
        lines += [together] if len(together) <= columns else [line, *wrap.wrap(more)]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def render_json(kill: OomKill) -> str:
    """Return a kill as a line of JSON (watch-schema.json)."""
    fields = {
        "kind": "kill",
        "time": _wall(kill).isoformat(timespec="milliseconds"),
        "at_ns": kill.at_ns,
        "invoker": {
            "pid": kill.invoker_pid,
            "comm": kill.invoker_comm,
            "cgroup": kill.invoker_cgroup,
            "cgroup_id": kill.invoker_cgroup_id,
        },
        "killed": {"pid": kill.pid, "comm": kill.comm},
        "role": kill.role,
        "cgroup": kill.cgroup,
        "cgroup_id": kill.cgroup_id,
        "memcg": kill.memcg,
        "memcg_id": kill.memcg_id and kill.memcg_id & ~V1_ID,
        "memcg_memory": kill.usage and _usage_json(kill.usage),
        "group": kill.group,
        "order": kill.order,
        "constraint": kill.constraint,
        "oom_score_adj": kill.oom_score_adj,
        "rss_bytes": kill.rss,
        "exited_after_ns": kill.exited_after_ns,
        "source": EvidenceSource.RING_BUFFER if kill.traced else EvidenceSource.KERNEL_LOG,
    }
    return json.dumps(fields) + "\n"


def csv_row(kill: OomKill, at: datetime | None = None) -> str:
    """Return a kill as a row of CSV."""
    day = (at or _wall(kill)).isoformat(timespec="milliseconds")
    return _csv([day, *map(printable, cells(kill, at))])


def _csv(cells: Sequence[str]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(cells)
    return written.getvalue()


CSV_HEADER = _csv(["date", *TITLES])


def render_summary(shown: int, lost: int, counts: KillCounts) -> str:
    """Return the last line of JSON: what was counted in the time of the watch."""
    fields = {
        "kind": "summary",
        "environment": commandline.origin(),
        "shown": shown,
        "lost": lost,
        "kill_counts": kill_counts(counts),
    }
    return json.dumps(fields) + "\n"


def _usage_json(usage: MemcgUsage) -> dict[str, Any]:
    return {
        "usage_bytes": usage.memory,
        "limit_bytes": usage.limit,
        "swap_bytes": usage.swap,
        "swap_limit_bytes": usage.swap_limit,
        "stat": dict(usage.kinds) or None,
    }


def cells(kill: OomKill, at: datetime | None) -> tuple[str, ...]:
    """Return a cell for each column."""
    return (
        _time(kill, at),
        _task(kill.invoker_comm, kill.invoker_pid),
        _task(kill.comm, kill.pid),
        kill.role,
        format_size(kill.rss),
        "-" if kill.order is None else str(kill.order),
        kill.constraint or "-",
        format_duration(kill.exited_after_ns),
        format_size(kill.usage.memory) if kill.usage else "-",
        _limit(kill.usage.limit) if kill.usage else "-",
        _cgroup(kill.memcg, kill.memcg_id),
        _cgroup(kill.invoker_cgroup, kill.invoker_cgroup_id),
        _cgroup(kill.cgroup, kill.cgroup_id),
    )


def _cgroup_lines(kill: OomKill) -> Iterator[tuple[str, str, str]]:
    """Yield label, path, and what else is known: of oom_memcg, the invoker and the victim."""
    system_wide = kill.memcg is None and kill.constraint not in (None, Constraint.MEMCG)
    limited = f"- (constraint {kill.constraint})" if system_wide else None
    memcg = limited or _cgroup(kill.memcg, kill.memcg_id)
    yield "oom_memcg", memcg, _usage_text(kill.usage)
    order = "" if kill.order is None else f", order {kill.order}"
    invoker = _task(kill.invoker_comm, kill.invoker_pid)
    yield "invoker", _cgroup(kill.invoker_cgroup, kill.invoker_cgroup_id), f"{invoker}{order}"
    group = f"memory.oom.group of {kill.group}" if kill.group else ""
    yield "victim", _cgroup(kill.cgroup, kill.cgroup_id), group


def _usage_text(usage: MemcgUsage | None) -> str:
    """Say what a memcg held, and its largest kinds of memory if the log has them."""
    if usage is None:
        return ""
    text = f"{format_size(usage.memory)} of {_limit(usage.limit)}"
    if usage.swap:
        text += f", swap {format_size(usage.swap)} of {_limit(usage.swap_limit)}"
    kinds = _largest(usage.kinds)
    return f"{text}: {kinds}" if kinds else text


def _largest(kinds: Mapping[str, int]) -> str:
    sizes = sorted((-kinds[name], name) for name in _KINDS if kinds.get(name))
    return ", ".join(f"{name} {format_size(-size)}" for size, name in sizes[:_SHOWN])


def _limit(limit: int | None) -> str:
    return "max" if limit is None else format_size(limit)


def _cgroup(path: str | None, number: int | None) -> str:
    return path or (f"unknown id {number & ~V1_ID}" if number else "-")


def _task(comm: str | None, pid: int | None) -> str:
    return "-" if comm is None else f"{comm}:{'?' if pid is None else pid}"


def _time(kill: OomKill, at: datetime | None) -> str:
    """Return the time of a kill, or the day and the time if it was on another day."""
    wall = at or _wall(kill)
    today = wall.date() == datetime.now().astimezone().date()
    return wall.strftime("%H:%M:%S.%f")[:-3] if today else wall.strftime("%m-%d %H:%M")


def _wall(kill: OomKill) -> datetime:
    """Return the local time of a CLOCK_MONOTONIC stamp."""
    ago = time.monotonic_ns() - kill.at_ns
    return datetime.fromtimestamp((time.time_ns() - ago) / 1e9).astimezone()
