"""`oomctl watch`: the OOM kills of the whole machine, one line each as they happen."""

import json
import textwrap
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from oomctl import console
from oomctl.cgroup import hierarchy
from oomctl.cgroup.node import UnifiedNode
from oomctl.cli import options
from oomctl.cli.guard import guarded
from oomctl.cli.output import Output
from oomctl.errors import Exit
from oomctl.experiment.environment import protected
from oomctl.experiment.watch import OomWatch
from oomctl.oom.as_text import task_name
from oomctl.oom.enums import EvidenceSource
from oomctl.oom.kill import OomKill
from oomctl.oom.paths import is_within
from oomctl.signals import signals_blocked
from oomctl.text import counted, printable, shortened
from oomctl.units import format_duration, format_size

_COLUMNS = "{:<12}  {:<24}  {:<24}  {:<7}  {:>7}  {:>5}  {:<13}  {:>10}  {:<24}  {}\n"
_HEADER = (
    *("time", "invoker", "killed", "role", "rss", "order", "constraint", "exit after"),
    *("trigger's cgroup", "cgroup"),
)
_OTHERS = 120  # characters before the last two columns, with the gap between them
_ROW = _OTHERS + 2 * 24
_INDENT = 14
_TURN = 0.5  # seconds: how late a victim that does not end may be told of


@guarded
def watch(
    cgroup: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Show only who is killed in this cgroup or below it: a directory of cgroup v2, "
            "or a path inside the hierarchy.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line instead of columns.")
    ] = False,
    count: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=options.integer(1, 1 << 31),
            help="End after N kills.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            parser=options.seconds(0.001, 1e9),
            help="End after this time; with --count the exit code is 1 if fewer were killed.",
            show_default=False,
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the verifier's log where tracing fails.")
    ] = False,
) -> None:
    """Show every OOM kill on this machine as it happens, whoever asked for it. Needs root.

    A line comes when the killed process has ended, at the latest after 2 s; on a narrow terminal
    it is a few lines. `trigger` ran the OOM killer: by asking for memory, or by declaring OOM. A
    `victim` was chosen; a `sharer` dies with it since it shares its memory; who was `exiting`
    already gets no signal. `rss` is what it had when it was taken, `exit after` the time until it
    had given that back and ended. `cgroup` is that of the killed process.

    It only looks: BPF programs write what the OOM killer does into a ring buffer. Where the kernel
    does not allow that, it reads the kernel log instead, says so, and shows `-` for what the log
    does not tell.

    Ends with 0 after --count or --timeout, with 130 by Ctrl-C.

    Try it: `oomctl watch` here, `oomctl declare` in another terminal.
    """
    console.set_verbosity(int(verbose))
    root = hierarchy.unified_root()
    below = _subtree(root, cgroup)
    with Output(None) as output, signals_blocked(), OomWatch(root) as oom_watch, protected():
        _introduce(oom_watch)
        if not as_json and (output.width or 0) >= _ROW:
            output.write(_COLUMNS.format(*_HEADER))
        if _loop(oom_watch, output, below, as_json, count, timeout):
            return
    raise typer.Exit(Exit.NOT_AS_WANTED)


def _loop(
    oom_watch: OomWatch,
    output: Output,
    below: str | None,
    as_json: bool,
    count: int | None,
    timeout: float | None,
) -> bool:
    """Print kills until there were enough or the time is over; tell whether there were enough."""
    end = None if timeout is None else time.monotonic() + timeout
    shown = lost = 0
    while True:
        oom_watch.wait(_TURN if end is None else min(_TURN, max(end - time.monotonic(), 0)))
        for seen in oom_watch.poll():
            if not _inside(seen, below):
                continue
            row = () if as_json else _row(seen, oom_watch)
            output.write(_as_json(seen, oom_watch) if as_json else _as_text(row, output.width))
            shown += 1
            if shown == count:
                return True
        if oom_watch.lost > lost:
            what = "record was lost before it", "records were lost before they"
            console.note(f"{counted(oom_watch.lost - lost, *what)} could be read")
            lost = oom_watch.lost
        if end is not None and time.monotonic() >= end:
            return count is None


