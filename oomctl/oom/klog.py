"""The kernel log: its records, and the OOM kills in it with their reports. Pure."""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from oomctl.oom.enums import Constraint, Role
from oomctl.oom.kill import OomKill
from oomctl.oom.reportparser import Facts, Report, SplitText
from oomctl.text import printable

_REPORTS, _WINDOW_US = 10, 6_000_000  # DEFAULT_RATELIMIT_BURST; _INTERVAL is 5 s, and some more
_AGAIN_US = 10_000_000  # within this time a PID is not used again

# __oom_kill_process(), with the message of oom_kill_process() before it
_CAUSE = r"(?P<cause>(?:Memory cgroup out|Out) of memory(?P<own> \(oom_kill_allocating_task\))?): "
_KILLED = re.compile(
    _CAUSE + r"Killed process (?P<pid>\d{1,10}) \((?P<comm>.{0,15})\) total-vm:\d+kB, "
    r"anon-rss:(?P<anon>\d{1,20})kB, file-rss:(?P<file>\d{1,20})kB, "
    r"shmem-rss:(?P<shmem>\d{1,20})kB"
    r"(?:, UID:-?\d+(?: pgtables:\d+kB oom_score_adj:(?P<adj>-?\d{1,5}))?)?",  # older: less
    re.DOTALL,
)
_SKIPPED = re.compile(
    _CAUSE + r"OOM victim (?P<pid>\d{1,10}) \((?P<comm>.{0,15})\) is already exiting\. "
    r"Skip killing the task",
    re.DOTALL,
)
_NO_SYSRQ = "OOM request ignored. No task eligible"
_NO_KILLABLE = "Out of memory and no killable processes..."
# What is not printable, and the backslash, comes as \x5c: kernel/printk/printk.c, msg_add_ext_text
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


@dataclass(frozen=True)
class Record:
    """One record of the kernel log: sequence number, time in microseconds since boot, text.

    `continued` marks the rest of a record that was too long; `caller` is empty without
    CONFIG_PRINTK_CALLER; `after_loss` says that records before this one were lost.
    """

    sequence: int
    time_us: int
    text: str
    continued: bool = False
    caller: str = ""
    after_loss: bool = False


@dataclass(frozen=True)
class KernelLog:
    """Records of the kernel log; `lost` counts records overwritten before oomctl read them."""

    records: tuple[Record, ...] = ()
    lost: int = 0

    @property
    def kills(self) -> tuple[OomKill, ...]:
        """The kills in order, each process once."""
        kills: dict[int, OomKill] = {}
        for kill in KillsFromLog().feed(self.records):
            kills.setdefault(kill.pid, kill)
        return tuple(kills.values())

    def __add__(self, later: "KernelLog") -> "KernelLog":
        """Return both as one; `later` follows this."""
        return KernelLog(self.records + later.records, self.lost + later.lost)

    @property
    def refused_sysrq(self) -> bool:
        """Whether the OOM killer of sysrq found no task (drivers/tty/sysrq.c, moom_callback)."""
        return self._says(_NO_SYSRQ)

    @property
    def found_no_killable(self) -> bool:
        """Whether the OOM killer said that no task was eligible."""
        return self._says(_NO_KILLABLE)

    def _says(self, text: str) -> bool:
        return any(record.text == text and not record.continued for record in self.records)


@dataclass
class _Oom:
    """One run of the OOM killer and the facts of its report; no `kill` if its victim had ended."""

    caller: str
    cause: str
    facts: Facts
    kill: OomKill | None = None


@dataclass
class _Group:
    """A cgroup whose tasks are killed together because one of them was chosen."""

    oom: _Oom
    text: SplitText

    def takes(self, caller: str, cause: str) -> bool:
        """Tell whether a kill without a report may be one of its members."""
        return self.text.is_group and (caller, cause) == (self.oom.caller, self.oom.cause)


