"""The OOM reports in records of the kernel log. Pure.

The OOM killer prints under oom_lock, one kill after the other. The report before a kill is rate
limited (mm/oom_kill.c, oom_kill_process), "Killed process" is not: a kill without a report of its
own has no facts.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from oomctl.oom import reporttext as texts
from oomctl.oom.enums import Constraint
from oomctl.oom.logrecord import Record
from oomctl.oom.oomreport import OomEnd, OomReport, Victim
from oomctl.oom.reportparser import OpenReport
from oomctl.oom.reporttext import SplitText
from oomctl.text import printable

_REPORTS, _WINDOW_US = 10, 6_000_000  # DEFAULT_RATELIMIT_BURST; _INTERVAL is 5 s, and some more
_AGAIN_US = 10_000_000  # within this time a PID is not used again
_OPEN_MAX = 256  # callers, and machines, whose reports may be open at a time
_PARTS_MAX = 64  # of a record that was split
_KILLED_MAX = 1 << 15
_FOREIGN_MAX = 20_000  # records in a row that are of no report: then its end is not in the log

Facts = dict[str, Any]
"""Fields of an OomReport that a report states for certain, by name."""


@dataclass
class _Oom:
    """One run of the OOM killer, its cause and the facts of its report."""

    cause: str
    facts: Facts
    first: OomReport


@dataclass
class _Group:
    """A cgroup whose tasks are killed together because one of them was chosen."""

    oom: _Oom
    text: SplitText


@dataclass
class _Caller:
    """What one caller, or all if the log does not name them, is in the middle of printing."""

    report: OpenReport | None = None
    oom: _Oom | None = None
    group: _Group | None = None
    split: SplitText | None = None
    parts: int = 0

    def begin(self, report: OpenReport, split: SplitText | None = None) -> None:
        """Begin a report, of another run of the OOM killer than what was there."""
        self.report, self.split, self.parts = report, split, 0
        self.oom = self.group = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it matters any more."""
        return not (self.report or self.oom or self.group or self.split)


@dataclass
class _Host:
    """What is known of one machine's kernel log."""

    callers: dict[str, _Caller] = field(default_factory=dict)
    reported: deque[int] = field(default_factory=lambda: deque(maxlen=_REPORTS))
    killed_us: dict[int, int] = field(default_factory=dict)
    suppressed: int = 0

    def lose(self, record: Record) -> None:
        """Forget what is open: records before this one are lost."""
        self.callers.clear()
        self.reported.extend([record.time_us] * _REPORTS)  # as many as there may be

    def killed(self, thread: int, now_us: int) -> int | None:
        """Keep the time at which a thread was named as killed; return the time before."""
        before = self.killed_us.pop(thread, None)
        self.killed_us[thread] = now_us
        if len(self.killed_us) > _KILLED_MAX:
            del self.killed_us[next(iter(self.killed_us))]
        return before

    def limited(self, record: Record) -> bool:
        """Tell whether a report may have been left out just before this record."""
        reported = self.reported
        return len(reported) == _REPORTS and record.time_us - reported[0] < _WINDOW_US


