"""The kernel log as oomctl has read it, and the OOM kills in it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from oomctl.oom.enums import Role
from oomctl.oom.kill import OomKill
from oomctl.oom.log import reporttext
from oomctl.oom.log.logrecord import Record
from oomctl.oom.log.oomreport import OomEnd, OomReport
from oomctl.oom.log.reports import ReportsFromLog
from oomctl.oom.memcg import MemcgUsage


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
        return self._says("OOM request ignored. No task eligible")

    @property
    def found_no_killable(self) -> bool:
        """Whether the OOM killer said that no task was eligible."""
        return self._says(reporttext.NO_KILLABLE)

    def _says(self, text: str) -> bool:
        return any(record.text == text and not record.continued for record in self.records)


class KillsFromLog:
    """Finds the OOM kills in records, in order; a report may be split over two reads."""

    def __init__(self) -> None:
        self._reports = ReportsFromLog()

    def feed(self, records: Iterable[Record]) -> list[OomKill]:
        """Take records in order; return the kills among them, each process once.

        The first victim of a group has no `group` if "Tasks in" is in the next read.
        """
        return [_kill(each) for each in self._reports.feed(records) if each.end is OomEnd.KILLED]


def _kill(report: OomReport) -> OomKill:
    victim = report.victim
    assert victim  # noqa: S101
    return OomKill(
        at_ns=(report.time_us or 0) * 1000,
        pid=victim.pid,
        comm=victim.comm,
        role=Role.VICTIM,
        rss=victim.rss or 0,
        cgroup=victim.cgroup or report.group,  # of a member's the log may name only the group
        invoker_pid=report.invoker_pid,
        invoker_comm=report.invoker_comm,
        order=report.order,
        constraint=report.constraint,
        memcg=report.memcg,
        usage=_usage(report),
        group=report.group,
        oom_score_adj=victim.oom_score_adj or 0,
        allocating=report.allocating,
        logged=True,
    )


def _usage(report: OomReport) -> MemcgUsage | None:
    memory, swap = report.counters.get("memory"), report.counters.get("swap")
    if not memory:
        return None
    return MemcgUsage(
        memory.usage,
        memory.limit,
        swap=swap.usage if swap else None,
        swap_limit=swap.limit if swap else None,
        kinds=report.stat,
    )
