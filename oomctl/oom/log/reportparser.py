"""One OOM report, put together record by record. Pure."""

import re
from collections.abc import Sequence
from typing import Any, Self

from oomctl.oom.enums import Constraint
from oomctl.oom.log import reporttext as texts
from oomctl.oom.log.logrecord import Record
from oomctl.oom.log.oomreport import DumpedTask, Machine, PageCounter
from oomctl.oom.log.reportrow import in_bytes, parse_row
from oomctl.oom.log.reporttext import SplitText
from oomctl.text import printable

ROWS_MAX = 1 << 15
"""The rows of a dump that are kept: a hostile log must not take all memory."""
_NAMES_MAX = 1 << 9


class OpenReport:
    """The records of one report; `facts()` is what they state."""

    def __init__(self, begun: Record) -> None:
        self.begun = begun
        self.foreign = 0
        self.summary: SplitText | None = None
        self.limit: SplitText | None = None
        self.chosen: re.Match[str] | None = None
        self.suppressed = 0
        self.is_crowded = False
        """Whether another report of a caller without a name was open when this one began."""
        self._is_mixed = False
        self._rows_lost = False
        self._head: dict[str, Any] = {}
        self._comm: str | None = None
        self._expects_cpu = False
        self._section = ""
        self._counters: dict[str, PageCounter] = {}
        self._stat: dict[str, int] = {}
        self._stat_of: str | None = None
        self._machine: dict[str, int] = {}
        self._present: dict[int, int] = {}
        self._pages: dict[str, int] = {}
        self._rows: list[DumpedTask] = []
        self._columns: Sequence[str] = ()

    @classmethod
    def begun_by(cls, record: Record) -> Self | None:
        """Return a new report if this record begins one."""
        if texts.INVOKES not in record.text:
            return None
        found = texts.INVOKED.fullmatch(record.text)
        if not found:
            return None
        new = cls(record)
        new._comm, new._expects_cpu = found["comm"], True
        new._head = {
            "invoker_comm": printable(found["comm"]),
            "order": _integer(found["order"]),
            "invoker_adj": _integer(found["adj"]),
            "gfp_mask": int(found["mask"], 16) if found["mask"] else None,
            "gfp_flags": found["flags"],
            "nodemask": _mask(found["nodemask"]),
        }
        return new

    def add(self, text: str) -> None:
        """Take the next record: of a report, the one with the PID comes first."""
        if self._expects_cpu and self._takes_trigger(text):
            return
        if self._section == "stat" and (found := texts.STAT.fullmatch(text)):
            _put(self._stat, found["name"], int(found["value"]))
        elif ": usage " in text and (found := texts.COUNTER.fullmatch(text)):
            usage, limit, failcnt = (int(found[name]) for name in ("usage", "limit", "failcnt"))
            self._is_mixed |= found["name"] in self._counters or self._section == texts.DUMP
            at = None if limit >= texts.UNLIMITED_KB else limit << 10
            self._counters[found["name"]] = PageCounter(usage << 10, at, failcnt)
        elif text in (texts.DUMP, texts.MACHINE):
            self._is_mixed |= text == texts.MACHINE and bool(self._pages)
            self._section = text
        elif text[:1] == "[":
            self._take_row(text)
        elif text.startswith("Memory cgroup stats for "):
            self._is_mixed |= not self._counters
            self._take_stats(text)
        else:
            self.foreign += 1
            self._take_machine(text)
            return
        self._expects_cpu = False

    def _takes_trigger(self, text: str) -> bool:
        if found := texts.CPUSET.fullmatch(text):
            self._head |= {"cpuset": printable(found["cpuset"]), "mems_allowed": found["mems"]}
            return True
        found = texts.CPU.match(text)
        if not found or not text.startswith(f"{self._comm} ", found.end()):
            self._expects_cpu = not texts.SPLAT.search(text)
            return False
        self._expects_cpu = False
        self._head["invoker_pid"] = int(found["pid"] or found["old"])
        self._head["invoker_comm"] = printable(f"{found['level']}{self._comm}")
        release = texts.RELEASE.search(text, found.end() + len(self._comm or ""))
        self._head["kernel"] = release and release[1]
        return True

    def _take_stats(self, text: str) -> None:
        """Take the head of the memcg's statistics; before 5.3 it has them, for each cgroup."""
        first, _, lines = text.partition("\n")
        found = texts.STATS.fullmatch(first)
        self._section = "stat"
        if not found:  # a long path has split it
            return
        self._stat_of = self._stat_of or printable(found["path"])
        for each in found["old"].split():
            name, _, size = each.removesuffix("KB").partition(":")
            _put(self._stat, name, self._stat.get(name, 0) + (int(size) << 10))
        for line in lines.split("\n"):
            if each_line := texts.STAT.fullmatch(line):
                _put(self._stat, each_line["name"], int(each_line["value"]))

    def _take_row(self, text: str) -> None:
        """Take the head of the dump of tasks, or a row of it."""
        if head := texts.DUMP_HEAD.fullmatch(text):
            self._is_mixed |= bool(self._columns)
            self._section = texts.DUMP
            self._columns = head["columns"].split()[:-1]
            return
        row = parse_row(text, self._columns)
        if not row:
            return
        self._section = texts.DUMP
        if len(self._rows) == ROWS_MAX:
            self._rows_lost = True
        else:
            self._rows.append(row)

    def _take_machine(self, text: str) -> None:
        if self._section != texts.MACHINE:
            return
        if found := texts.RAM.fullmatch(text):
            name = "ram_pages" if found["pages"].endswith("RAM") else "reserved_pages"
            self._machine[name] = int(found["number"])
        elif found := texts.SWAP.fullmatch(text):
            self._machine[f"swap_{found['which'].lower()}"] = int(found["size"]) << 10
        elif found := texts.ZONE.match(text):
            node = int(found["node"] or 0)
            if node in self._present or len(self._present) < _NAMES_MAX:
                present = self._present.get(node, 0)
                self._present[node] = present + (int(found["present"]) << 10)
        elif not text.startswith("Node "):
            for found in texts.PAGES.finditer(text[:2000]):
                _put(self._pages, found["name"], int(found["pages"]))

    def facts(self, thread: int | None = None, comm: str | None = None) -> dict[str, Any]:
        """Return fields of an OomReport, for the thread that was killed and its comm.

        Those of the victim are "pid", "uid" and "cgroup", if "oom-kill:" or "Task in" has them.
        """
        facts = dict(self._head)
        if self.summary:
            named = self._facts_of_summary(self.summary, thread, comm)
            if self.is_crowded and not self._is_of(named):
                return named
            facts |= named
        elif self.limit and (found := texts.LIMIT.fullmatch(self.limit.text)):
            facts["constraint"] = Constraint.MEMCG
            if not self.limit.cut:
                facts["memcg"], facts["cgroup"] = texts.paths_of_limit(found)
        if self._counters and facts.get("constraint", Constraint.MEMCG) is Constraint.MEMCG:
            facts["constraint"] = Constraint.MEMCG
            facts["memcg"] = facts.get("memcg") or self._stat_of
        if self._machine or self._pages:
            facts["machine"] = Machine(
                **self._machine, present=dict(self._present), pages=dict(self._pages)
            )
        facts |= {
            "counters": dict(self._counters),
            "stat": dict(self._stat),
            "stat_of": self._stat_of,
            "tasks": in_bytes(self._rows, self._columns),
            "has_dump": self._section == texts.DUMP,
            "tasks_lost": self._rows_lost,
            "suppressed": self.suppressed,
        }
        return facts

    def _is_of(self, named: dict[str, Any]) -> bool:
        """Tell whether all is of one report with what "oom-kill:" names, as far as that shows.

        Since dc56401fc9f2 ("mm: oom_kill: simplify OOM killer locking"), v4.2, reports of different
        cgroups are printed one after the other; logs of several machines may have lost their names.
        """
        pids = {pid for row in self._rows for pid in (row.pid, row.tgid)}
        if self._is_mixed or (pids and named.get("pid") not in pids):
            return False
        invoker = self._head.get("invoker_pid")
        of_memcg = named.get("constraint") is Constraint.MEMCG
        return not of_memcg or (self._stat_of in (None, named["memcg"]) and invoker in pids)

    def _facts_of_summary(
        self, summary: SplitText, thread: int | None, comm: str | None
    ) -> dict[str, Any]:
        found = texts.SUMMARY.fullmatch(summary.text)
        if not found:
            return {}
        pid = int(found["pid"])
        name = found["constraint"].lower().replace("_", "-")
        if found["scope"] == "oom_memcg":
            # 432b1de0de02 ("mm/oom_kill.c: fix uninitialized oc->constraint"), v5.3: before it is
            # always CONSTRAINT_NONE
            name = Constraint.MEMCG
        facts: dict[str, Any] = {
            "pid": pid,
            "uid": texts.uid_of(found["uid"]),
            "constraint": Constraint(name) if name in {*Constraint} else None,
            "nodemask": _mask(found["nodemask"]),
            "cpuset": None if found["cpuset"] is None else printable(found["cpuset"]),
            "mems_allowed": found["mems"],
            "comm": None,
        }
        if not summary.cut:
            same = thread in (None, pid)
            paths = texts.paths_of_summary(found, comm if same else None)
            facts["memcg"], facts["cgroup"], name = paths
            facts["comm"] = None if name is None else printable(name)
        return facts


def _put(numbers: dict[str, int], name: str, number: int) -> None:
    """Keep a number by its name, unless there are more names than any kernel has."""
    if name in numbers or len(numbers) < _NAMES_MAX:
        numbers[name] = number


def _integer(text: str | None) -> int | None:
    return None if text is None else int(text)


def _mask(text: str | None) -> str | None:
    return None if text == "(null)" else text