def _subtree(root: UnifiedNode, cgroup: str | None) -> str | None:
    """Return the path that victims must be at or below; None for the whole machine."""
    if cgroup is None or cgroup in ("/", str(root.directory)):
        return None
    return printable(hierarchy.find_cgroup(root, cgroup).cgroup)


def _inside(seen: OomKill, below: str | None) -> bool:
    if below is None:
        return True
    if seen.cgroup is None:
        console.note(
            f"{task_name(seen.comm, seen.pid)} was killed in a cgroup that was gone too soon"
        )
        return False
    if seen.cgroup == seen.group != below and is_within(below, seen.cgroup):
        console.note(
            f"{task_name(seen.comm, seen.pid)} was killed somewhere in the group {seen.group}"
        )
    return is_within(seen.cgroup, below)


def _introduce(oom_watch: OomWatch) -> None:
    if oom_watch.no_tracing_reason:
        console.note(
            f"no BPF tracing, reading the kernel log instead: {oom_watch.no_tracing_reason}"
        )
    console.progress("watching the OOM killer; Ctrl-C ends")


def _row(seen: OomKill, oom_watch: OomWatch) -> tuple[str, ...]:
    """Return a cell for each header."""
    trigger = oom_watch.path(seen.invoker_cgroup_id)
    return (
        _wall(seen).strftime("%H:%M:%S.%f")[:-3],
        _task(seen.invoker_comm, seen.invoker_pid),
        _task(seen.comm, seen.pid),
        seen.role,
        format_size(seen.rss),
        "-" if seen.order is None else str(seen.order),
        seen.constraint or "-",
        format_duration(seen.exited_after_ns),
        _cgroup(trigger, seen.invoker_cgroup_id),
        _cgroup(seen.cgroup, seen.cgroup_id),
    )


def _as_text(row: Sequence[str], width: int | None) -> str:
    """Return a row as a line; on a terminal of that width in as many lines as it takes."""
    if width is None:
        return _COLUMNS.format(*row)
    if width >= _ROW:
        others = [shortened(cell, 24) for cell in row[:-1]]
        return _COLUMNS.format(*others, shortened(row[-1], width - _OTHERS - 24))
    room = max(width - _INDENT - 4, 8)
    time, trigger, killed, role, rss, order, constraint, exit_after, *cgroups = row
    trigger_cgroup, cgroup = (shortened(each, room) for each in cgroups)
    text = (
        f"{time}  {killed} ({role}) in {cgroup}, rss {rss}, exit after {exit_after}; by {trigger} "
        f"in {trigger_cgroup}, order {order}, constraint {constraint}"
    )
    indent = " " * min(_INDENT, width // 4)
    return textwrap.fill(text, width, subsequent_indent=indent, break_on_hyphens=False) + "\n"


def _cgroup(path: str | None, number: int | None) -> str:
    return path or (f"(id {number}, gone)" if number else "-")


def _as_json(seen: OomKill, oom_watch: OomWatch) -> str:
    fields: dict[str, Any] = {
        "time": _wall(seen).isoformat(timespec="milliseconds"),
        "at_ns": seen.at_ns,
        "invoker": {
            "pid": seen.invoker_pid,
            "comm": seen.invoker_comm,
            "cgroup": oom_watch.path(seen.invoker_cgroup_id),
            "cgroup_id": seen.invoker_cgroup_id,
        },
        "killed": {"pid": seen.pid, "comm": seen.comm},
        "role": seen.role,
        "cgroup": seen.cgroup,
        "cgroup_id": seen.cgroup_id,
        "memcg": seen.memcg,
        "memcg_id": seen.memcg_id,
        "order": seen.order,
        "constraint": seen.constraint,
        "rss_bytes": seen.rss,
        "exited_after_ns": seen.exited_after_ns,
        "source": EvidenceSource.RING_BUFFER if seen.traced else EvidenceSource.KERNEL_LOG,
    }
    return json.dumps(fields) + "\n"


def _task(comm: str | None, pid: int | None) -> str:
    return "-" if comm is None else f"{comm}:{'?' if pid is None else pid}"


def _wall(seen: OomKill) -> datetime:
    """Return the local time of a CLOCK_MONOTONIC stamp."""
    ago = time.monotonic_ns() - seen.at_ns
    return datetime.fromtimestamp((time.time_ns() - ago) / 1e9).astimezone()
