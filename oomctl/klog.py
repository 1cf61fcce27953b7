"""The kernel log: its records, and what the OOM killer's reports in it say of each kill. Pure.

Nothing that a task can choose may change how a record is read: a comm is any 15 bytes, the path of
a cgroup anything but a newline. So a record is matched as a whole, from its fixed parts, and what
could be read in two ways is not told.
"""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from oomctl.text import printable

_REPORTS, _WINDOW_US = 10, 6_000_000  # DEFAULT_RATELIMIT_BURST; _INTERVAL is 5 s, and some more
_AGAIN_US = 10_000_000  # how soon a PID that was killed is not another process's yet
# printk() cuts what pr_cont() gives it at once, without a mark: to 1021 bytes in 6.x, fewer before
# (kernel/printk/printk.c, vprintk_store, PRINTKRB_RECORD_MAX)
_UNCUT_MAX = 972
_COMM_MAX = 15

_INVOKED = re.compile(
    r"(?P<comm>.{0,15}) invoked oom-killer: gfp_mask=[^ ]*, order=(?P<order>-?\d{1,10})"
    r"(?:, oom_score_adj=-?\d{1,5})?",
    re.DOTALL,
)
_COMPACTION = "COMPACTION is disabled!!!"
# lib/dump_stack.c, dump_stack_print_info(). A comm may begin with what printk() takes for a level
# and leaves out where it begins a record (printk_parse_prefix), so not here but in _INVOKED.
_CPU = re.compile(r"CPU: \d+ (?:UID: \d+ )?PID: (?P<pid>\d{1,10}) Comm: (?P<level>(?:\x01[0-7c])*)")
# dump_oom_victim(), mem_cgroup_print_oom_context(); the name of a cpuset holds no slash
_SUMMARY = re.compile(
    r"oom-kill:constraint=CONSTRAINT_(?P<constraint>[A-Z_]+),nodemask=(?:\(null\)|[\d,-]*),"
    r"cpuset=(?:/|[^/]*),mems_allowed=[\d,-]*,(?P<whose>oom_memcg|global_oom,task_memcg)="
    r"(?P<paths>/.*),pid=(?P<pid>\d{1,10}),uid=-?\d{1,10}",
    re.DOTALL,
)
_KILLED = re.compile(
    r"(?P<cause>(?:Memory cgroup out|Out) of memory(?P<own> \(oom_kill_allocating_task\))?): "
    r"Killed process (?P<pid>\d{1,10}) \((?P<comm>.{0,15})\) total-vm:\d+kB, "
    r"anon-rss:(?P<anon>\d{1,20})kB, file-rss:(?P<file>\d{1,20})kB, "
    r"shmem-rss:(?P<shmem>\d{1,20})kB"
    r"(?:, UID:-?\d+(?: pgtables:\d+kB oom_score_adj:(?P<adj>-?\d{1,5}))?)?",  # older: less
    re.DOTALL,
)
_SKIPPED = re.compile(
    r"(?:Memory cgroup out|Out) of memory.*: OOM victim \d+ \(.{0,15}\) is already exiting\. "
    r"Skip killing the task",
    re.DOTALL,
)
_GROUP = re.compile(
    r"Tasks in (?P<path>/.*) are going to be killed due to memory\.oom\.group set", re.DOTALL
)
_NO_SYSRQ = "OOM request ignored. No task eligible"
_NO_KILLABLE = "Out of memory and no killable processes..."
# What is not printable, and the backslash, comes as \x5c: kernel/printk/printk.c, msg_add_ext_text
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


@dataclass(frozen=True)
class Record:
    """One record of the kernel log: sequence number, time in microseconds since boot, text.

    `continued` is set for what belongs to a record before it and had no place there; `caller` is
    empty without CONFIG_PRINTK_CALLER; `after_loss` tells that records before it were lost.
    """

    sequence: int
    time_us: int
    text: str
    continued: bool = False
    caller: str = ""
    after_loss: bool = False


@dataclass(frozen=True)
class LogKill:
    """One "Killed process" record and what its own report says: microseconds since boot, bytes.

    `pid` is the process as far as the log tells, `thread` the one that has the memory: another
    where the leader has ended (mm/oom_kill.c, find_lock_task_mm). `cgroup` is the victim's,
    `oom_memcg` the one out of memory, `group` the one whose memory.oom.group took it. What the log
    does not say, or not for certain, is None.
    """

    at_us: int
    pid: int
    thread: int
    comm: str
    rss: int
    oom_score_adj: int
    cgroup: str | None = None
    oom_memcg: str | None = None
    constraint: str | None = None
    order: int | None = None
    trigger_pid: int | None = None
    trigger_comm: str | None = None
    group: str | None = None
    allocating: bool = False


