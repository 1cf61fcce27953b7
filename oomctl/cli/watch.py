"""`oomctl watch`: the OOM kills of the whole machine, one line each as they happen."""

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from oomctl import console
from oomctl.cgroup import hierarchy
from oomctl.cgroup.node import UnifiedNode
from oomctl.cli import forms, kept, killforms
from oomctl.cli.command import CACHE, command
from oomctl.cli.options import duration, integer, value
from oomctl.describe.evidence_text import counts_text
from oomctl.errors import Exit
from oomctl.experiment.environment import protected
from oomctl.experiment.recorder import FlightRecorder
from oomctl.experiment.watch import OomWatch
from oomctl.oom.as_text import task_name
from oomctl.oom.kill import OomKill
from oomctl.oom.paths import is_within
from oomctl.report import kills
from oomctl.signals import signals_blocked
from oomctl.text import counted, printable
from oomctl.units import Duration

_TURN = 0.5  # seconds: how late a victim that does not end may be shown


@dataclass(frozen=True)
class WatchOptions:
    """The options of `oomctl watch`."""

    cgroup: Annotated[
        str | None,
        value(
            "PATH",
            "Show only kills in this cgroup or below it: a directory of cgroup v2, or a path "
            "inside the hierarchy.",
        ),
    ] = None
    formats: Annotated[
        forms.Given,
        forms.option(
            kills.WatchFormat,
            "json and jsonl are the same: a line for each kill. A FILE, markdown and html are "
            "written at the end, also at that by Ctrl-C.",
        ),
    ] = None
    count: Annotated[int | None, value("N", "End after N kills.", integer(1, 1 << 31))] = None
    timeout: Annotated[
        Duration | None,
        value(
            "TIME",
            "End after this time, such as 90s, 10m or 5 (seconds).",
            duration(0.001, 365 * 86400),
        ),
    ] = None
    since: Annotated[
        Literal["boot"] | None,
        value(
            "boot", "Show first the kills that the kernel log still holds; --count leaves them out."
        ),
    ] = None
    record: Annotated[
        Path | None,
        value(
            "DIR",
            "Write into this folder, at each kill, a scenario of the tasks as they were before.",
        ),
    ] = None
    wide: Annotated[
        bool,
        typer.Option("--wide", "-w", help="A row for each kill, as on a terminal that is wide."),
    ] = False


@command(
    "after --count kills, or at --timeout",
    "fewer than --count kills before --timeout",
    environment=[CACHE],
)
def watch(given: WatchOptions) -> None:
    """Show every OOM kill on this machine as it happens.

    It needs root. A kill is shown when the killed process has ended, at the latest after 2 s, with
    three cgroups: `oom_memcg` was out of memory, so its limit was hit or OOM was declared on it;
    the `invoker` ran the OOM killer, because it needed memory or declared OOM; and that of the
    `victim`. A `victim` was chosen; a `sharer` dies too because it shares the victim's memory; an
    `exiting` task gets no signal. `rss` is the memory of the task when it was killed, `exit after`
    the time until it ended.

    Watching changes nothing: BPF programs write into a ring buffer what the OOM killer does. If
    the kernel does not allow that, the kernel log is read instead, and `-` stands for what the log
    does not contain.

    At its end, also by Ctrl-C, it says how many kills each of four sources has counted: BPF, the
    kernel log, memory.events (of --cgroup, or of all) and /proc/vmstat, and why these differ.

    With --record it is a flight recorder: it samples the tasks of --cgroup, or of the machine, and
    at each kill writes the last state as a scenario, which `oomctl run` carries out.

    Examples:
      oomctl watch                      # and `oomctl declare` in another terminal
      oomctl watch --cgroup /user.slice --format jsonl
      oomctl watch --count 1 --timeout 10m
      oomctl watch --timeout 1h -f table -f html=kills.html
      oomctl watch --cgroup /user.slice --record kills
      oomctl watch --since boot --timeout 1   # only what the kernel log holds
    """
    root = hierarchy.unified_root()
    below = _subtree(root, given.cgroup)
    with (
        forms.Places(forms.of(given.formats)) as places,
        killforms.opened(places, given.wide) as written,
        signals_blocked(),
        OomWatch(root, below, given.since == "boot") as oom_watch,
        protected(),
        _recorder(root, below, given) as recorder,
    ):
        if oom_watch.no_tracing_reason:
            console.note(
                f"no BPF tracing, reading the kernel log instead: {oom_watch.no_tracing_reason}"
            )
        console.progress("watching the OOM killer; Ctrl-C ends")
        shown = _Shown(written, given, oom_watch, below, recorder)
        try:
            enough = shown.until_enough()
        except Exception:
            raise
        except BaseException:  # Ctrl-C
            shown.summary()
            raise
        shown.summary()
    if not enough:
        raise typer.Exit(Exit.NOT_AS_WANTED)


