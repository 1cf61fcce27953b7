"""The traces of a declaration: counters, kernel log, tracepoints; and those it must not leave."""

import re
import time
from collections.abc import Iterator

from oomctl.cgroup.node import UnifiedNode
from oomctl.oom.enums import EvidenceSource, Moment
from oomctl.oom.outcome import Check
from oomctl.proc import procfs
from oomctl.smoke import facts
from oomctl.smoke.case import Case
from oomctl.smoke.cases.common import LARGE_DIES, PAIR, case, equal, rises, spec_of
from oomctl.smoke.runner import CaseRun, CaseRunner
from oomctl.smoke.spec import call, spec

_RATE_LIMIT_SECONDS = 5.1
"""Seconds until the kernel prints reports again: 10 in 5 s (mm/oom_kill.c, oom_rs)."""

_NESTED = spec_of(
    "victim 6M in target/middle/victim dies, beside 2M in target/beside, outside 2M",
    calls=(call("target"),),
)


def _local(runner: CaseRunner) -> Iterator[Check]:
    """Check memory.events.local; the outcome has the counters of subtrees."""
    places = ("target", "target/middle", "target/middle/victim", "target/beside")
    found: dict[str, int] = {}

    def read(top: UnifiedNode) -> None:
        for place in places:
            events = top.at(place).controller.memory_events_local or {}
            found[place] = events.get("oom_kill", 0)

    yield from runner.execute(_NESTED, after=read).outcome.checks
    wanted = {place: int(place.endswith("victim")) for place in places}
    yield equal("oom_kill in memory.events.local", wanted, found)


def _vmstat(runner: CaseRunner) -> Iterator[Check]:
    before = procfs.vmstat("oom_kill") or 0
    yield from runner.execute(LARGE_DIES).outcome.checks
    yield equal("oom_kill of /proc/vmstat rises by", 1, (procfs.vmstat("oom_kill") or 0) - before)


def _logged(name: str, about: str, *patterns: str) -> Case:
    """Return the case that the report in the kernel log matches all patterns."""
    kill = spec(*PAIR, dies=("large",), calls=(call(order=3),))

    def run(runner: CaseRunner) -> Iterator[Check]:
        case_run = runner.execute(kill)
        if "invoked oom-killer" not in _log(case_run):  # left out by the rate limit
            time.sleep(_RATE_LIMIT_SECONDS)
            case_run = runner.execute(kill)
        report = case_run.only_call
        victim = next(f.task.pid for f in case_run.outcome.tasks if f.name == "large")
        target = re.escape(str(report.call.target))
        for pattern in patterns:
            line = pattern.format(caller=report.result.caller, victim=victim, target=target)
            found = bool(re.search(line, _log(case_run), re.M))
            yield Check(f"the kernel log matches {line}", found, "no record matches")

    return Case(name, about, run)


def _log(case_run: CaseRun) -> str:
    return "\n".join(record.text for report in case_run.calls for record in report.log)


def _silent(case_run: CaseRun) -> Iterator[Check]:
    records = [line for line in _log(case_run).splitlines() if "oom" in line.lower()]
    yield equal("records of the OOM killer in the kernel log", [], records)


def _marked(case_run: CaseRun) -> Iterator[Check]:
    stamps = case_run.only_call.timeline.stamps
    marked = [stamp.pid for stamp in stamps if stamp.name == Moment.MARKED]
    yield equal("PIDs of mark_victim", sorted(case_run.only_call.victims), marked)


def _agree(case_run: CaseRun) -> Iterator[Check]:
    evidence = case_run.only_call.evidence
    if evidence.source == EvidenceSource.RING_BUFFER:
        yield equal("tracing and kernel log agree", True, evidence.agree)


def _order_of_moments(case_run: CaseRun) -> Iterator[Check]:
    stamps = case_run.only_call.timeline.stamps
    wanted = ["locked", "killed", "marked", "unlocking", "return"]
    names = [stamp.name.value for stamp in stamps if stamp.name in wanted]
    yield equal("order of moments", wanted, names)


CASES = (
    case(
        "events.oom-kill-rises-by-one",
        "oom_kill rises by one; oom and max, which belong to limits, do not",
        LARGE_DIES,
        checks=rises("oom_kill", large=1, small=0),
    ),
    case(
        "events.oom-stays-under-a-limit",
        "oom and max do not rise on a target with a limit either",
        spec(*PAIR, dies=("large",), files={".": {"memory.max": "64M"}}),
        checks=rises("oom", large=0, small=0),
    ),
    case(
        "events.counted-from-victim-upwards",
        "oom_kill rises on the victim's cgroup and all above it, not beside it",
        _NESTED,
        checks=rises(
            "oom_kill",
            target=1,
            target__middle=1,
            target__middle__victim=1,
            target__beside=0,
            outside=0,
        ),
    ),
    Case(
        "events.local-counts-the-victims-own",
        "oom_kill in memory.events.local rises only on the victim's own cgroup",
        _local,
    ),
    Case("events.vmstat", "oom_kill of /proc/vmstat rises by one", _vmstat),
    case(
        "events.nothing-when-refused",
        "a call that returns -EINVAL moves no counter and logs nothing",
        spec(*PAIR, returns="EINVAL", calls=(call(order=-1),)),
        checks=_silent,
    ),
    case(
        "events.nothing-counted-without-a-kill",
        "a call that returns 0 moves no counter",
        spec_of("spared 2M adj -1000", returns="0"),
    ),
    _logged(
        "events.log-names-caller-and-order",
        "the report's header names the caller, GFP_KERNEL and the order",
        r"^oomctl-caller invoked oom-killer: gfp_mask=0xcc0\(GFP_KERNEL\), order=3, "
        r"oom_score_adj=-1000",
        r"PID: {caller} Comm: oomctl-caller",
    ),
    _logged(
        "events.log-names-target-and-victim",
        "the oom-kill line has the constraint, the target, and the victim's cgroup and PID",
        r"oom-kill:constraint=CONSTRAINT_MEMCG,.*oom_memcg={target},"
        r"task_memcg={target}/large,task=large,pid={victim},",
    ),
    _logged(
        "events.log-killed-process",
        "the log reports the kill as one of a memory cgroup",
        r"^Memory cgroup out of memory: Killed process {victim} \(large\) total-vm:",
    ),
    case(
        "events.mark-victim",
        "the tracepoint mark_victim fires once",
        LARGE_DIES,
        facts.gate,
        checks=_marked,
    ),
    case(
        "events.order-of-moments",
        "lock, SIGKILL, mark, unlock and return are in this order",
        LARGE_DIES,
        facts.gate,
        checks=_order_of_moments,
    ),
    case(
        "events.log-and-tracing-agree",
        "the kernel log and BPF tracing name the same victim",
        LARGE_DIES,
        checks=_agree,
    ),
)