@dataclass(frozen=True)
class KernelLog:
    """What the log said between two moments; `lost` counts records overwritten before we read."""

    records: tuple[Record, ...] = ()
    lost: int = 0

    @property
    def kills(self) -> tuple[LogKill, ...]:
        """The kills in order, each process once."""
        kills: dict[int, LogKill] = {}
        for kill in KillsFromLog().feed(self.records):
            kills.setdefault(kill.pid, kill)
        return tuple(kills.values())

    def __add__(self, later: "KernelLog") -> "KernelLog":
        """Return both as one; `later` is what came after this."""
        return KernelLog(self.records + later.records, self.lost + later.lost)

    @property
    def refused_sysrq(self) -> bool:
        """Whether sysrq's OOM found nobody (drivers/tty/sysrq.c, moom_callback)."""
        return self._says(_NO_SYSRQ)

    @property
    def found_no_killable(self) -> bool:
        """Whether the OOM killer said that no task was eligible."""
        return self._says(_NO_KILLABLE)

    def _says(self, text: str) -> bool:
        return any(record.text == text and not record.continued for record in self.records)


@dataclass
class _Text:
    """A record that printk() may have split, put together."""

    caller: str
    text: str
    cut: bool = False
    _last: int = 0

    def add(self, record: Record) -> None:
        """Append a continuation, if it is this caller's; what is cut is never the last of them."""
        if record.caller == self.caller:
            self.text += record.text
            self.cut, self._last = self.cut or self._last > _UNCUT_MAX, _size(record.text)


@dataclass
class _Report:
    """What comes before one kill: who invoked the OOM killer, and the "oom-kill:" record."""

    caller: str
    comm: str | None = None
    order: int | None = None
    pid: int | None = None
    summary: _Text | None = None
    _expects_cpu: bool = True

    def add(self, text: str) -> None:
        """Take the record after "invoked oom-killer": only that one has the PID."""
        if self._expects_cpu and self.comm is not None and text != _COMPACTION:
            self._expects_cpu = False
            found = _CPU.match(text)
            if found and text.startswith(f"{self.comm} ", found.end()):
                self.pid, self.comm = int(found["pid"]), found["level"] + self.comm

    def complete(self, kill: LogKill, comm: str) -> LogKill:
        """Return the kill with what the report says of it; `comm` is the thread's, as it is."""
        kill = replace(
            kill,
            order=self.order,
            trigger_pid=self.pid,
            trigger_comm=None if self.comm is None else printable(self.comm),
        )
        found = _SUMMARY.fullmatch(self.summary.text) if self.summary else None
        if not self.summary or not found:
            return kill
        pid, constraint = int(found["pid"]), found["constraint"].lower().replace("_", "-")
        oom_memcg, cgroup = _paths(found, comm if pid == kill.thread else None)
        if self.summary.cut:
            oom_memcg = cgroup = None
        return replace(kill, pid=pid, constraint=constraint, oom_memcg=oom_memcg, cgroup=cgroup)


@dataclass
class _Oom:
    """A kill that the OOM killer chose, as far as can be told; `reported` if it has a report."""

    kill: LogKill
    caller: str
    cause: str
    reported: bool


@dataclass
class _Group:
    """A cgroup whose tasks are killed together, since one of them was chosen."""

    oom: _Oom
    text: _Text

    @property
    def complete(self) -> bool:
        """Whether it is really that record."""
        return _GROUP.fullmatch(self.text.text) is not None

    @property
    def path(self) -> str | None:
        """The cgroup, None if the record was cut."""
        found = _GROUP.fullmatch(self.text.text)
        return found["path"] if found and not self.text.cut else None


