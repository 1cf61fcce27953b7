"""oom_lock is held by another, on purpose (oomctl/bpf/gate.py): nothing here is a race.

Each case checks that the lock was held when its calls came, so that one that was too late fails.
"""

from collections.abc import Iterator

from oomctl.oom.plan import Step
from oomctl.smoke import facts
from oomctl.smoke.cases.common import (
    PAIR,
    Also,
    Case,
    CaseRun,
    CaseSpec,
    Check,
    M,
    call,
    case,
    equal,
    hog,
    refused,
    spec,
)
from oomctl.smoke.runner import Opens

_EIGHT = tuple(hog(f"hog-{n}", (n + 1) * M) for n in range(8))
_NAMES = tuple(each.name for each in _EIGHT)


def _contended(name: str, about: str, drawn: CaseSpec, opens: Opens, also: Also) -> Case:
    def check(case_run: CaseRun) -> Iterator[Check]:
        yield from _was_held(case_run)
        yield from also(case_run)

    return case(
        name,
        about,
        drawn,
        facts.gate,
        facts.two_cpus,
        also=check,
        lock=opens,
        made=lambda case_run: all(check.passed for check in _was_held(case_run)),
    )


def _was_held(case_run: CaseRun) -> Iterator[Check]:
    held = case_run.held
    began = [one.result.began_ns for one in case_run.outcome.calls]
    meant = held is not None and all(held.from_ns < at < held.until_ns for at in began)
    yield Check("oom_lock is held at each call", meant, f"calls at {began}, lock {held}")


def _at_once(case_run: CaseRun) -> Iterator[Check]:
    """Check that the answers came while the lock was held, and without a run of the OOM killer."""
    until = case_run.held.until_ns if case_run.held else 0
    ended = [one.result.ended_ns for one in case_run.outcome.calls]
    yield Check(
        "the answer comes while the lock is held",
        all(0 < at < until for at in ended),
        f"answers at {ended}, lock until {until}",
    )
    yield from refused(case_run)


def _afterwards(case_run: CaseRun) -> Iterator[Check]:
    """Check that the OOM killer ran for each call, after the lock was let go."""
    until = case_run.held.until_ns if case_run.held else 0
    for number, one in enumerate(case_run.outcome.calls):
        yield Check(
            "the answer comes after the lock is let go",
            one.result.ended_ns > until,
            f"answer at {one.result.ended_ns}, lock until {until}",
        )
        yield equal(
            "runs of the caller through out_of_memory()", 1, len(case_run.passages_of(number))
        )


def _one_after_the_other(case_run: CaseRun) -> Iterator[Check]:
    yield from _afterwards(case_run)
    victims = [pid for one in case_run.outcome.calls for pid in one.victims]
    yield equal(
        "victims that two calls claim", [], sorted({v for v in victims if victims.count(v) > 1})
    )


def _any_of(drawn: CaseSpec, least: int) -> CaseSpec:
    """Leave open how many of the hogs die: it depends on how soon a victim is gone."""
    from dataclasses import replace

    from oomctl.oom.plan import Range

    most = len(drawn.hogs)
    drawn = drawn.rising(oom_kill=Range(least, most))
    expect = replace(drawn.expect, victims=None, survivors=(), kills=Range(least, most))
    return replace(drawn, expect=expect)


CASES = (
    _contended(
        "lock.busy",
        "held, without waiting: -EBUSY at once, and nothing moves",
        spec(*PAIR, returns="EBUSY", calls=(call(flags=0),)),
        "answered",
        _at_once,
    ),
    _contended(
        "lock.busy-for-everybody",
        "eight at once, all of them -EBUSY",
        spec(*PAIR, returns="EBUSY", calls=(Step(call(flags=0), callers=8),)),
        "answered",
        _at_once,
    ),
    _contended(
        "lock.busy-for-the-whole-system",
        "held, NULL instead of a memcg: -EBUSY",
        spec(hog("bait", 8 * M, 1000), returns="EBUSY", calls=(call(None, flags=0),)),
        "answered",
        _at_once,
    ),
    _contended(
        "lock.wait",
        "held, waiting: blocks until the lock is let go, then kills",
        spec(*PAIR, dies=("large",)),
        "blocked",
        _afterwards,
    ),
    _contended(
        "lock.many-waiters",
        "eight wait, and are let in one after the other; no victim is claimed twice",
        _any_of(spec(*_EIGHT, calls=(Step(call(), callers=8),)), 1),
        "blocked",
        _one_after_the_other,
    ),
    _contended(
        "lock.killed-while-waiting",
        "who is killed while it waits has -EINTR, and nobody else dies of it",
        spec(*PAIR, returns="EINTR", timeout=3.0),
        "answered",
        refused,
    ),
    _contended(
        "lock.wrong-order-does-not-wait",
        "the arguments are checked first: -EINVAL at once",
        spec(*PAIR, returns="EINVAL", calls=(call(order=-1, flags=1),)),
        "answered",
        _at_once,
    ),
    _contended(
        "lock.wrong-order-is-not-busy",
        "nor is it -EBUSY without waiting",
        spec(*PAIR, returns="EINVAL", calls=(call(order=99, flags=0),)),
        "answered",
        _at_once,
    ),
    _contended(
        "lock.wrong-flag-does-not-wait",
        "a wrong flag with the one for waiting: -EINVAL at once",
        spec(*PAIR, returns="EINVAL", calls=(call(flags=3),)),
        "answered",
        _at_once,
    ),
    _contended(
        "lock.wrong-flag-is-not-busy",
        "nor is it -EBUSY without waiting",
        spec(*PAIR, returns="EINVAL", calls=(call(flags=2),)),
        "answered",
        _at_once,
    ),
)
