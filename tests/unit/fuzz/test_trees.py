"""The random trees of the kernel suite: the few that `make test` declares have everything."""

from typing import get_args

import pytest

from oomctl.oom.paths import is_within
from oomctl.oom.plan import HogKind
from tests.kernel.trees import K, random_tree

SLICE = [random_tree(number) for number in range(15)]


def inside(tree, cgroup):
    return is_within(cgroup, tree.target)


def without_controller(tree, cgroup):
    enabled = {s.cgroup for s in tree.plan.settings if s.file == "cgroup.subtree_control"}
    return cgroup.rpartition("/")[0] not in enabled


FEATURES = {
    "nested": lambda tree: max(path.count("/") for path in tree.plan.cgroups) > 4,
    "equal sizes": lambda tree: len({h.size for h in tree.plan.hogs}) < len(tree.plan.hogs),
    "a group": lambda tree: tree.groups,
    "a limit below 1000 pages": lambda tree: any(
        s.value == str(3900 * K) for s in tree.plan.settings
    ),
    "no controller": lambda tree: any(without_controller(tree, h.cgroup) for h in tree.plan.hogs),
    "a target below": lambda tree: tree.target != tree.plan.top,
    "no hogs": lambda tree: not tree.plan.hogs,
    "swap": lambda tree: tree.swap,
    "reclaim": lambda tree: tree.reclaim,
    "swappiness": lambda tree: any(s.name == "vm.swappiness" for s in tree.plan.sysctls),
    "a lowered limit": lambda tree: tree.call.via == "limit",
    "negative adj": lambda tree: any(-999 < h.oom_score_adj < -1 for h in tree.plan.hogs),
    **{
        f"adj {adj}": lambda tree, adj=adj: any(h.oom_score_adj == adj for h in tree.plan.hogs)
        for adj in (-1000, -999, -1, 1, 1000)
    },
    **{
        kind: lambda tree, kind=kind: any(h.kind == kind for h in tree.plan.hogs)
        for kind in get_args(HogKind)
    },
    **{
        f"shared {hog} {sharer}": lambda tree, here=(hog, sharer): any(
            (inside(tree, h.cgroup), inside(tree, h.sharer)) == here
            for h in tree.plan.hogs
            if h.kind == "shared"
        )
        for hog in (False, True)
        for sharer in (False, True)
    },
}


@pytest.mark.parametrize("feature", FEATURES)
def test_the_first_trees_have_everything(feature):
    assert any(FEATURES[feature](tree) for tree in SLICE)


def test_a_tree_is_the_same_whenever_it_is_made():
    assert [random_tree(number) for number in range(15)] == SLICE


@pytest.mark.parametrize("number", range(500))
def test_a_tree_can_be_made(number):
    """Parents come first, processes only in cgroups that may hold them, targets with controller."""
    tree = random_tree(number)
    plan = tree.plan
    enabled = {s.cgroup for s in plan.settings if s.file == "cgroup.subtree_control"}
    made = {"/"}
    for cgroup in plan.cgroups:
        assert (cgroup.rpartition("/")[0] or "/") in made
        made.add(cgroup)
    assert len(made) == len(plan.cgroups) + 1
    for setting in plan.settings:
        if setting.file != "cgroup.subtree_control":
            assert not without_controller(tree, setting.cgroup) or setting.cgroup == plan.top
    for hog in plan.hogs:
        assert {hog.cgroup, hog.sharer or hog.cgroup} <= made - enabled
        assert bool(hog.sharer) == (hog.kind == "shared")
    assert tree.target in made
    assert tree.target == plan.top or not without_controller(tree, tree.target)
