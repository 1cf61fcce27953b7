"""Victims that are still dying: a tracer stops them on their way out, so no race decides.

The OOM reaper waits 2 s after a victim was marked (mm/oom_kill.c, OOM_REAPER_DELAY), then reaps its
memory; after that the OOM killer's scan passes over the victim.
"""

import os
import signal
from collections.abc import Iterator, Sequence

import psutil

from oomctl.hog.hogset import RunningHog
from oomctl.oom.enums import Moment, Until
from oomctl.oom.klog import KernelLog
from oomctl.oom.outcome import Check
from oomctl.oom.plan import Hog, Step
from oomctl.smoke import facts
from oomctl.smoke.cases.common import case, equal, verdicts, wait_until
from oomctl.smoke.facts import Skipped
from oomctl.smoke.runner import CaseRun, CaseRunner
from oomctl.smoke.spec import TOP, M, call, hog, spec

_HOLD = 1.5
"""Seconds for which a victim is held, if not released before; less than the reaper's delay."""
_HOLD_PAST_REAPER = 3.5


def _traced(name: str, size: int, seconds: float = _HOLD, at: str = "") -> Hog:
    return Hog(name, size, cgroup=at, kind="traced", hold=seconds)


def _at_once(target: str = TOP, callers: int = 1, delay: float = 0.0) -> Step:
    return Step(call(target), callers=callers, delay=delay, until=Until.RETURNED)


def _still_dying(case_run: CaseRun) -> bool:
    """Tell whether the first call's victim was still dying when the last call had returned."""
    first, last = case_run.calls[0], case_run.calls[-1]
    ends = (Moment.REAPING, Moment.REAPED, Moment.EXITED)
    gone = [stamp.at_ns for stamp in first.timeline.stamps if stamp.name in ends]
    return not gone or min(gone) > last.result.ended_ns


def _kill(_runner: CaseRunner, running_hogs: Sequence[RunningHog]) -> None:
    """Kill the traced hog, and wait until its tracer has stopped it."""
    (pid,) = (hog.pid for hog in running_hogs if hog.hog.kind == "traced")
    os.kill(pid, signal.SIGKILL)
    stopped = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    try:
        process = psutil.Process(pid)
        wait_until(lambda: process.status() in stopped, 2.0, "its tracer did not stop it")
    except psutil.NoSuchProcess as error:
        raise Skipped("its tracer did not stop it") from error


def _only_marked(case_run: CaseRun) -> Iterator[Check]:
    names = [stamp.name for stamp in case_run.only_call.timeline.stamps]
    yield equal("times marked as a victim", 1, names.count(Moment.MARKED))
    yield equal("SIGKILLs sent", 0, names.count(Moment.KILLED))
    yield equal("kills in the kernel log", 0, len(KernelLog(case_run.only_call.log).kills))


_IN_THE_WAY = "claimed-but-none-died"

CASES = (
    case(
        "inflight.second-call-does-not-kill",
        "while the victim is still dying a second call returns 1 and kills no other task",
        spec(_traced("large", 6 * M), hog("small", 2 * M), dies=("large",), calls=[_at_once()] * 2),
        checks=verdicts("killed", _IN_THE_WAY),
        in_time=_still_dying,
    ),
    case(
        "inflight.concurrent-calls-do-not-kill",
        "while the victim is still dying four calls at once return 1 and kill no other task",
        spec(
            _traced("large", 6 * M),
            hog("small", 2 * M),
            dies=("large",),
            calls=[_at_once(), _at_once(callers=4)],
        ),
        checks=verdicts("killed", *[_IN_THE_WAY] * 4),
        in_time=_still_dying,
    ),
    case(
        "inflight.small-victim-stops-the-scan",
        "a dying victim stops the scan, even if it is the smallest task",
        spec(
            _traced("small", 2 * M),
            hog("large", 6 * M),
            dies=("small",),
            calls=(_at_once("small"), _at_once()),
        ),
        checks=verdicts("killed", _IN_THE_WAY),
        in_time=_still_dying,
    ),
    case(
        "inflight.victim-outside-the-target",
        "a victim that is dying outside the target does not stop the scan",
        spec(
            _traced("dying", 6 * M, at="elsewhere"),
            hog("next", 2 * M, at="target"),
            dies=("dying", "next"),
            calls=(_at_once("elsewhere"), _at_once("target")),
        ),
        checks=verdicts("killed", "killed"),
        in_time=_still_dying,
    ),
    case(
        "inflight.next-dies-after-the-first-is-gone",
        "once the first victim has ended, a second call kills the next",
        spec(
            *(hog(f"hog-{n}", n * 2 * M) for n in (1, 2, 3)),
            dies=("hog-2", "hog-3"),
            calls=[call()] * 2,
        ),
        checks=verdicts("killed", "killed"),
    ),
    case(
        "inflight.next-dies-after-the-first-is-reaped",
        "a victim that does not end within 2 s is reaped, and no longer stops the scan",
        spec(
            _traced("large", 6 * M, _HOLD_PAST_REAPER),
            hog("small", 2 * M),
            dies=("large", "small"),
            calls=(_at_once(), _at_once(delay=2.6)),
        ),
        facts.gate,
        checks=verdicts("killed", "killed"),
    ),
    case(
        "inflight.exiting-task-is-only-marked",
        "a task that is exiting already: 1, marked as a victim, but not killed and not counted",
        spec(_traced("dying", 6 * M), hog("small", 2 * M), calls=(call(),)).losing("dying"),
        facts.gate,
        prepare=_kill,
        checks=_only_marked,
        in_time=_still_dying,
    ),
)
