"""The subtree of which an OOM report tells, with what it leaves open assumed. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from oomctl.oom.dumped import tasks as tasks_of
from oomctl.oom.dumped import totalpages
from oomctl.oom.enums import Constraint
from oomctl.oom.log.oomreport import DumpedTask, OomReport, Victim
from oomctl.oom.paths import is_within
from oomctl.oom.subtree import TOP, CgroupState, MemberTask, Subtree
from oomctl.oom.task import Task, limit_pages


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
        top = CgroupState(TOP, max=self._limit(tasks), oom_group=group == TOP)
        below = (CgroupState(path, oom_group=path == group) for path in paths if path != TOP)
        return Subtree(
            name=self._name(),
            cgroups=(top, *below),
            tasks=tasks,
            page_size=report.page_size,
            gaps=tuple(self.gaps),
        )

    def _name(self) -> str:
        if self.report.memcg is None:
            return "a cgroup" if self.report.constraint is Constraint.MEMCG else "the machine"
        return self.report.memcg.rpartition("/")[2] or "the root"

    def _below(self, path: str | None) -> str:
        """Return the path of a cgroup below the one that was out of memory; the top if unknown."""
        above = self.report.memcg or TOP
        if path is None or not is_within(path, above):
            return TOP
        return path[len(above.rstrip("/")) :] or TOP

    def _tasks(self, home: str, group: str | None) -> Iterator[MemberTask]:
        report, victims = self.report, dict(self.victims)
        others, seen = 0, set[int]()
        for task, row in zip(tasks_of(report), report.tasks, strict=True):
            if row.tgid in seen:  # no kernel prints it twice, but any text may
                continue
            seen.add(row.tgid)
            victim = victims.pop(row.tgid, None) or victims.pop(row.pid, None)
            place = home if victim or group is None else TOP
            others += victim is None
            placed = replace(task, cgroup=self._place(victim, place))
            yield _with_parts(placed, row, victim, report.page_size)
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

    def _limit(self, tasks: Sequence[MemberTask]) -> int | None:
        """Return what oom_score_adj weighs by, in bytes: the top's memory.max."""
        report, total = self.report, totalpages(self.report)
        if report.constraint not in (Constraint.MEMCG, None):
            self.gaps.append(
                "it was an OOM of the whole machine: it is made again in one cgroup, whose "
                f"memory.max is {total.of}"
            )
        if total.least is None:
            self.gaps.append(f"memory.max is assumed, without {total.unknown}")
            return sum(each.task.footprint for each in tasks) * 9 // 8
        if total.least >= limit_pages(None, report.page_size):
            return None
        swap = 0
        if not total.is_exact:
            swap = sum(each.task.swap for each in tasks)
            how = "as much as was used" if swap else "none"
            self.gaps.append(f"{how} is assumed of {total.unknown}")
        return total.least * report.page_size + swap


def _with_parts(task: Task, row: DumpedTask, victim: Victim | None, page: int) -> MemberTask:
    """Return a task of the dump; the parts of its rss are in the row, or in "Killed process"."""
    file = shmem = 0
    if row.rss_file is not None and row.rss_shmem is not None:
        file, shmem = row.rss_file * page, row.rss_shmem * page
    elif victim and (victim.file or 0) + (victim.shmem or 0) <= task.rss:
        file, shmem = victim.file or 0, victim.shmem or 0
    return MemberTask(task, max(task.rss - file - shmem, 0), file, shmem)


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
