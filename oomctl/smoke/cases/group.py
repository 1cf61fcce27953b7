"""memory.oom.group: the highest between victim and target counts (mem_cgroup_get_oom_group)."""

from collections.abc import Iterator

from oomctl.smoke.cases.common import (
    PAIR,
    Also,
    CaseRun,
    Check,
    M,
    call,
    case,
    equal,
    hog,
    spec,
)
from oomctl.smoke.spec import TOP

_ON = {"memory.oom.group": "1"}


def _rises(**wanted: int) -> Also:
    """Check by how much oom_group_kill rose in the cgroups below the top; 0 for those left out."""

    def also(case_run: CaseRun) -> Iterator[Check]:
        outcome = case_run.outcome
        for name, rise in wanted.items():
            path = f"{outcome.top}/{name.replace('__', '/')}"
            found = outcome.events.get(path, {}).get("oom_group_kill", 0)
            yield equal(f"oom_group_kill of {name} rises by", rise, found)

    return also


CASES = (
    case(
        "group.at-the-target",
        "all of the target die",
        spec(
            *PAIR,
            hog("third", 2 * M),
            dies=("small", "large", "third"),
            files={TOP: _ON},
            group_kills=1,
        ),
    ),
    case(
        "group.of-one",
        "a group of one is a group",
        spec(PAIR[0], dies=("small",), files={TOP: _ON}, group_kills=1),
    ),
    case(
        "group.off",
        "without it only the largest of a cgroup dies",
        spec(hog("small", 2 * M, at="leaf"), hog("large", 6 * M, at="leaf"), dies=("large",)),
    ),
    case(
        "group.minus-1000-is-spared",
        "all die but the one at -1000",
        spec(
            *PAIR,
            hog("spared", 2 * M, -1000),
            dies=("small", "large"),
            files={TOP: _ON},
            group_kills=1,
        ),
    ),
    case(
        "group.minus-999-is-not-spared",
        "-999 protects nobody of a group",
        spec(
            *PAIR,
            hog("low", 2 * M, -999),
            dies=("small", "large", "low"),
            files={TOP: _ON},
            group_kills=1,
        ),
    ),
    case(
        "group.below-the-target",
        "the victim's group dies, the rest of the target lives",
        spec(
            hog("victim", 6 * M, at="group/a"),
            hog("member", 1 * M, at="group/b"),
            hog("outside", 2 * M),
            dies=("victim", "member"),
            files={"group": _ON},
            group_kills=1,
        ),
        also=_rises(group=1, outside=0),
    ),
    case(
        "group.above-the-target-is-ignored",
        "the bit above the target does not count",
        spec(
            hog("victim", 6 * M, at="target/a"),
            hog("member", 1 * M, at="target/b"),
            hog("outside", 2 * M),
            dies=("victim",),
            files={TOP: _ON},
            calls=(call("target"),),
        ),
    ),
    case(
        "group.highest-counts",
        "set at the target and below, all of the target die",
        spec(
            hog("victim", 6 * M, at="inner/a"),
            hog("outside", 1 * M),
            dies=("victim", "outside"),
            files={TOP: _ON, "inner": _ON},
            group_kills=1,
        ),
        also=_rises(inner=0),
    ),
    case(
        "group.without-the-victim-is-ignored",
        "a group that the victim is not in lives",
        spec(
            hog("victim", 6 * M),
            hog("member", 1 * M, at="group/a"),
            hog("other", 1 * M, at="group/b"),
            dies=("victim",),
            files={"group": _ON},
        ),
        also=_rises(group=0),
    ),
    case(
        "group.counted-once-and-upwards",
        "oom_group_kill rises by 1 on the group and on what is above it, not below",
        spec(
            hog("victim", 6 * M, at="middle/group/a"),
            hog("member", 1 * M, at="middle/group/b"),
            dies=("victim", "member"),
            files={"middle/group": _ON},
            group_kills=1,
        ),
        also=_rises(middle=1, middle__group=1, middle__group__a=0),
    ),
    case(
        "group.empty",
        "a group of nobody is no kill",
        spec(returns="0", files={TOP: _ON}),
    ),
)
