"""The OOM kills that `oomctl watch` sees: a line of columns each, or a JSON object. Pure."""

import json
import textwrap
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from oomctl.oom.enums import EvidenceSource
from oomctl.oom.kill import OomKill
from oomctl.text import shortened
from oomctl.units import format_duration, format_size

WatchFormat = Literal["table", "jsonl"]
PathOf = Callable[[int | None], str | None]
"""Returns the path of a cgroup by its ID, if the cgroup is still there."""

_COLUMNS = "{:<12}  {:<24}  {:<24}  {:<7}  {:>7}  {:>5}  {:<13}  {:>10}  {:<24}  {}\n"
HEADER = _COLUMNS.format(
    *("time", "invoker", "killed", "role", "rss", "order", "constraint", "exit after"),
    *("invoker's cgroup", "cgroup"),
)
_OTHERS = 120  # characters before the last two columns, with the gap between them
ROW_WIDTH = _OTHERS + 2 * 24
"""The columns of a terminal on which a kill is one line."""
_INDENT = 14


def render_row(kill: OomKill, path_of: PathOf, width: int | None) -> str:
    """Return a kill as a line; on a terminal of that width in as many lines as it takes."""
    row = _cells(kill, path_of)
    if width is None:
        return _COLUMNS.format(*row)
    if width >= ROW_WIDTH:
        others = [shortened(cell, 24) for cell in row[:-1]]
        return _COLUMNS.format(*others, shortened(row[-1], width - _OTHERS - 24))
    return _wrapped(row, width)


def render_json(kill: OomKill, path_of: PathOf) -> str:
    """Return a kill as a line of JSON."""
    fields = {
        "time": _wall(kill).isoformat(timespec="milliseconds"),
        "at_ns": kill.at_ns,
        "invoker": {
            "pid": kill.invoker_pid,
            "comm": kill.invoker_comm,
            "cgroup": path_of(kill.invoker_cgroup_id),
            "cgroup_id": kill.invoker_cgroup_id,
        },
        "killed": {"pid": kill.pid, "comm": kill.comm},
        "role": kill.role,
        "cgroup": kill.cgroup,
        "cgroup_id": kill.cgroup_id,
        "memcg": kill.memcg,
        "memcg_id": kill.memcg_id,
        "order": kill.order,
        "constraint": kill.constraint,
        "rss_bytes": kill.rss,
        "exited_after_ns": kill.exited_after_ns,
        "source": EvidenceSource.RING_BUFFER if kill.traced else EvidenceSource.KERNEL_LOG,
    }
    return json.dumps(fields) + "\n"


def _cells(kill: OomKill, path_of: PathOf) -> tuple[str, ...]:
    """Return a cell for each column."""
    return (
        _wall(kill).strftime("%H:%M:%S.%f")[:-3],
        _task(kill.invoker_comm, kill.invoker_pid),
        _task(kill.comm, kill.pid),
        kill.role,
        format_size(kill.rss),
        "-" if kill.order is None else str(kill.order),
        kill.constraint or "-",
        format_duration(kill.exited_after_ns),
        _cgroup(path_of(kill.invoker_cgroup_id), kill.invoker_cgroup_id),
        _cgroup(kill.cgroup, kill.cgroup_id),
    )


def _wrapped(row: Sequence[str], width: int) -> str:
    room = max(width - _INDENT - 4, 8)
    time, invoker, killed, role, rss, order, constraint, exit_after, *cgroups = row
    invoker_cgroup, cgroup = (shortened(each, room) for each in cgroups)
    text = (
        f"{time}  {killed} ({role}) in {cgroup}, rss {rss}, exit after {exit_after}; by {invoker} "
        f"in {invoker_cgroup}, order {order}, constraint {constraint}"
    )
    indent = " " * min(_INDENT, width // 4)
    return textwrap.fill(text, width, subsequent_indent=indent, break_on_hyphens=False) + "\n"


def _cgroup(path: str | None, number: int | None) -> str:
    return path or (f"(id {number}, gone)" if number else "-")


def _task(comm: str | None, pid: int | None) -> str:
    return "-" if comm is None else f"{comm}:{'?' if pid is None else pid}"


def _wall(kill: OomKill) -> datetime:
    """Return the local time of a CLOCK_MONOTONIC stamp."""
    ago = time.monotonic_ns() - kill.at_ns
    return datetime.fromtimestamp((time.time_ns() - ago) / 1e9).astimezone()
