"""What the records of a report state of an OOM and of its victim, for one kill. Pure."""

import re
from collections.abc import Iterable
from typing import Any

from oomctl.oom.enums import Constraint
from oomctl.oom.log.logrecord import Record
from oomctl.oom.log.oomreport import DumpedTask, Victim
from oomctl.oom.log.reportparser import OpenReport
from oomctl.oom.log.reporttext import uid_of
from oomctl.text import printable

Facts = dict[str, Any]
"""Fields of an OomReport, or of its victim, that are certain, by name."""

_OF_VICTIM = ("pid", "uid", "cgroup", "comm")
_SIZES = {
    "total_vm": "vm",
    "anon": "anon",
    "file": "file",
    "shmem": "shmem",
    "pgtables": "pgtables",
}


def place(record: Record) -> Facts:
    """Return when and where a record was printed, and the task that printed it."""
    return {
        "time_us": record.time_us if record.since_boot else None,
        "when": record.when,
        "host": record.host,
        "caller": record.caller,
    }


def constraint_of(cause: str) -> Constraint | None:
    """Return the constraint that the record of a kill names, if it does."""
    return Constraint.MEMCG if cause.startswith("Memory cgroup") else None


def facts_without_kill(report: OpenReport | None) -> Facts:
    """Return what a report states, with the victim as far as it names one."""
    if not report:
        return {}
    facts, named = _parted(report.facts())
    return facts | {"victim": _chosen(named, report.chosen)}


def facts_of_kill(
    report: OpenReport | None, cause: str, record: Record, found: re.Match[str]
) -> tuple[Facts, Facts]:
    """Return what a report states of a kill and of its victim; nothing if it is of another one."""
    if not report:
        return {}, {}
    thread = int(found["pid"])
    facts, named = _parted(report.facts(thread, found["comm"]))
    constraint = facts.get("constraint")
    if constraint and (constraint == Constraint.MEMCG) != (constraint_of(cause) is not None):
        return {}, {}
    if record.loose and named.get("pid", thread) != thread:  # a thread of it, or lines are missing
        rows = facts["tasks"]
        if all((row.pid, row.tgid) != (thread, named["pid"]) for row in rows):
            return {}, {}
    return facts, named


def _parted(facts: Facts) -> tuple[Facts, Facts]:
    named = {name: facts.pop(name) for name in _OF_VICTIM if name in facts}
    return facts, named


def _chosen(named: Facts, chosen: re.Match[str] | None) -> Victim | None:
    """Return the victim as far as the records before "Killed process" name it."""
    cgroup = named.get("cgroup")
    if named.get("comm") is not None:
        return Victim(named["pid"], named["comm"], uid=named["uid"], cgroup=cgroup)
    if not chosen:
        return None
    score = int(chosen["score"])
    return Victim(int(chosen["pid"]), printable(chosen["comm"]), cgroup=cgroup, score=score)


def skipped(found: re.Match[str], named: Facts) -> Victim:
    """Return the victim that was ending already."""
    pid = named.get("pid", int(found["pid"]))
    name = printable(found["comm"])
    return Victim(pid, name, uid=named.get("uid"), cgroup=named.get("cgroup"))


def killed(
    found: re.Match[str], named: Facts, chosen: re.Match[str] | None, rows: Iterable[DumpedTask]
) -> Victim:
    """Return the victim of a kill; `chosen` is the record before it that kernels up to 5.0 have.

    `rows` are the task dump's. Before 941f762bcb27 ("mm/oom: fix pgtables units mismatch in Killed
    process message"), v5.5, the page tables are in bytes though "kB" stands behind them.
    """
    thread = int(found["pid"])
    uid = next((found[each] for each in ("uid", "uid1", "uid2") if found[each]), None)
    sizes = {
        name: None if found[group] is None else int(found[group]) << 10
        for name, group in _SIZES.items()
    }
    tables, total = sizes["pgtables"], sizes["total_vm"]
    dumped = next((row.pgtables for row in rows if row.pid == thread), None)
    if tables and (tables >> 10 == dumped or tables > (total or tables)):
        sizes["pgtables"] = tables >> 10
    return Victim(
        pid=named.get("pid", thread),
        comm=printable(found["comm"] if found["comm"] is not None else found["comm2"]),
        thread=thread,
        uid=named.get("uid") if uid is None else uid_of(uid),
        cgroup=named.get("cgroup"),
        oom_score_adj=None if found["adj"] is None else int(found["adj"]),
        score=int(chosen["score"]) if chosen else None,
        chosen_pid=int(chosen["pid"]) if chosen and int(chosen["pid"]) != thread else None,
        **sizes,
    )
