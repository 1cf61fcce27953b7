"""The OOM reports in records of the kernel log. Pure.

The OOM killer prints under oom_lock, one kill after the other. The report before a kill is rate
limited (mm/oom_kill.c, oom_kill_process), "Killed process" is not: a kill without a report of its
own has no facts.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from oomctl.oom.log import reporttext as texts
from oomctl.oom.log.logrecord import Record
from oomctl.oom.log.oomreport import OomEnd, OomReport
from oomctl.oom.log.reportfacts import (
    Facts,
    constraint_of,
    facts_of_kill,
    facts_without_kill,
    killed,
    place,
    skipped,
)
from oomctl.oom.log.reportparser import OpenReport
from oomctl.oom.log.reportstate import CallerState, Group, HostState, OomRun
from oomctl.oom.log.reporttext import SplitText

_AGAIN_US = 10_000_000  # within this time a PID is not used again
_OPEN_MAX = 256  # callers, and machines, whose reports may be open at a time
_PARTS_MAX = 64  # of a record that was split
_FOREIGN_MAX = 20_000  # records in a row that are of no report: then its end is not in the log
_NOT_ONLY_ADDED = (*texts.SPLITS, *texts.ENDS)


class ReportsFromLog:
    """Finds the OOM reports in records, in order; a report may be split over two reads.

    Each process that was killed is the victim of one report; those that died with it because of
    memory.oom.group have the same facts, without the dump, and are marked as members.
    """

    def __init__(self) -> None:
        self._hosts: dict[str, HostState] = {}
        self._open: set[tuple[str, str]] = set()
        self._last: tuple[str, str, CallerState] | None = None
        """The caller of the last record, on its host, if its report is open."""
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
        if self._adds(record):
            return None
        host = self._hosts.get(record.host) or HostState()
        if record.after_loss:
            host.lose(record)
            self._open -= {key for key in self._open if key[0] == record.host}
        caller = host.callers.pop(record.caller, None) or CallerState()
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
        self._last = (*key, caller) if caller.report else None
        return report

    def _adds(self, record: Record) -> bool:
        """Add a record to the report of the one before it, if it is just one more of it.

        As nearly all are: then nothing changes in what is known of its caller and host.
        """
        if not self._last:
            return False
        host, name, caller = self._last
        report, text = caller.report, record.text
        if (
            not report
            or record.caller != name
            or record.host != host
            or record.after_loss
            or _continues(record, caller)
            or texts.INVOKES in text
            or text.startswith(_NOT_ONLY_ADDED)
            or report.foreign >= _FOREIGN_MAX
        ):
            return False
        report.add(text)
        return True

    def _take(self, host: HostState, caller: CallerState, record: Record) -> OomReport | None:
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
            begun.is_crowded = caller.report is not None and not record.caller
            caller.begin(begun)
            return unfinished
        elif text.startswith(texts.SPLITS):
            report = _split(host, caller, record)
            self._name(caller)
            return report
        elif not text.startswith(texts.ENDS):
            return _add(caller, text)
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
        else:
            return _add(caller, text)
        return None

    def finish(self) -> Iterator[OomReport]:
        """Yield the reports that the log does not end."""
        for host in self._hosts.values():
            for caller in host.callers.values():
                if report := _unfinished(caller):
                    yield report

    def _name(self, caller: CallerState) -> None:
        group = caller.group
        if group and caller.split is group.text and (path := group.text.group):
            first = group.oom.first
            group.oom.first = replace(first, group=path)
            self.named = first, group.oom.first


def _add(caller: CallerState, text: str) -> OomReport | None:
    """Add a record to the report that is open; return that if it cannot have an end any more."""
    if caller.report:
        caller.report.add(text)
        if caller.report.foreign > _FOREIGN_MAX:
            unfinished, caller.report = _unfinished(caller), None
            return unfinished
    return None


def _split(host: HostState, caller: CallerState, record: Record) -> OomReport | None:
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
        caller.group = Group(caller.oom, split) if caller.oom else None
        caller.oom = None
    elif report:
        report.limit = split
    return None


def _keep(kept: dict[str, Any], key: str, what: Any) -> None:
    """Keep something for a key; the oldest goes if there are too many."""
    kept[key] = what
    if len(kept) > _OPEN_MAX:
        del kept[next(iter(kept))]


def _continues(record: Record, caller: CallerState) -> bool:
    """Tell whether a record is the rest of the one before it."""
    if record.continued:
        return True
    split = caller.split
    if not record.loose or not split:
        return False
    return not split.is_whole and not texts.begins(record.text)


def _unfinished(caller: CallerState) -> OomReport | None:
    """Return the report that is open, whose end is not in the log."""
    report = caller.report
    return OomReport(**facts_without_kill(report), **place(report.begun)) if report else None


def _choose(caller: CallerState, record: Record, found: re.Match[str]) -> OomReport | None:
    unfinished = None
    if not caller.report or caller.report.chosen:
        unfinished = _unfinished(caller)
        caller.begin(OpenReport(record))
    if caller.report:
        caller.report.chosen = found
    return unfinished


def _end(caller: CallerState, record: Record, **end: Any) -> OomReport:
    report, caller.report = caller.report, None
    facts = facts_without_kill(report) | {"victim": None}
    return OomReport(**facts, **end, **place(record))


def _skip(caller: CallerState, record: Record, found: re.Match[str]) -> OomReport:
    facts, named = facts_of_kill(caller.report, found["cause"], record, found)
    victim = skipped(found, named)
    report = OomReport(end=OomEnd.EXITING, victim=victim, **facts, **place(record))
    caller.oom = OomRun(found["cause"], facts, report)
    caller.report = caller.split = None
    return report


def _kill(
    host: HostState, caller: CallerState, record: Record, found: re.Match[str]
) -> OomReport | None:
    open_report, group = caller.report, caller.group
    chosen = open_report.chosen if open_report else None
    cause = found["cause"] or (chosen["cause"] if chosen else "")
    before = host.killed(int(found["pid"]), record.time_us)
    caller.report = caller.split = None
    facts, named = facts_of_kill(open_report, cause, record, found)
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
    own: Facts = {"allocating": "allocating" in cause, "constraint": constraint_of(cause)}
    victim = killed(found, named, chosen, facts.get("tasks", ()))
    report = OomReport(
        end=OomEnd.KILLED, victim=victim, is_member=is_member, **own | facts, **place(record)
    )
    if not is_member:
        caller.oom = OomRun(cause, facts, report)
    return report