class ReportsFromLog:
    """Finds the OOM reports in records, in order; a report may be split over two reads.

    Each process that was killed is the victim of one report; those that died with it because of
    memory.oom.group have the same facts, without the dump, and are marked as members.
    """

    def __init__(self) -> None:
        self._hosts: dict[str, _Host] = {}
        self._open: set[tuple[str, str]] = set()
        self.named: tuple[OomReport, OomReport] | None = None
        """After a record that names the group of the last report: that one, and with its group."""

    def feed(self, records: Iterable[Record]) -> list[OomReport]:
        """Take records in order; return the reports that they complete.

        The first victim of a group has no `group` if "Tasks in" is in the next read.
        """
        reports: list[OomReport] = []
        for record in records:
            if report := self.read(record):
                reports.append(report)
            elif self.named and reports and reports[-1] is self.named[0]:
                reports[-1] = self.named[1]
        return reports

    @property
    def is_open(self) -> bool:
        """Whether a report has begun, so that any record may be a part of it."""
        return bool(self._open)

    def read(self, record: Record) -> OomReport | None:
        """Take one record; return the report that it completes, or that it shows to be cut off."""
        self.named = None
        host = self._hosts.get(record.host) or _Host()
        if record.after_loss:
            host.lose(record)
            self._open -= {key for key in self._open if key[0] == record.host}
        caller = host.callers.pop(record.caller, None) or _Caller()
        report = self._take(host, caller, record)
        if not caller.is_idle:
            _keep(host.callers, record.caller, caller)
        if not caller.is_idle or record.host in self._hosts or report or host.suppressed:
            _keep(self._hosts, record.host, host)
        key = record.host, record.caller
        if caller.report:
            self._open.add(key)
        else:
            self._open.discard(key)
        return report

    def _take(self, host: _Host, caller: _Caller, record: Record) -> OomReport | None:
        text = record.text
        if _continues(record, caller):  # never a record by itself: it may be a cgroup's name alone
            if caller.split and caller.parts < _PARTS_MAX:
                caller.split.add(record.caller, text)
                caller.parts += 1
                self._name(caller)
        elif caller.report and text[:1] == "[" and texts.INVOKES not in text:
            caller.report.add(text)  # a row of a dump, of which there may be thousands
        elif begun := OpenReport.begun_by(record):
            unfinished = _unfinished(caller)
            begun.suppressed, host.suppressed = host.suppressed, 0
            caller.begin(begun)
            return unfinished
        elif text.startswith(texts.SPLITS):
            report = _split(host, caller, record)
            self._name(caller)
            return report
        elif found := texts.CHOSEN.fullmatch(text):
            return _choose(caller, record, found)
        elif found := texts.KILLED.fullmatch(text):
            return _kill(host, caller, record, found)
        elif found := texts.SKIPPED.fullmatch(text):
            return _skip(caller, record, found)
        elif text == texts.NO_KILLABLE:
            return _end(caller, record, end=OomEnd.NO_TASK)
        elif found := texts.PANIC.fullmatch(text):
            return _end(caller, record, end=OomEnd.PANIC, panic=found["why"])
        elif found := texts.SUPPRESSED.fullmatch(text):
            host.suppressed = int(found["count"])
        elif caller.report:
            caller.report.add(text)
            if caller.report.foreign > _FOREIGN_MAX:
                unfinished, caller.report = _unfinished(caller), None
                return unfinished
        return None

    def finish(self) -> Iterator[OomReport]:
        """Yield the reports that the log does not end."""
        for host in self._hosts.values():
            for caller in host.callers.values():
                if report := _unfinished(caller):
                    yield report

    def _name(self, caller: _Caller) -> None:
        group = caller.group
        if group and caller.split is group.text and (path := group.text.group):
            first = group.oom.first
            group.oom.first = replace(first, group=path)
            self.named = first, group.oom.first


def _split(host: _Host, caller: _Caller, record: Record) -> OomReport | None:
    """Begin a record that may be split: "oom-kill:", "Tasks in" or, before 5.0, "Task in"."""
    split = SplitText(record.caller, record.text)
    unfinished, report = None, caller.report
    if record.text.startswith("oom-kill:"):
        host.reported.append(record.time_us)
        if not report or report.summary:
            unfinished, report = _unfinished(caller), OpenReport(record)
        report.summary = split
        caller.begin(report, split)
        return unfinished
    caller.split, caller.parts = split, 0
    if record.text.startswith("Tasks in "):
        caller.group = _Group(caller.oom, split) if caller.oom else None
        caller.oom = None
    elif report:
        report.limit = split
    return None


def _keep(kept: dict[str, Any], key: str, what: Any) -> None:
    """Keep something for a key; the oldest goes if there are too many."""
    kept[key] = what
    if len(kept) > _OPEN_MAX:
        del kept[next(iter(kept))]


def _continues(record: Record, caller: _Caller) -> bool:
    """Tell whether a record is the rest of the one before it."""
    if record.continued:
        return True
    split = caller.split
    if not record.loose or not split:
        return False
    return not split.is_whole and not texts.begins(record.text)


def _unfinished(caller: _Caller) -> OomReport | None:
    """Return the report that is open, whose end is not in the log."""
    report = caller.report
    if not report:
        return None
    facts = report.facts()
    victim = _chosen(report, facts)
    facts = {name: value for name, value in facts.items() if name not in _OF_VICTIM}
    return OomReport(victim=victim, **facts, **_place(report.begun))


_OF_VICTIM = ("pid", "uid", "cgroup", "comm")


def _chosen(report: OpenReport, facts: Facts) -> Victim | None:
    """Return the victim as far as the records before "Killed process" name it."""
    chosen = report.chosen
    if "pid" in facts and facts["comm"] is not None:
        return Victim(facts["pid"], facts["comm"], uid=facts["uid"], cgroup=facts.get("cgroup"))
    if not chosen:
        return None
    return Victim(
        int(chosen["pid"]),
        printable(chosen["comm"]),
        cgroup=facts.get("cgroup"),
        score=int(chosen["score"]),
    )


