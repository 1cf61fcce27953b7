"""What a target reaches: tasks in it and below it, by membership, and processes sharing memory."""

from collections.abc import Iterator, Sequence

from oomctl.hog.hogset import RunningHog
from oomctl.oom.call import Stage
from oomctl.oom.enums import FateKind
from oomctl.oom.outcome import Check
from oomctl.oom.plan import Hog, Step
from oomctl.smoke.case import Case
from oomctl.smoke.cases.common import case, equal, spec_of, verdicts
from oomctl.smoke.runner import CaseRun, CaseRunner
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


def _the_sharer_outlives_the_victim(case_run: CaseRun) -> bool:
    """Tell whether the victim was alive until its memory was looked for in other processes.

    __oom_kill_process() prints its line before that, slowly on a serial console; the victim may
    be gone by then, and with it the sharer (PR_SET_PDEATHSIG, hog/tasks.c).
    """
    return all(row.fate.kind != FateKind.ENDED_WITH_HOG for row in case_run.outcome.tasks)


_SHARED = Hog("shared", 4 * M, cgroup="target", kind="shared", sharer="elsewhere")

CASES = (
    case(
        "scope.nested-target",
        "a target inside a tree reaches only its own task",
        spec_of("small 2M dies, large 6M", calls=(call("small"),)),
    ),
    case(
        "scope.sibling-is-untouched",
        "a larger task in a cgroup beside the target lives",
        spec_of(
            "inside 2M in target/leaf dies, beside 12M in sibling/leaf", calls=(call("target"),)
        ),
    ),
    case(
        "scope.cousin-at-1000-is-untouched",
        "a task at oom_score_adj 1000 in a cgroup beside the target lives",
        spec_of("inside 2M in target dies, beside 2M adj 1000 in sibling", calls=(call("target"),)),
    ),
    case(
        "scope.descendants",
        "the largest task in any cgroup below the target dies",
        spec_of("near 2M in near, deep 6M in a/b/c dies, beside 4M in a/d"),
        checks=verdicts("killed"),
    ),
    case(
        "scope.same-cgroup",
        "of two tasks in one cgroup the larger dies",
        spec_of("small 2M in leaf, large 6M in leaf dies"),
    ),
    case(
        "scope.membership-not-charge",
        "a task that moved into the target dies, though its memory is charged elsewhere",
        spec_of(
            "moved 6M in home dies, resident 2M in home", cgroups=("away",), calls=(call("away"),)
        ),
        prepare=_move_away,
    ),
    case(
        "scope.charge-without-membership",
        "a task that moved out of the target lives, though its memory is still charged to it",
        spec_of(
            "moved 12M in home, resident 2M in home dies", cgroups=("away",), calls=(call("home"),)
        ),
        prepare=_move_away,
    ),
    case(
        "scope.process-sharing-memory-dies-too",
        "a process outside that shares the victim's memory (CLONE_VM) dies too, uncounted",
        spec(
            _SHARED, hog("beside", 2 * M), dies=("shared",), collateral=1, calls=(call("target"),)
        ),
        in_time=_the_sharer_outlives_the_victim,
    ),
    case(
        "scope.caller-outside-lives",
        "a caller outside the target is not a candidate, even at oom_score_adj 1000",
        spec_of(
            "small 2M, large 6M dies",
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
