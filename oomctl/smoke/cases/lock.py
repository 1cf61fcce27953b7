"""Calls while another process holds oom_lock on purpose (oomctl/bpf/gate.py): nothing races.

Each case checks that the lock was held when its calls began, so a call that began late fails it.
"""

from collections.abc import Iterator
from dataclasses import replace

from oomctl.oom.outcome import Check
from oomctl.oom.plan import Range, Step
from oomctl.smoke import facts
from oomctl.smoke.case import Case
from oomctl.smoke.cases.common import LARGE_DIES, PAIR, Checks, case, equal, refused
from oomctl.smoke.runner import CaseRun, HoldUntil
from oomctl.smoke.spec import CaseSpec, M, call, hog, spec

_EIGHT = tuple(hog(f"hog-{n}", (n + 1) * M) for n in range(8))


def _contended(
    name: str, about: str, spec: CaseSpec, until: HoldUntil, checks_then: Checks
) -> Case:
    def checks(case_run: CaseRun) -> Iterator[Check]:
        yield _was_held(case_run)
        yield from checks_then(case_run)

    return case(
        f"lock.{name}",
        about,
        spec,
        facts.gate,
        facts.two_cpus,
        checks=checks,
        hold_lock_until=until,
        in_time=lambda case_run: not case_run.lock_hold or bool(_was_held(case_run).passed),
    )


def _refused_at_once(name: str, about: str, errno: str, step: Step) -> Case:
    bait = (hog("bait", 8 * M, 1000),) if step.call.target is None else PAIR
    no_kill = spec(*bait, returns=errno, calls=(step,))
    return _contended(name, about, no_kill, "returned", _returned_while_held)


def _was_held(case_run: CaseRun) -> Check:
    hold = case_run.lock_hold
    began = [report.result.began_ns for report in case_run.calls]
    held = hold is not None and all(hold.from_ns < at < hold.until_ns for at in began)
    return Check("oom_lock is held when each call begins", held, f"calls at {began}, lock {hold}")


def _returned_while_held(case_run: CaseRun) -> Iterator[Check]:
    """Check that the calls returned while the lock was held, and without the OOM killer."""
    until = case_run.lock_hold.until_ns if case_run.lock_hold else 0
    ended = [report.result.ended_ns for report in case_run.calls]
    yield Check(
        "each call returns while the lock is held",
        all(0 < at < until for at in ended),
        f"calls returned at {ended}, lock until {until}",
    )
    yield from refused(case_run)


def _returned_afterwards(case_run: CaseRun) -> Iterator[Check]:
    """Check that the OOM killer ran for each call, after the lock was released."""
    until = case_run.lock_hold.until_ns if case_run.lock_hold else 0
    for number, report in enumerate(case_run.calls):
        ended = report.result.ended_ns
        why = f"call returned at {ended}, lock until {until}"
        yield Check("the call returns after the lock is released", ended > until, why)
        entered = len(case_run.passages_of(number))
        yield equal("times that the caller entered out_of_memory()", 1, entered)


def _one_after_the_other(case_run: CaseRun) -> Iterator[Check]:
    yield from _returned_afterwards(case_run)
    victims = [pid for report in case_run.calls for pid in report.victims]
    twice = sorted({pid for pid in victims if victims.count(pid) > 1})
    yield equal("victims that two calls claim", [], twice)


def _eight_calls() -> CaseSpec:
    """Leave open how many of the hogs die: it depends on how soon each victim is gone."""
    calls = spec(*_EIGHT, calls=(Step(call(), callers=8),)).rising(oom_kill=Range(1, 8))
    expect = replace(calls.expect, victims=None, survivors=(), kills=Range(1, 8))
    return replace(calls, expect=expect)


CASES = (
    _refused_at_once(
        "busy",
        "a call without waiting returns -EBUSY at once, and no counter moves",
        "EBUSY",
        Step(call(flags=0)),
    ),
    _refused_at_once(
        "busy-for-every-caller",
        "eight calls at once without waiting all return -EBUSY",
        "EBUSY",
        Step(call(flags=0), callers=8),
    ),
    _refused_at_once(
        "busy-system-wide",
        "a system-wide call (NULL) without waiting returns -EBUSY",
        "EBUSY",
        Step(call(None, flags=0)),
    ),
    _contended(
        "wait",
        "a waiting call blocks until the lock is released, then kills",
        LARGE_DIES,
        "blocked",
        _returned_afterwards,
    ),
    _contended(
        "many-waiters",
        "eight waiting calls get the lock one after the other; no victim is claimed twice",
        _eight_calls(),
        "blocked",
        _one_after_the_other,
    ),
    _contended(
        "killed-while-waiting",
        "a caller that is killed while it waits gets -EINTR, and no other task dies",
        spec(*PAIR, returns="EINTR", timeout=3.0),
        "returned",
        refused,
    ),
    _refused_at_once(
        "wrong-order-does-not-wait",
        "the order is checked before the lock: -EINVAL at once, with waiting",
        "EINVAL",
        Step(call(order=-1, flags=1)),
    ),
    _refused_at_once(
        "wrong-order-is-not-busy",
        "the order is checked before the lock: -EINVAL, not -EBUSY, without waiting",
        "EINVAL",
        Step(call(order=99, flags=0)),
    ),
    _refused_at_once(
        "wrong-flag-does-not-wait",
        "flags are checked before the lock: -EINVAL at once, with waiting",
        "EINVAL",
        Step(call(flags=3)),
    ),
    _refused_at_once(
        "wrong-flag-is-not-busy",
        "flags are checked before the lock: -EINVAL, not -EBUSY, without waiting",
        "EINVAL",
        Step(call(flags=2)),
    ),
)
