"""One task in words: its fate, and what else is to be known of it."""

from collections.abc import Iterator

from oomctl.oom.as_text import task_name
from oomctl.oom.enums import Constraint, Phase
from oomctl.oom.hogexit import own_end
from oomctl.oom.kill import OomKill
from oomctl.oom.outcome import TaskReport
from oomctl.oom.paths import relative
from oomctl.oom.plan import CALLER
from oomctl.units import format_size


def fate_text(report: TaskReport, top: str | None) -> str:
    """Name a fate; if no call of the plan killed the task, with the OOM that did."""
    if report.kind and report.fate.status is not None:
        return own_end(report.fate.status) or str(report.fate)
    kill = report.kill if report.phase is not Phase.CALL else None
    details = [_oom_of(kill, top)] if kill else []
    details += ["shares memory"] if report.collateral else []
    return f"{report.fate} ({', '.join(details)})" if details else str(report.fate)


def task_notes(report: TaskReport) -> Iterator[str]:
    """Yield what went otherwise than planned for a task."""
    hog = f"the hog '{report.name}'"
    if report.kill and report.phase is not Phase.CALL:
        yield _kill_note(report, report.kill)
    if report.failed:
        yield f"{hog} {report.failed}"
    elif report.filled and report.filled.lost_bytes:
        yield f"{hog} fell behind its rate by {format_size(report.filled.lost_bytes)}"
    if report.holds and report.holds.differs:
        yield f"{hog} {report.holds.differs}"


def _kill_note(report: TaskReport, kill: OomKill) -> str:
    """Describe a kill that no call made: when, by which cgroup's OOM, and the invoking task."""
    name = task_name(report.name or report.task.comm, report.task.pid)
    when = "while the hogs filled" if report.phase is Phase.FILLING else "beside the calls"
    note = f"{name} was killed {when} ({_oom_of(kill, None)})"
    if kill.invoker_pid:
        note += f", invoked by {task_name(kill.invoker_comm or '?', kill.invoker_pid)}"
    return note


def _oom_of(kill: OomKill, top: str | None) -> str:
    """Name the OOM that a kill belongs to."""
    if kill.memcg is None:
        system_wide = kill.constraint not in (None, Constraint.MEMCG)
        return "system-wide OOM" if system_wide else "not by a call"
    trigger = "call" if kill.invoker_comm == CALLER else "limit"
    return f"{trigger} of {relative(kill.memcg, top)}"
