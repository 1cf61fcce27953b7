"""The input of a prediction from the report of an OOM kill: tasks, totalpages. Pure."""

import re
import sys
from collections.abc import Set
from dataclasses import dataclass

from oomctl.oom.enums import Constraint
from oomctl.oom.log.oomreport import OomReport
from oomctl.oom.task import Task

_ROOT_BONUS = (4, 17)
"""Root has none from here on,
d46078b28889 ("mm, oom: remove 3% bonus for CAP_SYS_ADMIN processes")."""
EXACT = (5, 9)
"""Badness below 1 counts as it is, and the last of equals is chosen, from here on,
9066e5cfb73c ("mm, oom: make the calculation of oom badness more accurate")."""

KILLED_BEFORE = "killed before"
"""Why a task of a dump is not eligible that was the victim of a report before."""


@dataclass(frozen=True)
class TotalPages:
    """What the kernel scales oom_score_adj by, in pages, as far as a report tells.

    `least` is None if nothing is known of it, `most` if it may be any number above. `of` says what
    it is made of, `unknown` what is missing for an exact number.
    """

    least: int | None
    most: int | None
    of: str
    unknown: str = ""

    @property
    def is_exact(self) -> bool:
        """Whether it is known."""
        return self.least is not None and self.least == self.most


def totalpages(report: OomReport) -> TotalPages:
    """Return totalpages of a report (mm/oom_kill.c, constrained_alloc)."""
    if report.constraint is Constraint.MEMCG:
        return _of_memcg(report)
    machine = report.machine
    if not machine or machine.swap_total is None:
        return TotalPages(None, None, "RAM + swap", "Mem-Info")
    swap = machine.swap_total // report.page_size
    if report.constraint in (Constraint.CPUSET, Constraint.MEMORY_POLICY):
        nodes = report.nodemask if report.constraint is Constraint.MEMORY_POLICY else None
        return _of_nodes(report, nodes or report.mems_allowed, swap)
    if machine.ram_pages is None or machine.reserved_pages is None:
        return TotalPages(None, None, "RAM + swap", "the pages of RAM")
    pages = machine.ram_pages - machine.reserved_pages + swap
    return TotalPages(pages, pages, "RAM + swap")


def _of_memcg(report: OomReport) -> TotalPages:
    """Return limit and swap of the memcg (mm/memcontrol.c, mem_cgroup_get_max)."""
    memory, page = report.counters.get("memory"), report.page_size
    if not memory:
        return TotalPages(None, None, "the limit of the cgroup", "the limit")
    limit = sys.maxsize // page if memory.limit is None else memory.limit // page
    both, swap = report.counters.get("memory+swap"), report.counters.get("swap")
    more: int | None = None
    if both and both.limit is not None and memory.limit is not None:
        more = max(both.limit - memory.limit, 0) // page
    elif swap and swap.limit is not None:
        more = swap.limit // page
    if more == 0:
        return TotalPages(limit, limit, "the limit of the cgroup")
    unknown = "the swap that the cgroup may use: a memcg report does not have that of the machine"
    most = None if more is None else limit + more
    return TotalPages(limit, most, "the limit of the cgroup and its swap", unknown)


def _of_nodes(report: OomReport, nodes: str | None, swap: int) -> TotalPages:
    """Return the pages of the nodes that the allocation was limited to."""
    present = report.machine.present if report.machine else {}
    wanted = _nodes(nodes or "")
    if not wanted or not wanted <= present.keys():
        return TotalPages(None, None, "the nodes and swap", "the size of the nodes")
    pages = sum(present[node] for node in wanted) // report.page_size + swap
    return TotalPages(pages, pages, "the nodes and swap")


def _nodes(text: str) -> set[int]:
    """Return the numbers of a list such as "0-1,4"."""
    nodes: set[int] = set()
    for first, last in re.findall(r"(\d{1,4})(?:-(\d{1,4}))?", text):
        nodes |= set(range(int(first), int(last or first) + 1))
    return nodes


def tasks(report: OomReport, taken: Set[int] = frozenset()) -> list[Task]:
    """Return the tasks of the dump in its order; those of `taken` have been killed before."""
    page, victim = report.page_size, report.victim
    release = version(report)
    has_bonus = report.is_before_5_1 and (release is None or release < _ROOT_BONUS)
    first_of_equals = release < EXACT if release else report.is_before_5_1
    pids = (victim.pid, victim.chosen_pid) if victim else ()
    found = []
    for row in report.tasks:
        footprint = (row.rss + row.swapents) * page + row.pgtables
        slack = footprint * 3 // 100 if has_bonus and row.uid == 0 else 0
        is_taken = row.tgid in taken and row.tgid not in pids
        is_victim = victim is not None and row.tgid == victim.pid
        found.append(
            Task(
                pid=row.tgid,
                comm=row.comm,
                cgroup=(victim.cgroup or "") if victim and is_victim else "",
                oom_score_adj=row.oom_score_adj,
                rss=row.rss * page,
                swap=row.swapents * page,
                pgtables=row.pgtables,
                started=0,
                slack=max(slack, page if first_of_equals else 0),
                thread=row.pid if row.pid != row.tgid else 0,
                not_eligible_reason=KILLED_BEFORE if is_taken else "",
            )
        )
    return found


def version(report: OomReport) -> tuple[int, int] | None:
    """Return the kernel's version, None if the report does not have it."""
    found = re.match(r"(\d{1,3})\.(\d{1,4})", report.kernel or "")
    return (int(found[1]), int(found[2])) if found else None
