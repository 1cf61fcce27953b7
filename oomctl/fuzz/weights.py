"""How often random cases have what, and how large they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from oomctl.oom.enums import Do
from oomctl.oom.plan import Action, After, HogKind

K, M = 1 << 10, 1 << 20
PAGE = 4 * K
SMALL_LIMIT = 3900 * K
"""A memory.max of less than 1000 pages, with which oom_score_adj weighs nothing."""
TASKS: Mapping[str, tuple[int, int]] = {"threads": (2, 5), "forker": (1, 4)}
"""The least and the most tasks of hogs that have several."""


@dataclass(frozen=True)
class Switch:
    """A setting of the whole machine, by its path in sysfs or the name of its sysctl."""

    do: Do
    file: str
    values: Sequence[str]

    def at(self, after: After, value: str) -> Action:
        """Return the action that sets it."""
        return Action(0, after, self.do, file=self.file, value=value)


SWITCHES = (
    Switch(Do.SYSFS, "/sys/kernel/mm/lru_gen/enabled", ("0x0000", "0x0001", "0x0007")),
    Switch(
        *(Do.SYSFS, "/sys/kernel/mm/transparent_hugepage/enabled"),
        ("always", "madvise", "never"),
    ),
    Switch(Do.SYSCTL, "vm.swappiness", ("0", "60", "100")),
    Switch(Do.SYSCTL, "vm.overcommit_memory", ("0", "1")),
)
"""Settings that do no harm while hogs of a few MiB are filled and killed."""


@dataclass(frozen=True)
class Weights:
    """How often a case has something, 0 to 1, and how large it may be.

    `small` is a limit below 1000 pages, `alike` hogs of few sizes, `tie` a hog like another,
    `special` a hog of any of `kinds`, `plain` a cgroup without the controller below it, `limited` a
    call by memory.max, `empty` no hogs, `elsewhere` a target without regard to the hogs, `bad` an
    invalid order or flag, `several` a second and a third call, `acting` something
    that is done before the calls or after the first, `swapping` memory that is swapped out before
    them, `triggered` a call by memory.reclaim or cgroup.kill, `together` several callers at once,
    `switching` some of `switches` that are set, `leaderless` threads whose leader exits.
    `pages` is the binary logarithm of the largest hog's size.
    """

    small: float = 0.15
    swap: float = 0.25
    alike: float = 0.5
    tie: float = 0.3
    adjusted: float = 0.5
    special: float = 0.6
    plain: float = 0.25
    limited: float = 0.12
    empty: float = 0.1
    elsewhere: float = 0.1
    group: float = 0.3
    max: float = 0.4
    protected: float = 0.2
    bad: float = 0.15
    several: float = 0.25
    acting: float = 0.4
    swapping: float = 0.8
    triggered: float = 0.15
    together: float = 0.2
    switching: float = 0.5
    leaderless: float = 0.4
    pages: float = 12.3
    most_hogs: int = 9
    depth: int = 5
    leaves: int = 6
    holds: Sequence[float] = (0.0, 0.3, 2.5)
    kinds: Sequence[HogKind] = get_args(HogKind)
    switches: Sequence[Switch] = ()
    sayable: bool = False
    """Whether a scenario file can say all of it; what comes after `group` is for these only."""
    timeout: float = 120.0


FUZZED: tuple[HogKind, ...] = tuple(kind for kind in get_args(HogKind) if kind != "hugetlb")
"""The kinds of hogs that need no sysctl of the whole machine."""

SAYABLE = Weights(
    swap=0.0,
    plain=0.0,
    pages=9,
    most_hogs=6,
    depth=3,
    leaves=4,
    holds=(0.0, 0.05),
    kinds=FUZZED,
    sayable=True,
    timeout=60.0,
)
"""Small cases that a scenario file can say in full."""


def most_memory(weights: Weights) -> int:
    """Return the bytes that the hogs of a case hold at most: each child of a forker fills too."""
    return int(2**weights.pages) * PAGE * weights.most_hogs * (TASKS["forker"][1] + 1)
