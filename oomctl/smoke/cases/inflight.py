"""Victims that are still dying: a tracer holds them on their way out, so that no race is won.

The OOM reaper gives up on a victim 2 s after it was marked (mm/oom_kill.c, OOM_REAPER_DELAY) and
takes its memory, after which the OOM killer passes it over.
"""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from oomctl.hog.hogset import RunningHog
from oomctl.oom.klog import KernelLog
from oomctl.oom.plan import Hog, Step
from oomctl.smoke import facts
from oomctl.smoke.cases.common import (
    Also,
    CaseRun,
    CaseRunner,
    Check,
    M,
    call,
    case,
    equal,
    hog,
    spec,
)
from oomctl.smoke.facts import Skipped

_HOLD = 1.5
"""Seconds for which a victim is held, if not let go before; less than the reaper's delay."""
_REAPED = 3.5
"""Seconds for which it is held where the reaper is waited for."""


def _held(name: str, size: int, seconds: float = _HOLD, at: str = "") -> Hog:
    return Hog(name, size, cgroup=at, kind="traced", hold=seconds)


def _at_once(target: str = ".", **more: float) -> Step:
    return Step(call(target), until="returned", **more)  # type: ignore[arg-type]


def _verdicts(*wanted: str) -> Also:
    def also(case_run: CaseRun) -> Iterator[Check]:
        yield equal("verdicts", list(wanted), [one.verdict.name for one in case_run.outcome.calls])

    return also


def _lasted(case_run: CaseRun) -> bool:
    """Tell whether the victim of the first call was dying still when the last one had come back."""
    first, last = case_run.outcome.calls[0], case_run.outcome.calls[-1]
    gone = [s.at_ns for s in first.timeline.stamps if s.name in ("reaping", "reaped", "exited")]
    return not gone or min(gone) > last.result.ended_ns


def _kill(_bench: CaseRunner, running_hogs: Sequence[RunningHog]) -> None:
    """Kill the traced hog, and wait until its tracer holds it."""
    (running_hog,) = (
        running_hog for running_hog in running_hogs if running_hog.hog.kind == "traced"
    )
    os.kill(running_hog.pid, signal.SIGKILL)
    deadline = time.monotonic() + 2
    while _state(running_hog.pid) not in "tT":
        if time.monotonic() > deadline:
            raise Skipped("its tracer did not hold it")
        time.sleep(0.002)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "X"


def _only_marked(case_run: CaseRun) -> Iterator[Check]:
    (declared,) = case_run.outcome.calls
    names = [stamp.name for stamp in declared.timeline.stamps]
    yield equal("marked as a victim", 1, names.count("marked"))
    yield equal("SIGKILL sent", 0, names.count("killed"))
    yield equal("said to be killed in the log", 0, len(KernelLog(declared.log).kills))


CASES = (
    case(
        "inflight.second-call-kills-nobody",
        "1, and the victim that is still dying is all there is",
        spec(_held("large", 6 * M), hog("small", 2 * M), dies=("large",), calls=[_at_once()] * 2),
        also=_verdicts("killed", "claimed-but-none-died"),
        made=_lasted,
    ),
    case(
        "inflight.every-call-kills-nobody",
        "so do four callers at once",
        spec(
            _held("large", 6 * M),
            hog("small", 2 * M),
            dies=("large",),
            calls=[_at_once(), Step(call(), callers=4, until="returned")],
        ),
        also=_verdicts("killed", *["claimed-but-none-died"] * 4),
        made=_lasted,
    ),
    case(
        "inflight.the-smallest-will-do",
        "whoever is dying stops the scan, however small it is",
        spec(
            _held("small", 2 * M),
            hog("large", 6 * M),
            dies=("small",),
            calls=(_at_once("small"), _at_once()),
        ),
        also=_verdicts("killed", "claimed-but-none-died"),
        made=_lasted,
    ),
    case(
        "inflight.elsewhere-does-not-matter",
        "a victim that dies outside of the target does not stop the scan",
        spec(
            _held("dying", 6 * M, at="elsewhere"),
            hog("next", 2 * M, at="target"),
            dies=("dying", "next"),
            calls=(_at_once("elsewhere"), _at_once("target")),
        ),
        also=_verdicts("killed", "killed"),
        made=_lasted,
    ),
    case(
        "inflight.next-dies-after-the-first-is-gone",
        "once the first has ended the next is chosen",
        spec(
            *(hog(f"hog-{n}", n * 2 * M) for n in (1, 2, 3)),
            dies=("hog-2", "hog-3"),
            calls=[call()] * 2,
        ),
        also=_verdicts("killed", "killed"),
    ),
    case(
        "inflight.next-dies-after-the-first-is-reaped",
        "who does not end within 2 s is reaped, and no longer in the way",
        spec(
            _held("large", 6 * M, _REAPED),
            hog("small", 2 * M),
            dies=("large", "small"),
            calls=(_at_once(), _at_once(delay=2.6)),
        ),
        facts.gate,
        also=_verdicts("killed", "killed"),
    ),
    case(
        "inflight.who-exits-already-is-only-marked",
        "1, marked, but neither killed nor counted: it was dying by itself",
        spec(_held("dying", 6 * M), hog("small", 2 * M), calls=(call(),)).losing("dying"),
        facts.gate,
        ready=_kill,
        also=_only_marked,
        made=_lasted,
    ),
)
