"""memory.oom.group: the highest between victim and target counts (mem_cgroup_get_oom_group)."""

from oomctl.smoke.cases.common import case, rises, spec_of
from oomctl.smoke.spec import TOP, call, spec

_ON = {"memory.oom.group": "1"}
_AT_TOP = {TOP: _ON}

CASES = (
    case(
        "group.at-the-target",
        "set at the target: all its tasks die",
        spec_of("small 2M dies, large 6M dies, third 2M dies", files=_AT_TOP, group_kills=1),
    ),
    case(
        "group.of-one",
        "a group of one task counts as a group kill",
        spec_of("small 2M dies", files=_AT_TOP, group_kills=1),
    ),
    case(
        "group.off",
        "not set: only the largest task of a cgroup dies",
        spec_of("small 2M in leaf, large 6M in leaf dies"),
    ),
    case(
        "group.minus-1000-is-spared",
        "a task at oom_score_adj -1000 is spared, the rest of its group dies",
        spec_of("small 2M dies, large 6M dies, spared 2M adj -1000", files=_AT_TOP, group_kills=1),
    ),
    case(
        "group.minus-999-is-not-spared",
        "a task at oom_score_adj -999 dies with its group",
        spec_of("small 2M dies, large 6M dies, low 2M adj -999 dies", files=_AT_TOP, group_kills=1),
    ),
    case(
        "group.below-the-target",
        "set below the target: the victim's group dies, the rest of the target lives",
        spec_of(
            "victim 6M in group/a dies, member 1M in group/b dies, outside 2M",
            files={"group": _ON},
            group_kills=1,
        ),
        checks=rises("oom_group_kill", group=1, outside=0),
    ),
    case(
        "group.above-the-target-is-ignored",
        "set above the target: only the victim dies",
        spec_of(
            "victim 6M in target/a dies, member 1M in target/b, outside 2M",
            files=_AT_TOP,
            calls=(call("target"),),
        ),
    ),
    case(
        "group.highest-counts",
        "set at the target and below: all tasks of the target die",
        spec_of(
            "victim 6M in inner/a dies, outside 1M dies",
            files={TOP: _ON, "inner": _ON},
            group_kills=1,
        ),
        checks=rises("oom_group_kill", inner=0),
    ),
    case(
        "group.without-the-victim-is-ignored",
        "set on a cgroup that the victim is not in: that cgroup's tasks live",
        spec_of("victim 6M dies, member 1M in group/a, other 1M in group/b", files={"group": _ON}),
        checks=rises("oom_group_kill", group=0),
    ),
    case(
        "group.counted-once-and-upwards",
        "oom_group_kill rises by 1 on the group and on each cgroup above it, not below",
        spec_of(
            "victim 6M in middle/group/a dies, member 1M in middle/group/b dies",
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