class KillsFromLog:
    """Finds the OOM kills in records, in order; a report may be split over two reads.

    The OOM killer prints under oom_lock, one kill after the other. The report before a kill is rate
    limited (mm/oom_kill.c, oom_kill_process), "Killed process" is not: a kill without a report of
    its own has no facts.
    """

    def __init__(self) -> None:
        self._reported: deque[int] = deque(maxlen=_REPORTS)
        self._killed_us: dict[int, int] = {}
        self._forget()

    def _forget(self) -> None:
        self._report: Report | None = None
        self._oom: _Oom | None = None
        self._group: _Group | None = None
        self._split: SplitText | None = None

    def feed(self, records: Iterable[Record]) -> list[OomKill]:
        """Take records in order; return the kills among them, each process once.

        The first victim of a group has no `group` if "Tasks in" is in the next read.
        """
        kills: list[OomKill] = []
        for record in records:
            if record.after_loss:
                self._forget()
                self._reported.extend([record.time_us] * _REPORTS)  # as many as there may be
            if kill := self._read(record):
                kills.append(kill)
            elif self._group and kills and kills[-1] is self._group.oom.kill:
                kills[-1] = _in_group(kills[-1], self._group.text.group)
                self._group.oom.kill = kills[-1]
        return kills

    def _read(self, record: Record) -> OomKill | None:
        text, caller = record.text, record.caller
        report = self._report if self._report and self._report.caller == caller else None
        if record.continued:  # never a record by itself: it may be the name of a cgroup alone
            if self._split:
                self._split.add(caller, text)
        elif begun := Report.begun_by(caller, text):
            self._forget()
            self._report = begun
        elif text.startswith("oom-kill:constraint="):
            self._forget()
            self._reported.append(record.time_us)
            self._report = report if report and not report.summary else Report(caller)
            self._report.summary = self._split = SplitText(caller, text)
        elif text.startswith("Tasks in "):
            self._split = SplitText(caller, text)
            oom, self._oom = self._oom, None
            self._group = _Group(oom, self._split) if oom and oom.caller == caller else None
        elif found := _KILLED.fullmatch(text):
            return self._kill(found, record, report)
        elif found := _SKIPPED.fullmatch(text):
            self._oom = _Oom(caller, found["cause"], _facts(report, found))
            self._report = self._split = None
        elif text == _NO_KILLABLE:
            self._report = None
        elif report:
            report.add(text)
        return None

    def _kill(self, found: re.Match[str], record: Record, report: Report | None) -> OomKill | None:
        pid, caller, cause = int(found["pid"]), record.caller, found["cause"]
        kill = OomKill(
            at_ns=record.time_us * 1000,
            pid=pid,
            comm=printable(found["comm"]),
            role=Role.VICTIM,
            rss=sum(int(found[kind]) for kind in ("anon", "file", "shmem")) * 1024,
            oom_score_adj=int(found["adj"] or 0),
            constraint=Constraint.MEMCG if _is_memcg(found) else None,
            allocating=found["own"] is not None,
            logged=True,
        )
        before, self._killed_us[pid] = self._killed_us.get(pid), record.time_us
        self._report = self._split = None
        facts, group = _facts(report, found), self._group
        if not report and group and group.takes(caller, cause):
            if before is not None and record.time_us - before < _AGAIN_US:
                return None
            if group.oom.facts and not self._limited(record):
                shared = {**group.oom.facts, "pid": pid, "cgroup": None}
                return _in_group(replace(kill, **shared), group.text.group)
            # else either a member, or chosen by another OOM whose report was left out
        else:
            self._group = None
        kill = replace(kill, **facts)
        self._oom = _Oom(caller, cause, facts, kill)
        return kill

    def _limited(self, record: Record) -> bool:
        """Tell whether a report may have been left out just before this record."""
        reported = self._reported
        return len(reported) == _REPORTS and record.time_us - reported[0] < _WINDOW_US


def _is_memcg(found: re.Match[str]) -> bool:
    return found["cause"].startswith("Memory cgroup")


def _facts(report: Report | None, found: re.Match[str]) -> Facts:
    """Return what a report says of this victim; nothing if it is of another kind of OOM."""
    facts = report.facts(int(found["pid"]), found["comm"]) if report else {}
    constraint = facts.get("constraint")
    if constraint and (constraint == Constraint.MEMCG) != _is_memcg(found):
        return {}
    return facts


def _in_group(kill: OomKill, group: str | None) -> OomKill:
    """Add its group to a kill; of a member's cgroup the log may name only the group."""
    return replace(kill, group=group, cgroup=kill.cgroup or group)


def parse_record(raw: bytes) -> Record | None:
    """Parse one read of /dev/kmsg; None if the kernel did not write it.

    User space can write any text to /dev/kmsg, but not with facility 0 (kernel/printk/printk.c,
    devkmsg_write).
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