@dataclass
class _Shown:
    """Prints the kills of a watch, and counts them."""

    forms: killforms.KillForms
    given: WatchOptions
    oom_watch: OomWatch
    below: str | None
    recorder: FlightRecorder | None
    number: int = 0
    before: int = 0
    lost: int = 0

    def until_enough(self) -> bool:
        """Print kills until --count or --timeout; tell whether there were enough."""
        given = self.given
        self.forms.begin()
        if given.since:
            self.earlier()
        end = None if given.timeout is None else time.monotonic() + given.timeout
        recorder = self.recorder
        while True:
            left = _TURN if end is None else min(_TURN, max(end - time.monotonic(), 0))
            if recorder:
                ready = self.oom_watch.wait(min(left, recorder.due()), recorder.descriptors())
            else:
                self.oom_watch.wait(left)
            for kill in self.oom_watch.poll():
                if not _is_below(kill, self.below):
                    continue
                self.forms.write(kill)
                self._record(kill)
                self.number += 1
                if self.number == given.count:
                    return True
            if recorder:
                recorder.tick(ready)
            if self.oom_watch.lost > self.lost:
                what = "record was lost before it", "records were lost before they"
                console.note(f"{counted(self.oom_watch.lost - self.lost, *what)} could be read")
                self.lost = self.oom_watch.lost
            if end is not None and time.monotonic() >= end:
                return given.count is None

    def _record(self, kill: OomKill) -> None:
        """Write the state before a kill; a failure must not end the watch."""
        try:
            file = self.recorder.record(kill) if self.recorder else None
        except OSError as error:
            console.note(f"cannot record the kill of {kill.comm}: {error.strerror}")
        else:
            if file:
                console.note(f"recorded {printable(str(file))}")

    def earlier(self) -> None:
        """Print the kills in the kernel log from before the watch."""
        if self.oom_watch.overwritten:
            what = "record", "records"
            console.note(
                f"the kernel log lacks its first {counted(self.oom_watch.overwritten, *what)}"
            )
        for kill in self.oom_watch.earlier:
            if _is_below(kill, self.below):
                self.forms.write(kill, earlier=True)
                self.before += 1

    def summary(self) -> None:
        """Print the kills as each source has counted them."""
        counts = self.oom_watch.counts()
        if self.forms.newest:
            kept.keep("watch", lambda: "".join(self.forms.newest))
        if self.recorder:
            samples = counted(self.recorder.samples, "sample")
            missed = counted(self.recorder.missed, "kill")
            too_new = f", {missed} of cgroups without a sample" if self.recorder.missed else ""
            console.note(
                f"{counted(len(self.recorder.files), 'file')} recorded{too_new}; "
                f"{samples} took {self.recorder.share:.1%} of a CPU"
            )
        self.forms.end(lambda: kills.render_summary(self.number, self.oom_watch.lost, counts))
        if not self.forms.tells_counts:
            before = f", besides {self.before} from before" if self.before else ""
            console.note(f"kills shown {self.number}{before}, counted: {counts_text(counts)}")


def _recorder(
    root: UnifiedNode, below: str | None, given: WatchOptions
) -> AbstractContextManager[FlightRecorder | None]:
    if given.record is None:
        return nullcontext()
    return FlightRecorder(root, None if below is None else root.at(below), given.record)


def _subtree(root: UnifiedNode, cgroup: str | None) -> str | None:
    """Return the path that victims must be at or below; None for the whole machine."""
    if cgroup is None or cgroup in ("/", str(root.directory)):
        return None
    return hierarchy.find_cgroup(root, cgroup).cgroup


def _is_below(kill: OomKill, below: str | None) -> bool:
    if below is None:
        return True
    below = printable(below)
    task = task_name(kill.comm, kill.pid)
    if kill.cgroup is None:
        console.note(f"{task} was killed in a cgroup that was gone too soon")
        return False
    if kill.cgroup == kill.group != below and is_within(below, kill.cgroup):
        console.note(f"{task} was killed somewhere in the group {kill.group}")
    return is_within(kill.cgroup, below)
