"""What a declaration leaves behind: counters, kernel log, tracepoints; and what it does not."""

import re
import time
from collections.abc import Iterator

from oomctl.cgroup.node import UnifiedNode
from oomctl.smoke import facts
from oomctl.smoke.cases.common import (
    PAIR,
    Also,
    Case,
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

_WINDOW = 5.1
"""Seconds until the kernel prints reports again: 10 in 5 s (mm/oom_kill.c, oom_rs)."""

_NESTED = spec(
    hog("victim", 6 * M, at="target/middle/victim"),
    hog("beside", 2 * M, at="target/beside"),
    hog("outside", 2 * M),
    dies=("victim",),
    calls=(call("target"),),
)


def _counted(counter: str, **wanted: int) -> Also:
    def also(case_run: CaseRun) -> Iterator[Check]:
        outcome = case_run.outcome
        for name, rise in wanted.items():
            path = f"{outcome.top}/{name.replace('__', '/')}"
            found = outcome.events.get(path, {}).get(counter, 0)
            yield equal(f"{counter} of {name.replace('__', '/')} rises by", rise, found)

    return also


def _local(runner: CaseRunner) -> Iterator[Check]:
    """Check the counters that the outcome lacks: it has those of subtrees."""
    places = ("target", "target/middle", "target/middle/victim", "target/beside")
    found: dict[str, int] = {}

    def look(top: UnifiedNode) -> None:
        for place in places:
            events = top.at(place).controller.get_property(b"memory.events.local") or ""
            found[place] = int(dict(line.split() for line in events.splitlines())["oom_kill"])

    yield from runner.try_out(_NESTED, after=look).outcome.checks
    wanted = {place: int(place.endswith("victim")) for place in places}
    yield equal("oom_kill in memory.events.local", wanted, found)


def _vmstat(runner: CaseRunner) -> Iterator[Check]:
    before = _oom_kills()
    came = runner.try_out(spec(*PAIR, dies=("large",)))
    yield from came.outcome.checks
    yield equal("oom_kill of /proc/vmstat rises by", 1, _oom_kills() - before)


def _oom_kills() -> int:
    with open("/proc/vmstat") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("oom_kill "))


def _logged(name: str, about: str, *patterns: str) -> Case:
    """Return the case that the report in the kernel log says all that."""

    def run(runner: CaseRunner) -> Iterator[Check]:
        drawn = spec(*PAIR, dies=("large",), calls=(call(order=3),))
        came = runner.try_out(drawn)
        if not re.search("invoked oom-killer", _log(came)):  # left out by the rate limit
            time.sleep(_WINDOW)
            came = runner.try_out(drawn)
        (declared,) = came.outcome.calls
        victim = next(f.task.pid for f in came.outcome.tasks if f.name == "large")
        log = _log(came)
        for pattern in patterns:
            told = pattern.format(
                caller=declared.result.caller,
                victim=victim,
                target=re.escape(str(declared.call.target)),
            )
            yield Check(
                f"the kernel log has {told}", bool(re.search(told, log, re.M)), "it has not"
            )

    return Case(name, about, run)


def _log(came: CaseRun) -> str:
    return "\n".join(record.text for one in came.outcome.calls for record in one.log)


def _silent(case_run: CaseRun) -> Iterator[Check]:
    said = [r.text for one in case_run.outcome.calls for r in one.log if "oom" in r.text.lower()]
    yield equal("records of the OOM killer in the kernel log", [], said)


def _marked(case_run: CaseRun) -> Iterator[Check]:
    (declared,) = case_run.outcome.calls
    marked = [stamp.pid for stamp in declared.timeline.stamps if stamp.name == "marked"]
    yield equal("PIDs of mark_victim", sorted(declared.victims), marked)


def _agree(case_run: CaseRun) -> Iterator[Check]:
    evidence = case_run.outcome.calls[0].evidence
    if evidence.source == "ring buffer":
        yield equal("tracing and kernel log agree", True, evidence.agree)


def _order_of_moments(case_run: CaseRun) -> Iterator[Check]:
    names = [stamp.name for stamp in case_run.outcome.calls[0].timeline.stamps]
    wanted = ["locked", "killed", "marked", "unlocking", "return"]
    yield equal("order of moments", wanted, [name for name in names if name in wanted])


CASES = (
    case(
        "events.oom-kill-rises-by-one",
        "oom_kill counts the victim; oom and max, which belong to limits, stay",
        spec(*PAIR, dies=("large",)),
        also=_counted("oom_kill", large=1, small=0),
    ),
    case(
        "events.oom-stays-under-a-limit",
        "also where the target has a limit, oom and max stay",
        spec(*PAIR, dies=("large",), files={".": {"memory.max": "64M"}}),
        also=_counted("oom", large=0, small=0),
    ),
    case(
        "events.counted-from-victim-upwards",
        "on the victim's cgroup and all above it, not beside it",
        _NESTED,
        also=_counted(
            "oom_kill",
            target=1,
            target__middle=1,
            target__middle__victim=1,
            target__beside=0,
            outside=0,
        ),
    ),
    Case("events.local-counts-the-victims-own", "memory.events.local, only there", _local),
    Case("events.vmstat", "oom_kill of /proc/vmstat rises by one", _vmstat),
    case(
        "events.nothing-when-refused",
        "-EINVAL moves no counter and logs nothing",
        spec(*PAIR, returns="EINVAL", calls=(call(order=-1),)),
        also=_silent,
    ),
    case(
        "events.nothing-counted-when-nobody-died",
        "0 moves no counter",
        spec(hog("spared", 2 * M, -1000), returns="0"),
    ),
    _logged(
        "events.log-names-caller-and-order",
        "the header has the caller, GFP_KERNEL and the order",
        r"^oomctl-caller invoked oom-killer: gfp_mask=0xcc0\(GFP_KERNEL\), order=3, "
        r"oom_score_adj=-1000",
        r"PID: {caller} Comm: oomctl-caller",
    ),
    _logged(
        "events.log-names-target-and-victim",
        "constraint, target, victim's cgroup and PID in the oom-kill line",
        r"oom-kill:constraint=CONSTRAINT_MEMCG,.*oom_memcg={target},"
        r"task_memcg={target}/large,task=large,pid={victim},",
    ),
    _logged(
        "events.log-killed-process",
        "the victim is said to have died of a memory cgroup's OOM",
        r"^Memory cgroup out of memory: Killed process {victim} \(large\) total-vm:",
    ),
    case(
        "events.mark-victim",
        "the tracepoint mark_victim comes once",
        spec(*PAIR, dies=("large",)),
        facts.gate,
        also=_marked,
    ),
    case(
        "events.order-of-moments",
        "lock, SIGKILL, mark, unlock, return",
        spec(*PAIR, dies=("large",)),
        facts.gate,
        also=_order_of_moments,
    ),
    case(
        "events.log-and-tracing-agree",
        "both name the same victim",
        spec(*PAIR, dies=("large",)),
        also=_agree,
    ),
)
