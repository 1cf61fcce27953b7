"""The plan of one experiment: cgroups, what is written to them, hogs, calls; all literal.

Pure. `--dry-run` prints a plan, everything else executes it, so that the two cannot differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from oomctl.oom.enums import Context, Do, Moment, Occasion, Until, VerdictName, Via

WAIT_ON_OOM_LOCK = 1
"""BPF_OOM_FLAGS_WAIT_ON_OOM_LOCK, bit 0 and the only valid one (v3 of the kfunc's series)."""

UINT64_MAX = 2**64 - 1
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1

CALLER = "oomctl-caller"
"""The comm of the processes that make the calls."""

MAX_HOGS = 4096
MAX_CALLERS = 256
"""Callers of one step; equal to OOMCTL_MAX_CALLERS in bpf/declare.h."""

PSI_WINDOW = 1.0
"""Seconds, the window of a PSI trigger."""
STALL = 0.05
"""Seconds of it that the series' own test waits for."""

HogKind = Literal[
    "anon",
    "file",
    "shmem",
    "hugetlb",
    "mlock",
    "pipe",
    "socket",
    "slab",
    "threads",
    "forker",
    "shared",
    "stopped",
    "traced",
]


EVENTS, EVENTS_LOCAL = "memory.events", "memory.events.local"
"""The files that count events: those of a cgroup with all below it, and its own."""
COUNTERS = ("low", "high", "max", "oom", "oom_kill", "oom_group_kill", "sock_throttled")
"""The counters of these files (mm/memcontrol.c, __memory_events_show)."""


@dataclass(frozen=True)
class Hog:
    """One memory hog: its comm, bytes of memory, oom_score_adj and cgroup; sizes in bytes.

    `entry` is the name of the scenario's entry that it comes from, of which there may be several.
    """

    name: str
    size: int
    oom_score_adj: int = 0
    cgroup: str = ""
    kind: HogKind = "anon"
    comm: str = ""
    entry: str = ""

    thp: bool = False
    """Ask for transparent huge pages, else for 4 KiB pages; only for anonymous memory."""
    rate: int | None = None
    """Bytes a second while it fills; None is as fast as the kernel can."""
    working_set: int = 0
    """Bytes that are touched over and over once all is filled."""
    tasks: int = 1
    """The threads of `threads`, the children that `forker` keeps alive."""
    leader_exits: bool = False
    """The thread group leader of `threads` ends once all is filled; the other threads live on."""
    sharer: str = ""
    """The cgroup of the process that shares the memory of `shared` (CLONE_VM)."""
    hold: float = 0.0
    """Seconds for which a tracer stops `traced` on its way out."""
    path: str = ""
    """The existing file that `file` reads, instead of one of its own."""
    may_fail: bool = False
    """Not to reach its size is an outcome of the experiment, not the end of it."""

    @property
    def label(self) -> str:
        """What it calls itself: at most the 15 bytes of a comm."""
        return self.comm or self.name


@dataclass(frozen=True)
class Sysctl:
    """A sysctl such as `vm.swappiness`, and its value during a round."""

    name: str
    value: str


@dataclass(frozen=True)
class Setting:
    """One interface file to be written: `cgroup` is a path inside the hierarchy."""

    cgroup: str
    file: str
    value: str

    optional: bool = False
    """Written only if the kernel has the file (memory.swap.max without CONFIG_SWAP)."""


@dataclass(frozen=True)
class Call:
    """One call: the target's path inside the hierarchy, None for the whole system.

    `amount` are the bytes to free (`limit`, `reclaim`); None leaves it to the trigger. `stall` are
    the seconds of PSI_WINDOW in which all tasks of the target must stall on memory (`psi`).
    """

    target: str | None
    order: int = 0
    flags: int = 0
    via: Via = Via.BPF
    amount: int | None = None
    context: Context = Context.SYSCALL
    stall: float = STALL


@dataclass(frozen=True)
class Recheck:
    """Try without waiting on oom_lock, and check between two tries if the kill is still needed.

    `above` is the usage of the target in bytes below which the caller gives up; `every` are the
    seconds between two tries.
    """

    above: int
    every: float = 0.001


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; None has no end."""

    low: int
    high: int | None

    def __contains__(self, number: int) -> bool:
        return self.low <= number and (self.high is None or number <= self.high)

    def __str__(self) -> str:
        if self.high is None:
            return f"at least {self.low}"
        return str(self.low) if self.low == self.high else f"{self.low} to {self.high}"


@dataclass(frozen=True)
class CallExpect:
    """The expected result of each call of one step; an empty field or None is not checked.

    `returns` has numbers and names of errnos as text, any of which is right; `victims` are names of
    hogs or of their entries.
    """

    returns: tuple[str, ...] = ()
    verdicts: tuple[VerdictName, ...] = ()
    victims: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Step:
    """One step of an experiment: a call, its callers, and its repetitions.

    `delay` are seconds before each call. `until` is what oomctl waits for after each.
    """

    call: Call
    callers: int = 1
    repeat: int = 1
    delay: float = 0.0
    until: Until = Until.EXITED
    recheck: Recheck | None = None
    expect: CallExpect = CallExpect()
    caller_adj: int | None = None
    """The oom_score_adj of the callers; None leaves them oomctl's own."""
    caller_cgroup: str = ""
    """The cgroup that the callers are in, instead of oomctl's."""


@dataclass(frozen=True)
class After:
    """When an action is due: `delay` seconds after an occasion.

    `hogs` are names of hogs, for FILLED all of them or, if there are none, all that are started
    first; for MARKED and EXITED any of them. `call` is the index of the step that RETURNED.
    """

    occasion: Occasion = Occasion.FILLED
    hogs: tuple[str, ...] = ()
    call: int = 0
    delay: float = 0.0


@dataclass(frozen=True)
class Action:
    """One thing that is done during a run, beside its calls; `do` says which fields it has.

    `step` is the index of the scenario's step that it comes from. `file` is an interface file of
    `cgroup`, the name of a sysctl, or the path of a file of sysfs; `value` is written there. With
    `may_fail` an error is a result, not the end of the run.
    """

    step: int
    after: After
    do: Do
    cgroup: str = ""
    hog: str = ""
    file: str = ""
    value: str = ""
    may_fail: bool = False

    @property
    def may_turn_choice(self) -> bool:
        """Whether it may change which task the OOM killer chooses, or which die with it."""
        if self.do == Do.WRITE:
            return self.file in ("memory.max", "memory.swap.max", "memory.oom.group")
        if self.do == Do.SYSCTL:
            return self.file == "vm.swappiness"
        return self.do in (Do.MOVE, Do.KILL, Do.START)


@dataclass(frozen=True)
class Expect:
    """The expected outcome of a round; an empty field or None is not checked.

    `victims` and `survivors` are names of hogs or of their entries: each of `victims` must die, and
    at most `collateral` other tasks. `kills` counts the dead. `returns` says how
    many calls returned what, `events` how far counters of a cgroup and file (EVENTS, EVENTS_LOCAL)
    rose. `latency` has seconds by moment of the timeline, counted from the call.
    """

    verdicts: tuple[VerdictName, ...] = ()
    victims: tuple[str, ...] | None = None
    survivors: tuple[str, ...] = ()
    collateral: int = 0
    kills: Range | None = None
    returns: Mapping[str, Range] = field(default_factory=dict)
    events: Mapping[tuple[str, str], Mapping[str, Range]] = field(default_factory=dict)
    latency: Mapping[Moment, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """An experiment; `cgroups` and `settings` are in the order in which they are made.

    Without `steps` there is no call: only limits kill, while the hogs fill. `top` is the cgroup
    whose tasks and counters are read, None if only the whole system is a target.
    """

    cgroups: tuple[str, ...]
    settings: tuple[Setting, ...]
    hogs: tuple[Hog, ...]
    steps: tuple[Step, ...]
    top: str | None = None
    sysctls: tuple[Sysctl, ...] = ()
    timeout: float = 30.0
    keep: bool = False
    expect: Expect | None = None
    actions: tuple[Action, ...] = ()

    @property
    def late(self) -> frozenset[str]:
        """The names of the hogs that an action starts."""
        return frozenset(action.hog for action in self.actions if action.do == Do.START)

    @property
    def all_sysctls(self) -> tuple[Sysctl, ...]:
        """Every sysctl that is changed, for the round or by an action."""
        later = (Sysctl(a.file, a.value) for a in self.actions if a.do == Do.SYSCTL)
        return (*self.sysctls, *later)

    @property
    def system_wide(self) -> bool:
        """Whether a call may take any task of the machine."""
        return any(step.call.target is None for step in self.steps)


def flags_of(wait: bool | None, raw: int | None, target_is_global: bool) -> int:
    """Return the flags to pass: `--flags` as it is, else waiting as the kfunc's text advises.

    The advice (v2 and v3 of the series): wait for a memcg, do not wait for a system-wide OOM.
    """
    if raw is not None:
        return raw
    if wait is None:
        wait = not target_is_global
    return WAIT_ON_OOM_LOCK if wait else 0


def flag_names(flags: int) -> str:
    """Render flags by name: `0`, `WAIT_ON_OOM_LOCK`, with unknown bits in hexadecimal."""
    names = ["WAIT_ON_OOM_LOCK"] if flags & WAIT_ON_OOM_LOCK else []
    if rest := flags & ~WAIT_ON_OOM_LOCK:
        names.append(hex(rest))
    return "|".join(names) or "0"
