"""`oomctl watch`: the OOM kills of the whole machine, one line each as they happen."""

import json
import sys
import time
from datetime import datetime
from typing import Annotated, Any

import typer

from oomctl import talk
from oomctl.cli import options
from oomctl.cli.guard import guarded
from oomctl.cli.output import Output
from oomctl.errors import Exit
from oomctl.kernel import hierarchy
from oomctl.kernel.cgroups import UnifiedNode
from oomctl.kernel.environment import protected
from oomctl.kernel.interrupt import held_back
from oomctl.kernel.lookout import Lookout
from oomctl.sighting import Sighting
from oomctl.text import printable
from oomctl.units import format_duration, format_size

_COLUMNS = "{:<12}  {:<24}  {:<24}  {:<7}  {:>7}  {:>5}  {:<13}  {:>10}  {}\n"
_HEADER = ("time", "trigger", "killed", "role", "rss", "order", "constraint", "exit after")
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
            parser=options.whole(1, 1 << 31),
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

    A line comes when the killed process has ended, at the latest after 2 s. `trigger` ran the OOM
    killer: by asking for memory, or by declaring OOM. A `victim` was chosen; a `sharer` dies with
    it since it shares its memory; who was `exiting` already gets no signal. `rss` is what it had
    when it was taken, `exit after` the time until it had given that back and ended.

    It only looks: BPF programs write what the OOM killer does into a ring buffer. Where the kernel
    does not allow that, it reads the kernel log instead, says so, and shows `-` for what the log
    does not tell.

    Ends with 0 after --count or --timeout, with 130 by Ctrl-C.

    Try it: `oomctl watch` here, `oomctl declare` in another terminal.
    """
    talk.set_verbosity(int(verbose))
    root = hierarchy.unified_root()
    below = _subtree(root, cgroup)
    with Output(None) as output, held_back(), Lookout(root) as lookout, protected():
        _introduce(lookout)
        if not as_json and sys.stdout.isatty():
            output.write(_COLUMNS.format(*_HEADER, "cgroup"))
        if _loop(lookout, output, below, as_json, count, timeout):
            return
    raise typer.Exit(Exit.NOT_AS_WANTED)


def _loop(
    lookout: Lookout,
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
        lookout.wait(_TURN if end is None else min(_TURN, max(end - time.monotonic(), 0)))
        for seen in lookout.look():
            if not _inside(seen, below):
                continue
            output.write(_as_json(seen, lookout) if as_json else _as_line(seen))
            shown += 1
            if shown == count:
                return True
        if lookout.lost > lost:
            talk.note(f"{lookout.lost - lost} records were lost before they could be read")
            lost = lookout.lost
        if end is not None and time.monotonic() >= end:
            return count is None


def _subtree(root: UnifiedNode, cgroup: str | None) -> str | None:
    """Return the path that victims must be at or below; None for the whole machine."""
    if cgroup is None or cgroup in ("/", str(root.directory)):
        return None
    return printable(hierarchy.find_cgroup(root, cgroup).cgroup)


def _inside(seen: Sighting, below: str | None) -> bool:
    if below is None:
        return True
    if seen.cgroup is None:
        talk.note(f"{seen.comm} (pid {seen.pid}) was killed in a cgroup that was gone too soon")
        return False
    return seen.cgroup == below or seen.cgroup.startswith(f"{below}/")


def _introduce(lookout: Lookout) -> None:
    if lookout.why_not:
        talk.note(f"no BPF tracing, reading the kernel log instead: {lookout.why_not}")
    talk.progress("watching the OOM killer; Ctrl-C ends")


def _as_line(seen: Sighting) -> str:
    return _COLUMNS.format(
        _wall(seen).strftime("%H:%M:%S.%f")[:-3],
        _task(seen.trigger_comm, seen.trigger_pid),
        _task(seen.comm, seen.pid),
        seen.role,
        format_size(seen.rss),
        "-" if seen.order is None else seen.order,
        seen.constraint or "-",
        format_duration(seen.exited_after_ns),
        seen.cgroup or (f"(id {seen.cgroup_id}, gone)" if seen.cgroup_id else "-"),
    )


def _as_json(seen: Sighting, lookout: Lookout) -> str:
    fields: dict[str, Any] = {
        "time": _wall(seen).isoformat(timespec="milliseconds"),
        "at_ns": seen.at_ns,
        "trigger": {"pid": seen.trigger_pid, "comm": seen.trigger_comm},
        "killed": {"pid": seen.pid, "comm": seen.comm},
        "role": seen.role,
        "cgroup": seen.cgroup,
        "cgroup_id": seen.cgroup_id,
        "memcg": lookout.path(seen.memcg_id),
        "memcg_id": seen.memcg_id,
        "order": seen.order,
        "constraint": seen.constraint,
        "rss_bytes": seen.rss,
        "exited_after_ns": seen.exited_after_ns,
        "source": lookout.source,
    }
    return json.dumps(fields) + "\n"


def _task(comm: str | None, pid: int | None) -> str:
    return "-" if comm is None else f"{comm}:{'?' if pid is None else pid}"


def _wall(seen: Sighting) -> datetime:
    """Return the local time of a CLOCK_MONOTONIC stamp."""
    ago = time.monotonic_ns() - seen.at_ns
    return datetime.fromtimestamp((time.time_ns() - ago) / 1e9).astimezone()
