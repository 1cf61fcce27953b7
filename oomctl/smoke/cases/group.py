"""memory.oom.group: the highest between victim and target counts (mem_cgroup_get_oom_group)."""

from oomctl.smoke.cases.common import PAIR, case, rises
from oomctl.smoke.spec import TOP, M, call, hog, spec

_ON = {"memory.oom.group": "1"}
_AT_TOP = {TOP: _ON}

CASES = (
    case(
        "group.at-the-target",
        "set at the target: all its tasks die",
        spec(
            *PAIR,
            hog("third", 2 * M),
            dies=("small", "large", "third"),
            files=_AT_TOP,
            group_kills=1,
        ),
    ),
    case(
        "group.of-one",
        "a group of one task counts as a group kill",
        spec(PAIR[0], dies=("small",), files=_AT_TOP, group_kills=1),
    ),
    case(
        "group.off",
        "not set: only the largest task of a cgroup dies",
        spec(hog("small", 2 * M, at="leaf"), hog("large", 6 * M, at="leaf"), dies=("large",)),
    ),
    case(
        "group.minus-1000-is-spared",
        "a task at oom_score_adj -1000 is spared, the rest of its group dies",
        spec(
            *PAIR,
            hog("spared", 2 * M, -1000),
            dies=("small", "large"),
            files=_AT_TOP,
            group_kills=1,
        ),
    ),
    case(
        "group.minus-999-is-not-spared",
        "a task at oom_score_adj -999 dies with its group",
        spec(
            *PAIR,
            hog("low", 2 * M, -999),
            dies=("small", "large", "low"),
            files=_AT_TOP,
            group_kills=1,
        ),
    ),
    case(
        "group.below-the-target",
        "set below the target: the victim's group dies, the rest of the target lives",
        spec(
            hog("victim", 6 * M, at="group/a"),
            hog("member", 1 * M, at="group/b"),
            hog("outside", 2 * M),
            dies=("victim", "member"),
            files={"group": _ON},
            group_kills=1,
        ),
        checks=rises("oom_group_kill", group=1, outside=0),
    ),
    case(
        "group.above-the-target-is-ignored",
        "set above the target: only the victim dies",
        spec(
            hog("victim", 6 * M, at="target/a"),
            hog("member", 1 * M, at="target/b"),
            hog("outside", 2 * M),
            dies=("victim",),
            files=_AT_TOP,
            calls=(call("target"),),
        ),
    ),
    case(
        "group.highest-counts",
        "set at the target and below: all tasks of the target die",
        spec(
            hog("victim", 6 * M, at="inner/a"),
            hog("outside", 1 * M),
            dies=("victim", "outside"),
            files={TOP: _ON, "inner": _ON},
            group_kills=1,
        ),
        checks=rises("oom_group_kill", inner=0),
    ),
    case(
        "group.without-the-victim-is-ignored",
        "set on a cgroup that the victim is not in: that cgroup's tasks live",
        spec(
            hog("victim", 6 * M),
            hog("member", 1 * M, at="group/a"),
            hog("other", 1 * M, at="group/b"),
            dies=("victim",),
            files={"group": _ON},
        ),
        checks=rises("oom_group_kill", group=0),
    ),
    case(
        "group.counted-once-and-upwards",
        "oom_group_kill rises by 1 on the group and on each cgroup above it, not below",
        spec(
            hog("victim", 6 * M, at="middle/group/a"),
            hog("member", 1 * M, at="middle/group/b"),
            dies=("victim", "member"),
            files={"middle/group": _ON},
            group_kills=1,
        ),
        checks=rises("oom_group_kill", middle=1, middle__group=1, middle__group__a=0),
    ),
    case(
        "group.empty",
        "a group without tasks: 0, and not counted as a group kill",
        spec(returns="0", files=_AT_TOP),
    ),
)