class KillsFromLog:
    """Finds the OOM kills in records, in order; a report may be split over two reads.

    The OOM killer reports under oom_lock, one kill after the other. The report before a kill is
    rate limited (mm/oom_kill.c, oom_kill_process), "Killed process" is not: a kill without a report
    of its own gets no facts of another's.
    """

    def __init__(self) -> None:
        self._reported: deque[int] = deque(maxlen=_REPORTS)
        self._told: dict[int, int] = {}
        self._forget()

    def _forget(self) -> None:
        self._report: _Report | None = None
        self._oom: _Oom | None = None
        self._group: _Group | None = None
        self._split: _Text | None = None

    def feed(self, records: Iterable[Record]) -> list[LogKill]:
        """Take records in order; return the kills among them, each process once.

        The first victim of a group has no `group` if the record of that comes in the next read.
        """
        kills: list[LogKill] = []
        for record in records:
            if record.after_loss:
                self._forget()
                self._reported.clear()
            if kill := self._read(record):
                kills.append(kill)
            elif (group := self._group) and kills and kills[-1] is group.oom.kill:
                kills[-1] = group.oom.kill = replace(group.oom.kill, group=group.path)
        return kills

    def _read(self, record: Record) -> LogKill | None:
        text, caller = record.text, record.caller
        report = self._report if self._report and self._report.caller == caller else None
        if record.continued:  # never a record by itself: it may be the name of a cgroup alone
            if self._split:
                self._split.add(record)
        elif found := _INVOKED.fullmatch(text):
            self._forget()
            self._report = _Report(caller, found["comm"], int(found["order"]))
        elif text.startswith("oom-kill:constraint="):
            self._forget()
            self._reported.append(record.time_us)
            self._report = report if report and not report.summary else _Report(caller)
            self._report.summary = self._split = _Text(caller, text)
        elif text.startswith("Tasks in ") and self._oom and self._oom.caller == caller:
            self._split = _Text(caller, text)
            self._group = _Group(self._oom, self._split)
        elif found := _KILLED.fullmatch(text):
            return self._kill(found, record, report)
        elif text == _NO_KILLABLE or _SKIPPED.fullmatch(text):
            self._report = self._split = None
        elif report:
            report.add(text)
        return None

    def _kill(self, found: re.Match[str], record: Record, report: _Report | None) -> LogKill | None:
        pid, cause = int(found["pid"]), found["cause"]
        kill = LogKill(
            at_us=record.time_us,
            pid=pid,
            thread=pid,
            comm=printable(found["comm"]),
            rss=sum(int(found[kind]) for kind in ("anon", "file", "shmem")) * 1024,
            oom_score_adj=int(found["adj"] or 0),
            constraint="memcg" if cause.startswith("Memory cgroup") else None,
            allocating=found["own"] is not None,
        )
        before, self._told[pid] = self._told.get(pid), record.time_us
        group, self._report, self._split = self._group, None, None
        if report:
            told = report.complete(kill, found["comm"])
            if (told.constraint == "memcg") == (kill.constraint == "memcg"):
                kill = told
            self._group, self._oom = None, _Oom(kill, record.caller, cause, True)
            return kill
        own = (record.caller, cause)
        if not group or not group.complete or own != (group.oom.caller, group.oom.cause):
            self._group, self._oom = None, _Oom(kill, record.caller, cause, False)
            return kill
        if before is not None and record.time_us - before < _AGAIN_US:
            return None
        if group.oom.reported and not self._limited(record):
            first = group.oom.kill
            return replace(
                kill,
                oom_memcg=first.oom_memcg,
                constraint=first.constraint,
                order=first.order,
                trigger_pid=first.trigger_pid,
                trigger_comm=first.trigger_comm,
                group=group.path,
            )
        # a member, or one that another OOM chose and whose report was left out
        self._oom = _Oom(kill, record.caller, cause, False)
        return kill

    def _limited(self, record: Record) -> bool:
        """Tell whether a report may have been left out just before this record."""
        reported = self._reported
        return len(reported) == _REPORTS and record.time_us - reported[0] < _WINDOW_US


def _paths(found: re.Match[str], comm: str | None) -> tuple[str | None, str | None]:
    """Return the cgroup out of memory and the victim's, None where they are not certain.

    `paths` is "PATH[,task_memcg=PATH],task=COMM": what a comm or path holds may look like the rest.
    """
    paths = found["paths"]
    starts = [start for start in _all(",task=", paths) if _size(paths[start + 6 :]) <= _COMM_MAX]
    ours = [start for start in starts if paths[start + 6 :] == comm]
    if len(ours or starts) != 1:
        return None, None
    paths = paths[: (ours or starts)[0]]
    if found["whose"] != "oom_memcg":
        return None, paths
    pairs = [(paths[:at], paths[at + 12 :]) for at in _all(",task_memcg=/", paths)]
    inside = [pair for pair in pairs if f"{pair[1]}/".startswith(f"{pair[0].rstrip('/')}/")]
    return inside[0] if len(inside) == 1 else (None, None)


def _all(part: str, text: str) -> list[int]:
    return [found.start() for found in re.finditer(re.escape(part), text)]


def _size(text: str) -> int:
    """Return the bytes of a text, as the kernel counts them."""
    return len(text.encode(errors="surrogateescape"))


def parse_record(raw: bytes) -> Record | None:
    """Parse one read of /dev/kmsg; None for what is not the kernel's own.

    Whoever may write /dev/kmsg can put any text there, but not with facility 0: devkmsg_write()
    in kernel/printk/printk.c replaces it.
    """
    head, _, body = raw.partition(b";")
    fields = head.split(b",")
    if len(fields) < 3 or not all(field.isdigit() and len(field) <= 20 for field in fields[:3]):
        return None
    priority, sequence, time_us = (int(field) for field in fields[:3])
    if priority >> 3:
        return None
    line = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), body.split(b"\n", 1)[0])
    caller = next((field[7:] for field in fields[4:] if field.startswith(b"caller=")), b"")
    return Record(
        sequence,
        time_us,
        line.decode(errors="surrogateescape"),
        continued=fields[3:4] == [b"c"],
        caller=caller.decode(errors="surrogateescape"),
    )