def _choose(caller: _Caller, record: Record, found: re.Match[str]) -> OomReport | None:
    unfinished = None
    if not caller.report or caller.report.chosen:
        unfinished = _unfinished(caller)
        caller.begin(OpenReport(record))
    if caller.report:
        caller.report.chosen = found
    return unfinished


def _end(caller: _Caller, record: Record, **end: Any) -> OomReport:
    report, caller.report = caller.report, None
    facts = report.facts() if report else {}
    facts = {name: value for name, value in facts.items() if name not in _OF_VICTIM}
    return OomReport(**facts, **end, **_place(record))


def _place(record: Record) -> Facts:
    return {
        "time_us": record.time_us if record.since_boot else None,
        "when": record.when,
        "host": record.host,
        "caller": record.caller,
    }


def _skip(caller: _Caller, record: Record, found: re.Match[str]) -> OomReport:
    facts, named = _facts(caller.report, found, found["cause"])
    victim = Victim(named.get("pid", int(found["pid"])), printable(found["comm"]), **_of(named))
    report = OomReport(end=OomEnd.EXITING, victim=victim, **facts, **_place(record))
    caller.oom = _Oom(found["cause"], facts, report)
    caller.report = caller.split = None
    return report


def _kill(host: _Host, caller: _Caller, record: Record, found: re.Match[str]) -> OomReport | None:
    open_report, group = caller.report, caller.group
    chosen = open_report.chosen if open_report else None
    cause = found["cause"] or (chosen["cause"] if chosen else "")
    thread = int(found["pid"])
    before = host.killed(thread, record.time_us)
    caller.report = caller.split = None
    facts, named = _facts(open_report, found, cause)
    is_member = False
    if not open_report and group and group.oom.cause == cause and group.text.is_group:
        if before is not None and record.time_us - before < _AGAIN_US:
            return None
        if group.oom.facts and not host.limited(record):
            facts = {**group.oom.facts, "tasks": (), "group": group.text.group}
            is_member = True
        # else either a member, or chosen by another OOM whose report was left out
    else:
        caller.group = None
    own: Facts = {"allocating": "allocating" in cause, "constraint": _of_cause(cause)}
    victim = _victim(found, named, chosen)
    report = OomReport(
        end=OomEnd.KILLED, victim=victim, is_member=is_member, **own | facts, **_place(record)
    )
    if not is_member:
        caller.oom = _Oom(cause, facts, report)
    return report


def _of_cause(cause: str) -> Constraint | None:
    return Constraint.MEMCG if cause.startswith("Memory cgroup") else None


def _facts(report: OpenReport | None, found: re.Match[str], cause: str) -> tuple[Facts, Facts]:
    """Return what a report says of an OOM and of its victim; nothing if it is of another kind."""
    if not report:
        return {}, {}
    facts = report.facts(int(found["pid"]), found["comm"])
    constraint = facts.get("constraint")
    if constraint and (constraint == Constraint.MEMCG) != (_of_cause(cause) is not None):
        return {}, {}
    named = {name: facts.pop(name) for name in _OF_VICTIM if name in facts}
    return facts, named


def _of(named: Facts) -> Facts:
    return {name: named[name] for name in ("uid", "cgroup") if name in named}


def _victim(found: re.Match[str], named: Facts, chosen: re.Match[str] | None) -> Victim:
    thread = int(found["pid"])
    uid = next((found[each] for each in ("uid", "uid1", "uid2") if found[each]), None)
    sizes = {
        name: None if found[group] is None else int(found[group]) << 10
        for name, group in _SIZES.items()
    }
    return Victim(
        pid=named.get("pid", thread),
        comm=printable(found["comm"] if found["comm"] is not None else found["comm2"]),
        thread=thread,
        uid=named.get("uid") if uid is None else int(uid),
        cgroup=named.get("cgroup"),
        oom_score_adj=None if found["adj"] is None else int(found["adj"]),
        score=int(chosen["score"]) if chosen else None,
        chosen_pid=int(chosen["pid"]) if chosen and int(chosen["pid"]) != thread else None,
        **sizes,
    )


_SIZES = {
    "total_vm": "vm",
    "anon": "anon",
    "file": "file",
    "shmem": "shmem",
    "pgtables": "pgtables",
}
