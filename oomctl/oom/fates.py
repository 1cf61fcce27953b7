"""The end of every task of a round, from the reports of all its calls. Pure."""

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace

from oomctl.oom.enums import FateKind, Moment, Phase, Role, Via
from oomctl.oom.fate import Death, Fate, fate_of
from oomctl.oom.kill import OomKill
from oomctl.oom.outcome import CallReport, TaskReport
from oomctl.oom.task import Task
from oomctl.text import printable


def fates(
    known: Sequence[TaskReport],
    *,
    stranger: Callable[[Task], TaskReport],
    find: Callable[[int], Task | None],
    reports: Sequence[CallReport],
    others: Sequence[OomKill],
    deaths: Mapping[int, Death],
    filled_ns: int,
    sent: Set[int] = frozenset(),
) -> Iterator[TaskReport]:
    """Yield the report of each task of the round, and of victims elsewhere, once each.

    `known` are the tasks as they were before the calls, without a fate. `stranger` returns such a
    report for a victim that is not among them; `find` returns the task of that victim, if it was
    read. `others` are kills without a call of the plan. `filled_ns` is when the hogs were filled.
    `sent` are the PIDs that a step of the scenario has sent SIGKILL.
    """
    kills = {one.pid: one for one in others}
    kills |= {kill.pid: kill for one in reports for kill in one.kills}
    killed_in = {
        kill.pid: index for index, one in reversed([*enumerate(reports)]) for kill in one.kills
    }
    collateral = frozenset().union(*(one.collateral for one in reports))
    by_cgroup = {kill.pid for one in reports if one.call.via == Via.KILL for kill in one.kills}
    exits = {
        stamp.pid: stamp.at_ns
        for one in reports
        for stamp in one.timeline.stamps
        if stamp.name == Moment.EXITED
    }
    badness = {
        candidate.task.pid: candidate.badness
        for one in reversed(reports)
        if one.prediction
        for candidate in one.prediction.candidates
    }
    pids = {row.task.pid for row in known}
    strangers = [
        stranger(find(pid) or _unknown(kill)) for pid, kill in kills.items() if pid not in pids
    ]
    for row in (*known, *strangers):
        pid = row.task.pid
        kill, death = kills.get(pid), deaths.get(pid)
        if death and pid in exits:
            death = replace(death, at_ns=exits[pid])
        phase = Phase.CALL if pid in killed_in else _phase(kill, death, filled_ns)
        call = killed_in.get(pid)
        if call is None and death and phase is not Phase.FILLING:
            call = _last_before(death, reports)
        oom_killed = kill is not None and pid not in by_cgroup
        fate = fate_of(death, oom_killed, pid in by_cgroup)
        if fate.kind == FateKind.KILLED and pid in sent and fate.signal == signal.SIGKILL:
            fate = Fate(FateKind.STEP_KILLED, signal=signal.SIGKILL)
        # by PR_SET_PDEATHSIG (hog/tasks.c)
        if fate.kind == FateKind.GONE and row.name and row.task.parent in deaths:
            fate = Fate(FateKind.ENDED_WITH_HOG)
        yield replace(
            row,
            fate=row.fate if row.failed and not kill else fate,
            call=call,
            died_after_ns=death.at_ns - reports[call].result.began_ns
            if death and call is not None
            else None,
            badness=badness.get(pid),
            collateral=pid in collateral
            or (kill is not None and kill.role == Role.SHARER and phase is not Phase.CALL),
            phase=phase,
            kill=kill if oom_killed else None,
        )


def _last_before(death: Death, reports: Sequence[CallReport]) -> int | None:
    """Return the index of the last call before a death."""
    began = [i for i, one in enumerate(reports) if one.result.began_ns <= death.at_ns]
    return began[-1] if began else None


def _phase(kill: OomKill | None, death: Death | None, filled_ns: int) -> Phase | None:
    """Return when a task ended that no call killed."""
    if kill:
        at = min(kill.at_ns, death.at_ns) if death else kill.at_ns
    elif death:
        at = death.at_ns
    else:
        return None
    return Phase.FILLING if at < filled_ns else Phase.BESIDE


def _unknown(kill: OomKill) -> Task:
    """Return a task for a victim that was started after the snapshot, from its kill alone."""
    cgroup = printable(kill.cgroup or "?")
    return Task(kill.pid, kill.comm, cgroup, kill.oom_score_adj, kill.rss, 0, 0, 0.0)
