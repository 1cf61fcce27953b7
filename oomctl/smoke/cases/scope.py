"""What a target reaches: tasks in it and below it, by membership, and processes sharing memory."""

from collections.abc import Iterator, Sequence

from oomctl.hog.hogset import RunningHog
from oomctl.oom.call import Stage
from oomctl.oom.check import Check
from oomctl.oom.plan import Hog, Step
from oomctl.smoke.case import Case
from oomctl.smoke.cases.common import PAIR, case, equal, verdicts
from oomctl.smoke.runner import CaseRunner
from oomctl.smoke.spec import M, call, hog, spec


def _move_away(runner: CaseRunner, running_hogs: Sequence[RunningHog]) -> None:
    """Move the hog named `moved` to another cgroup; its memory stays charged to the old one."""
    (moved,) = (running_hog for running_hog in running_hogs if running_hog.hog.name == "moved")
    away = runner.root.at(moved.hog.cgroup).parent.at("away")
    away.controller.set_property(b"cgroup.procs", moved.pid)


def _root(runner: CaseRunner) -> Iterator[Check]:
    """The kernel hits a BUG on the root memcg, so oomctl's own program must not pass it."""
    stage, _ret = runner.call(runner.root.id)
    yield equal("last stage of the program", Stage.ROOT.name, stage.name)


_SHARED = Hog("shared", 4 * M, cgroup="target", kind="shared", sharer="elsewhere")

CASES = (
    case(
        "scope.nested-target",
        "a target inside a tree reaches only its own task",
        spec(*PAIR, dies=("small",), calls=(call("small"),)),
    ),
    case(
        "scope.sibling-is-untouched",
        "a larger task in a cgroup beside the target lives",
        spec(
            hog("inside", 2 * M, at="target/leaf"),
            hog("beside", 12 * M, at="sibling/leaf"),
            dies=("inside",),
            calls=(call("target"),),
        ),
    ),
    case(
        "scope.cousin-at-1000-is-untouched",
        "a task at oom_score_adj 1000 in a cgroup beside the target lives",
        spec(
            hog("inside", 2 * M, at="target"),
            hog("beside", 2 * M, 1000, at="sibling"),
            dies=("inside",),
            calls=(call("target"),),
        ),
    ),
    case(
        "scope.descendants",
        "the largest task in any cgroup below the target dies",
        spec(
            hog("near", 2 * M, at="near"),
            hog("deep", 6 * M, at="a/b/c"),
            hog("beside", 4 * M, at="a/d"),
            dies=("deep",),
        ),
        checks=verdicts("killed"),
    ),
    case(
        "scope.same-cgroup",
        "of two tasks in one cgroup the larger dies",
        spec(hog("small", 2 * M, at="leaf"), hog("large", 6 * M, at="leaf"), dies=("large",)),
    ),
    case(
        "scope.membership-not-charge",
        "a task that moved into the target dies, though its memory is charged elsewhere",
        spec(
            hog("moved", 6 * M, at="home"),
            hog("resident", 2 * M, at="home"),
            dies=("moved",),
            cgroups=("away",),
            calls=(call("away"),),
        ),
        prepare=_move_away,
    ),
    case(
        "scope.charge-without-membership",
        "a task that moved out of the target lives, though its memory is still charged to it",
        spec(
            hog("moved", 12 * M, at="home"),
            hog("resident", 2 * M, at="home"),
            dies=("resident",),
            cgroups=("away",),
            calls=(call("home"),),
        ),
        prepare=_move_away,
    ),
    case(
        "scope.process-sharing-memory-dies-too",
        "a process outside that shares the victim's memory (CLONE_VM) dies too, uncounted",
        spec(
            _SHARED, hog("beside", 2 * M), dies=("shared",), collateral=1, calls=(call("target"),)
        ),
    ),
    case(
        "scope.caller-outside-lives",
        "a caller outside the target is not a candidate, even at oom_score_adj 1000",
        spec(
            *PAIR,
            dies=("large",),
            calls=(Step(call("large"), caller_adj=1000, caller_cgroup="outside"),),
        ),
    ),
    case(
        "scope.caller-inside-is-a-candidate",
        "a caller inside the target, with the highest score, dies",
        spec(hog("beside", 2 * M), calls=(Step(call(), caller_adj=1000, caller_cgroup="caller"),))
        .counting(oom_kill=1)
        .losing_the_caller(),
        checks=verdicts("caller-killed"),
    ),
    Case("scope.root-is-refused", "oomctl's own program refuses the root cgroup", _root),
)
