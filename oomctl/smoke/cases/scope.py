"""What a target reaches: tasks in it and below it, by membership, and who shares their memory."""

from collections.abc import Iterator, Sequence

from oomctl.hog.hogset import RunningHog
from oomctl.oom.call import Stage
from oomctl.oom.plan import Hog, Step
from oomctl.smoke.cases.common import (
    PAIR,
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


def _move_away(runner: CaseRunner, running_hogs: Sequence[RunningHog]) -> None:
    """Move the hog named `moved` to another cgroup; what it has stays charged where it was."""
    (moved,) = (running_hog for running_hog in running_hogs if running_hog.hog.name == "moved")
    away = runner.root.at(moved.hog.cgroup).parent.at("away")
    away.controller.set_property(b"cgroup.procs", moved.pid)


def _below(case_run: CaseRun) -> Iterator[Check]:
    (declared,) = case_run.outcome.calls
    yield equal("verdict", "killed", declared.verdict.name)


def _root(runner: CaseRunner) -> Iterator[Check]:
    """The kernel hits a BUG on the root memcg, so oomctl's own program must not pass it."""
    stage, _ret = runner.ask(runner.root.id)
    yield equal("how far the program came", Stage.ROOT.name, stage.name)


_SHARED = Hog("shared", 4 * M, cgroup="target", kind="shared", sharer="elsewhere")

CASES = (
    case(
        "scope.nested-target",
        "a target within a tree reaches its own task only",
        spec(*PAIR, dies=("small",), calls=(call("small"),)),
    ),
    case(
        "scope.sibling-is-untouched",
        "a larger task beside the target lives",
        spec(
            hog("inside", 2 * M, at="target/leaf"),
            hog("beside", 12 * M, at="sibling/leaf"),
            dies=("inside",),
            calls=(call("target"),),
        ),
    ),
    case(
        "scope.cousin-at-1000-is-untouched",
        "nor does oom_score_adj draw it from outside",
        spec(
            hog("inside", 2 * M, at="target"),
            hog("beside", 2 * M, 1000, at="sibling"),
            dies=("inside",),
            calls=(call("target"),),
        ),
    ),
    case(
        "scope.descendants",
        "the largest in any cgroup below the target dies",
        spec(
            hog("near", 2 * M, at="near"),
            hog("deep", 6 * M, at="a/b/c"),
            hog("beside", 4 * M, at="a/d"),
            dies=("deep",),
        ),
        also=_below,
    ),
    case(
        "scope.same-cgroup",
        "of two in one cgroup the larger dies",
        spec(hog("small", 2 * M, at="leaf"), hog("large", 6 * M, at="leaf"), dies=("large",)),
    ),
    case(
        "scope.membership-not-charge",
        "who moved in is reached, though its memory is charged elsewhere",
        spec(
            hog("moved", 6 * M, at="home"),
            hog("resident", 2 * M, at="home"),
            dies=("moved",),
            cgroups=("away",),
            calls=(call("away"),),
        ),
        ready=_move_away,
    ),
    case(
        "scope.charge-without-membership",
        "who moved away is out of reach, though its memory is still charged here",
        spec(
            hog("moved", 12 * M, at="home"),
            hog("resident", 2 * M, at="home"),
            dies=("resident",),
            cgroups=("away",),
            calls=(call("home"),),
        ),
        ready=_move_away,
    ),
    case(
        "scope.who-shares-memory-dies-too",
        "a process outside that has the victim's memory (CLONE_VM) dies with it, uncounted",
        spec(
            _SHARED, hog("beside", 2 * M), dies=("shared",), collateral=1, calls=(call("target"),)
        ),
    ),
    case(
        "scope.caller-outside-lives",
        "who calls is no candidate unless it is in the target",
        spec(
            *PAIR,
            dies=("large",),
            calls=(Step(call("large"), caller_adj=1000, caller_cgroup="outside"),),
        ),
    ),
    case(
        "scope.caller-inside-is-a-candidate",
        "who calls from inside the target, with the highest score, dies",
        spec(
            hog("beside", 2 * M),
            calls=(Step(call(), caller_adj=1000, caller_cgroup="caller"),),
        )
        .counting(oom_kill=1)
        .losing_the_caller(),
        also=lambda case_run: [
            equal("verdict", "caller-killed", case_run.outcome.calls[0].verdict.name)
        ],
    ),
    Case("scope.root-is-never-passed", "oomctl's own program refuses the root cgroup", _root),
)
