"""Prediction against the kernel: the task predicted just before the call dies of it.

OOMCTL_TREES is the number of random trees, OOMCTL_TREES_FROM the first of them.
"""

import json
import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from oomctl.cgroup import hierarchy
from oomctl.errors import OomctlError
from oomctl.experiment.environment import require_kfunc
from oomctl.experiment.session import Session
from oomctl.fuzz.coverage import exercised
from oomctl.fuzz.oracles import Judged
from oomctl.oom import as_json
from oomctl.oom.enums import Agreement
from oomctl.oom.outcome import CallReport
from oomctl.oom.plan import WAIT_ON_OOM_LOCK, Call, Hog
from oomctl.oom.prediction import Prediction
from oomctl.oom.task import limit_pages
from tests.kernel import trees
from tests.kernel.trees import TOP, K, M, random_tree

TREES = int(os.environ.get("OOMCTL_TREES", "15"))
FROM = int(os.environ.get("OOMCTL_TREES_FROM", "0"))
GROUP = "memory.oom.group", 1


@dataclass
class Predicted:
    """What was predicted, what the kernel returned, and the names of the tasks that it killed."""

    prediction: Prediction
    ret: int
    killed: frozenset[int]
    names: dict[int, str]
    report: CallReport

    @property
    def predicted(self):
        return {self.names[pid] for pid in self.prediction.victims}

    @property
    def died(self):
        return {self.names[pid] for pid in self.killed}


@pytest.fixture(scope="module")
def attempt():
    """Make a tree, predict, declare, and see which die: the experiment as `declare` runs it."""
    root = hierarchy.unified_root()
    kfunc = require_kfunc()

    def run(plan):
        with Session(root, kfunc, lambda ranking: None) as session:
            outcome = session.run(plan)
        (report,) = outcome.calls
        killed = frozenset(f.task.pid for f in outcome.tasks if f.fate.kind == "oom-killed")
        names = {row.task.pid: row.name for row in outcome.tasks}
        return Predicted(report.prediction, report.result.ret, killed, names, report)

    return run


def plan_of(hogs, *settings, cgroups=(), target=TOP, enabled=("",), via="bpf"):
    """Plan TOP and what is below it: hogs are (name, size, adj, path below TOP)."""
    placed = [Hog(*hog) for hog in hogs]
    nodes = dict.fromkeys(["", *cgroups, *(hog.cgroup for hog in placed)])
    call = Call(target, 0, WAIT_ON_OOM_LOCK, via)
    return trees.plan_of(placed, settings, nodes=[*nodes], enabled=enabled, call=call)


def reclaim(tree):
    """Have the target's memory swapped out as far as that goes."""
    if tree.reclaim:
        with suppress(BlockingIOError):  # not all of it
            Path(f"/sys/fs/cgroup{tree.target}/memory.reclaim").write_text(str(tree.reclaim))


@pytest.fixture
def declared_tree(swap_area):
    """Declare random trees, one after the other, and compare each with what was predicted."""
    with Session(hierarchy.unified_root(), require_kfunc(), len) as session:

        def declare(tree):
            with swap_area(tree.swap):
                outcome = session.run(tree.plan, lambda _hogs: reclaim(tree))
            return Judged(tree.plan, outcome)

        yield declare


@pytest.mark.timeout(120 + 20 * TREES)
def test_over_random_trees_prediction_and_kernel_agree(declared_tree, capsys):
    covered, explained, wrong = Counter(), [], []
    for number in range(FROM, FROM + TREES):
        tree = random_tree(number)
        try:
            compared = declared_tree(tree)
        except OomctlError as error:
            faults = [f"{error} {error.hint}"]
        else:
            covered.update(exercised(compared))
            faults = list(compared.disagreements)
            if faults:
                faults.append(json.dumps(as_json.tree(compared.outcome)))
            elif compared.agreement == Agreement.EXPLAINED:
                explained.append(f"tree {number}: {compared}")
        if faults:
            wrong.append(number)
            with capsys.disabled():
                print(f"\ntree {number}: {tree}", *faults, sep="\n  ")
    with capsys.disabled():
        counted = ", ".join(f"{n} {what} {which}" for (what, which), n in sorted(covered.items()))
        print(
            f"\n{TREES} trees: {TREES - len(explained) - len(wrong)} agreed, {len(explained)} "
            f"explained by what no file shows, {len(wrong)} disagreed; {counted}"
        )
        print("\n".join(explained))
    assert wrong == []


@pytest.mark.parametrize("paths", [("/a", "/b", "/c"), ("/a", "/a", "/a")])
def test_of_equals_the_last_in_scan_order_dies(attempt, paths):
    """By the order of the cgroups' making, and inside one by the order of joining it."""
    found = attempt(plan_of([(f"same{i}", 4 * M, 0, path) for i, path in enumerate(paths)]))
    scores = {candidate.badness for candidate in found.prediction.candidates}
    if len(scores) == 1:
        assert found.predicted == {"same2"}
    assert found.prediction.agrees(found.killed) or found.prediction.explains(found.killed)


