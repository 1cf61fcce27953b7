"""The subtree of which an OOM report tells, with what it leaves open assumed. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from oomctl.oom.enums import Constraint
from oomctl.oom.oomreport import DumpedTask, OomReport, Victim
from oomctl.oom.paths import is_within
from oomctl.oom.subtree import TOP, CgroupState, MemberTask, Subtree
from oomctl.oom.task import Task


def subtree_of(report: OomReport) -> Subtree:
    """Return the cgroup that was out of memory, or the machine as one cgroup, with all tasks."""
    return _Reported(report).subtree()


@dataclass
class _Reported:
    report: OomReport
    gaps: list[str] = field(default_factory=list)

    @property
    def victims(self) -> Mapping[int, Victim]:
        """Those that died, by PID; the chosen one first."""
        report = self.report
        chosen = [report.victim] if report.victim else []
        return {each.pid: each for each in reversed([*chosen, *report.members])}

    def subtree(self) -> Subtree:
        report = self.report
        home, group = self._below(report.victim.cgroup if report.victim else None), None
        if report.group is not None:
            group = self._below(report.group)
            home = home if is_within(home, group) else group
        tasks = tuple(self._tasks(home, group))
        paths = dict.fromkeys(
            up
            for path in [TOP, home, *(each.task.cgroup for each in tasks)]
            for up in _down_to(path)
        )
        limit, swap = self._limits(tasks)
        top = CgroupState(TOP, max=limit, oom_group=group == TOP)
        below = (CgroupState(path, oom_group=path == group) for path in paths if path != TOP)
        return Subtree(
            name=(report.memcg or "machine").rpartition("/")[2] or "root",
            cgroups=(top, *below),
            tasks=tasks,
            swap=swap,
            page_size=report.page_size,
            gaps=tuple(self.gaps),
        )

    def _below(self, path: str | None) -> str:
        """Return the path of a cgroup below the one that was out of memory; the top if unknown."""
        above = self.report.memcg or TOP
        if path is None or not is_within(path, above):
            return TOP
        return path[len(above.rstrip("/")) :] or TOP

    def _tasks(self, home: str, group: str | None) -> Iterator[MemberTask]:
        report, victims = self.report, dict(self.victims)
        others = 0
        for row in report.tasks:
            victim = victims.pop(row.tgid, None) or victims.pop(row.pid, None)
            place = home if victim or group is None else TOP
            others += victim is None
            yield _dumped(row, victim, self._place(victim, place), report.page_size)
        for victim in victims.values():
            self.gaps.append(f"{victim.comm} ({victim.pid}) is not in the dump of tasks")
            yield _named(victim, self._place(victim, home))
        if not report.tasks:
            self.gaps.append("the report has no dump of tasks: only those that died are known")
        elif report.tasks_lost:
            self.gaps.append("rows of the dump of tasks are missing: there were more tasks")
        if others and home != TOP:
            place = "it" if group is None else "the top, because they did not die with the group"
            self.gaps.append(
                f"the report names the cgroup of the victim only; all others are put into {place}"
            )
        if any(row.rss_anon is None for row in report.tasks):
            self.gaps.append(
                "this kernel does not print what is file and shmem of a task's rss: it is held as "
                "anonymous memory"
            )

    def _place(self, victim: Victim | None, otherwise: str) -> str:
        known = victim and victim.cgroup
        return self._below(known) if known else otherwise

    def _limits(self, tasks: Sequence[MemberTask]) -> tuple[int | None, int]:
        """Return the limit of the top, and the swap beside it: totalpages is the sum of both."""
        report, wanted = self.report, sum(each.task.footprint for each in tasks)
        if report.constraint not in (Constraint.MEMCG, None) or (
            report.memcg is None and report.machine is not None
        ):
            return self._machine(wanted), 0
        memory = report.counters.get("memory")
        if memory is None:
            self.gaps.append("the report has no limit: memory.max is assumed")
            return wanted * 9 // 8, 0
        if memory.limit is None:
            return None, 0
        both, swap = report.counters.get("memory+swap"), report.counters.get("swap")
        used = sum(each.task.swap for each in tasks)
        limit = swap.limit if swap else None
        if both:  # mm/memcontrol.c, mem_cgroup_get_max(): v1 limits the sum
            limit = None if both.limit is None else max(both.limit - memory.limit, 0)
        if limit is None and (both or swap):
            if used:
                self.gaps.append(
                    "the swap of the machine is not in the report: as much as was used is assumed"
                )
            return memory.limit, used
        return memory.limit, limit or 0

    def _machine(self, wanted: int) -> int:
        """Return RAM + swap in bytes (mm/oom_kill.c, constrained_alloc())."""
        report, machine = self.report, self.report.machine
        self.gaps.append(
            "it was an OOM of the whole machine: it is made again in one cgroup, whose memory.max "
            "is RAM and swap"
        )
        if machine is None or machine.ram_pages is None:
            self.gaps.append("RAM and swap are not in the report: memory.max is assumed")
            return wanted * 9 // 8
        pages = machine.ram_pages - (machine.reserved_pages or 0)
        return pages * report.page_size + (machine.swap_total or 0)


def _dumped(row: DumpedTask, victim: Victim | None, cgroup: str, page: int) -> MemberTask:
    """Return a task of the dump; the parts of its rss are in the row, or in "Killed process"."""
    rss = row.rss * page
    file = shmem = 0
    if row.rss_file is not None and row.rss_shmem is not None:
        file, shmem = row.rss_file * page, row.rss_shmem * page
    elif victim and (victim.file or 0) + (victim.shmem or 0) <= rss:
        file, shmem = victim.file or 0, victim.shmem or 0
    task = Task(
        pid=row.tgid,
        comm=row.comm,
        cgroup=cgroup,
        oom_score_adj=row.oom_score_adj,
        rss=rss,
        swap=row.swapents * page,
        pgtables=row.pgtables,
        started=0.0,
    )
    return MemberTask(task, max(rss - file - shmem, 0), file, shmem)


def _named(victim: Victim, cgroup: str) -> MemberTask:
    """Return a task of which only "Killed process" tells."""
    task = Task(
        pid=victim.pid,
        comm=victim.comm,
        cgroup=cgroup,
        oom_score_adj=victim.oom_score_adj or 0,
        rss=victim.rss or 0,
        swap=0,
        pgtables=victim.pgtables or 0,
        started=0.0,
    )
    return MemberTask(task, victim.anon or 0, victim.file or 0, victim.shmem or 0)


def _down_to(path: str) -> list[str]:
    """Return the cgroups from below the top down to this one, or the top."""
    parts = path.split("/")[1:]
    return ["/" + "/".join(parts[: end + 1]) for end in range(len(parts))]