def test_of_equals_in_cgroups_without_the_controller_any_may_be_the_last(attempt):
    """The kernel scans them in the order in which processes first joined them."""
    hogs = [("first", 4 * M, 0, "/b"), ("second", 4 * M, 0, "/a")]
    found = attempt(plan_of(hogs, cgroups=["/a", "/b"], enabled=[]))
    scores = {candidate.badness for candidate in found.prediction.candidates}
    if len(scores) == 1:
        assert len(found.prediction.close) == 1
    assert found.prediction.agrees(found.killed) or found.prediction.explains(found.killed)
    assert found.report.verdict.name == "killed"


@pytest.mark.parametrize(
    ("limit", "totalpages", "dies"),
    [
        ("max", limit_pages(None, 4096), "little"),  # a point of adj outweighs every size
        (64 * M, 16384, "little"),  # 62.5 MiB of weight
        (3900 * K, 975, "large"),  # below 1000 pages: no weight
    ],
)
def test_what_the_targets_own_limit_makes_of_adj(attempt, limit, totalpages, dies):
    sizes = (100 * K, 1 * M) if limit == 3900 * K else (4 * M, 24 * M)
    hogs = [("little", sizes[0], 1000, "/a"), ("large", sizes[1], 0, "/b")]
    found = attempt(plan_of(hogs, ("", "memory.max", limit)))
    assert found.prediction.totalpages == totalpages
    assert found.predicted == found.died == {dies}


def test_a_limit_that_is_lowered_is_the_one_that_weighs(attempt):
    """By the limit that is lifted, or by none at all, the little one would have to die."""
    hogs = [("little", 4 * M, 1, "/a"), ("large", 24 * M, 0, "/b")]
    found = attempt(plan_of(hogs, via="limit"))
    assert found.prediction.totalpages < 32 * M // 4096
    # a kernel that is quicker to choose again than to free takes the little one too
    assert found.predicted == {"large"} <= found.died
    assert found.report.as_predicted is True
    assert found.report.verdict.name == "killed"


def test_a_limit_above_or_below_the_target_has_no_weight(attempt):
    hogs = [("little", 4 * M, 1000, "/in/a"), ("large", 24 * M, 0, "/in/b")]
    found = attempt(
        plan_of(
            hogs,
            ("", "memory.max", 64 * M),
            ("/in/b", "memory.max", 48 * M),
            cgroups=["/in"],
            target=f"{TOP}/in",
            enabled=["", "/in"],
        )
    )
    assert found.prediction.totalpages == limit_pages(None, 4096)
    assert found.predicted == found.died == {"little"}


@pytest.mark.parametrize(
    ("group_at", "dies"),
    [
        ("", {"big"}),  # above the target: ignored
        ("/in", {"big", "with", "beside"}),
        ("/in/a", {"big", "with"}),
        ("/in/b", {"big"}),  # the victim is not in it
    ],
)
def test_where_memory_oom_group_is_set(attempt, group_at, dies):
    hogs = [
        ("big", 24 * M, 0, "/in/a"),
        ("with", 1 * M, -999, "/in/a"),
        ("safe", 1 * M, -1000, "/in/a"),
        ("beside", 1 * M, 0, "/in/b"),
        ("outside", 32 * M, 0, "/out"),
    ]
    found = attempt(
        plan_of(
            hogs,
            ("/in", "memory.max", 1024 * M),
            (group_at, "memory.oom.group", 1),
            cgroups=["/in"],
            target=f"{TOP}/in",
            enabled=["", "/in"],
        )
    )
    assert found.predicted == found.died == dies


def test_a_task_that_dies_with_its_parent_before_the_group_s_turn_is_no_miss(attempt):
    """The children of a forker are sent SIGKILL by its end, and may be gone by then."""
    plan = plan_of([("big", 24 * M, 0, "/a"), ("forks", 8 * M, 0, "/a")], ("/a", *GROUP))
    forks = replace(plan.hogs[1], kind="forker", tasks=4)
    report = attempt(replace(plan, hogs=(plan.hogs[0], forks))).report
    assert len(report.prediction.victims) == 6
    assert report.victims | report.gone == frozenset(report.prediction.victims)
    assert report.as_predicted is True
    assert report.verdict.name == "group-killed"


@pytest.mark.parametrize("hogs", [[], [("safe", 8 * M, -1000, "/a")]])
def test_no_task_is_predicted_where_none_may_die(attempt, hogs):
    found = attempt(plan_of(hogs))
    assert (found.ret, found.died, found.prediction.victims) == (0, frozenset(), ())


def test_the_swap_that_a_target_may_use_weighs_too(attempt, sysctl):
    hogs = [("only", 1 * M, 0, "/a")]
    settings = ("", "memory.max", 64 * M), ("", "memory.swap.max", 32 * M)
    areas = Path("/proc/swaps").read_text().splitlines()[1:]
    swap = sum(int(line.split()[2]) for line in areas) * K
    assert attempt(plan_of(hogs, *settings)).prediction.totalpages == (
        (64 * M + min(32 * M, swap)) // 4096
    )
    sysctl("vm.swappiness", 0)
    assert attempt(plan_of(hogs, *settings)).prediction.totalpages == 64 * M // 4096
