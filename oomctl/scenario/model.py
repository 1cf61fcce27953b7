"""The tables of a scenario: keys, their types, and what an editor says of each.

loader.py lets pydantic read files into them; options make them as they are.

What one key needs of another is checked in rules/.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from typing import Annotated, Any

from oomctl.oom.enums import Until, Via
from oomctl.oom.plan import After
from oomctl.scenario import fields
from oomctl.scenario.names import TOP


def key_of(name: str) -> str:
    """Return the key of a field; `global` is a keyword of Python."""
    return name.removeprefix("is_")


class Table:
    """A table of the file; a key that it does not know is a fault."""

    __pydantic_config__ = {"extra": "forbid", "alias_generator": key_of}  # noqa: RUF012


@dataclass(frozen=True)
class Swap(Table):
    """The files memory.swap.*."""

    max: fields.Limit | None = None
    """memory.swap.max: swap that the tasks below may use. 0 for the top unless given."""
    high: fields.Limit | None = None
    """memory.swap.high: swap above which they are throttled."""


@dataclass(frozen=True)
class Zswap(Table):
    """The files memory.zswap.*."""

    max: fields.Limit | None = None
    """memory.zswap.max: compressed swap in memory. 0 for the top unless given."""


@dataclass(frozen=True)
class Oom(Table):
    """The files memory.oom.*."""

    group: fields.Flag | None = None
    """memory.oom.group: kill all of the tasks below or none."""


@dataclass(frozen=True)
class Memory(Table):
    """The memory controller's files, by the kernel's own names."""

    max: fields.Limit | None = None
    """memory.max: 256M, 50% of the limit above it (else of the machine's memory), or max."""
    high: fields.Limit | None = None
    """memory.high: usage above which tasks are throttled and reclaimed."""
    low: fields.Limit | None = None
    """memory.low: usage below which others are reclaimed first. The OOM killer ignores it."""
    min: fields.Limit | None = None
    """memory.min: usage below which nothing is reclaimed. The OOM killer ignores it."""
    swap: Swap = Swap()
    zswap: Zswap = Zswap()
    oom: Oom = Oom()


@dataclass(frozen=True)
class Pids(Table):
    """The pids controller's files."""

    max: fields.PidsMax | None = None
    """pids.max: number of tasks that may be below, or max."""


@dataclass(frozen=True)
class Cgroup(Table):
    """What is written into one cgroup: the names of its files as nested keys."""

    memory: Memory = Memory()
    pids: Pids = Pids()

    def files(self) -> Iterator[tuple[str, Any]]:
        """Yield the interface files that were given, with their values."""
        yield from _files("", self)


@dataclass(frozen=True)
class Hog(Table):
    """A memory hog, or `count` of them; the key names it."""

    size: fields.Amount
    """Memory that it fills: 64M, or 50% of the nearest memory.max above, else of the machine."""
    count: fields.HogCount | None = None
    """Number of hogs: with 3 they are NAME-1 to NAME-3, and NAME means any of them."""
    kind: fields.KindName = "anon"
    """The kind of memory, or of task."""
    oom_score_adj: fields.Adj = 0
    """-1000 to 1000; a point weighs a thousandth of the target's memory.max."""
    comm: fields.Comm | None = None
    """The task's name, if not the key: 1 to 15 characters."""
    cgroup: fields.Text = "./"
    """Its cgroup: `left` is that cgroup, `left/` a leaf of the hog's own name below it."""
    thp: fields.Flag = False
    """Use transparent huge pages instead of 4 KiB pages."""
    rate: fields.Rate | None = None
    """Bytes per second while it fills, such as 50M; otherwise as fast as possible."""
    working_set: fields.Part | None = None
    """Memory that it keeps touching once it is filled; a percentage is of `size`."""
    tasks: fields.Tasks | None = None
    """Number of threads of `threads`, or of children that `forker` keeps alive."""
    leader_exits: fields.Flag = False
    """The thread group leader of `threads` exits once all is filled; the threads live on."""
    sharer: fields.Text | None = None
    """The cgroup of the process that shares the memory of `shared` (CLONE_VM)."""
    hold: fields.Time | None = None
    """How long a tracer stops `traced` during its exit: 1 second unless given."""
    path: fields.Absolute | None = None
    """The existing file that `file` reads, instead of writing a new one."""
    may_fail: fields.Flag = False
    """Go on with the experiment if it does not reach its size."""


@dataclass(frozen=True)
class Recheck(Table):
    """Instead of waiting for oom_lock: try repeatedly, and give up once usage is low enough."""

    above: fields.Amount
    """Usage below which the caller gives up; a percentage is of the target's memory.max."""
    every: fields.Time = 0.001
    """Time between two tries."""


@dataclass(frozen=True)
class CallExpect(Table):
    """The expected result of each call of one step."""

    returns: fields.Returns = ()
    """Expected return value: 1, "EBUSY", or an array of them."""
    verdict: fields.Verdicts = ()
    """Expected verdict, or an array of verdicts of which one is expected."""
    victims: fields.Names | None = None
    """Hogs that it may kill; an empty array for none."""


def _recheck(value: Any) -> Any:
    return value if isinstance(value, (dict, Recheck)) else {"above": value}


@dataclass(frozen=True)
class Call(Table):
    """A call, the number of callers, repetitions, and what is waited for."""

    target: fields.Target | None = None
    """The cgroup: `.` is the top, `left` is below it, `/existing/cgroup` is any other."""
    is_global: fields.Flag = False
    """The whole system (a NULL memcg): the largest task of the MACHINE dies."""
    order: fields.Order | None = None
    """Allocation order to pass, 0 unless given; 11 and -1 return -EINVAL."""
    wait: fields.Flag | None = None
    """Wait for oom_lock, or get -EBUSY. Unless given: true for a cgroup, false system-wide."""
    flags: fields.Flags | None = None
    """Raw flags instead of `wait`; other values than 0 and 1 return -EINVAL."""
    via: fields.ViaName = Via.BPF
    """Trigger: kfunc, memory.max below usage, sysrq-f, cgroup.kill, or reclaim or a stall first."""
    context: fields.ContextName | None = None
    """Where the kfunc is called: in bpf(2), the default, or in task work as in the series' test."""
    stall: fields.Time | None = None
    """For `psi`: called once all tasks of the target stall this long within a second; 50 ms."""
    amount: fields.Amount | None = None
    """Memory to free, for `limit` and `reclaim`; a percentage is of the target's memory.max."""
    callers: fields.Callers = 1
    """Number of callers at the same time, each a process of its own."""
    repeat: fields.Repeat = 1
    """Repetitions, one after the other."""
    delay: fields.Time = 0.0
    """Time to wait before each call: seconds, or 100ms."""
    until: fields.UntilName = Until.EXITED
    """What to wait for after each call: the victims' exit, their memory, or only its return."""
    recheck: Annotated[Recheck, fields.Before(_recheck, fields.Amount)] | None = None
    """Instead of waiting: try again while the target uses more than this, such as 80M or 50%."""
    expect: CallExpect = CallExpect()

    @property
    def on_tree(self) -> bool:
        """Whether its target is a cgroup of the scenario."""
        return not self.is_global and not (self.target or TOP).startswith("/")


_FILLED = After()


@dataclass(frozen=True)
class Step(Table):
    """Something that is done during the run, beside the calls, in the order of these keys."""

    after: fields.Event = _FILLED
    """A time since the first hog was started, `filled`, `large.marked`, `call[0].returned` ..."""
    delay: fields.Time = 0.0
    """Time between that and the step."""
    cgroup: dict[fields.CgroupName, Cgroup] | None = None
    """What is written into cgroups: cgroup.left.memory.max = "32M"."""
    sysctl: fields.Sysctls | None = None
    """Settings of the whole machine, restored at the end: vm.swappiness = 0."""
    sysfs: dict[fields.SysfsFile, fields.KernelValue] | None = None
    """Files below /sys/kernel/mm by path, restored at the end."""
    freeze: fields.CgroupNames | None = None
    """Cgroups to freeze, with all below."""
    thaw: fields.CgroupNames | None = None
    """Cgroups to thaw."""
    move: dict[fields.HogName, fields.CgroupName] | None = None
    """Hogs to move, each into a cgroup of the scenario: small = "left"."""
    remove: fields.CgroupNames | None = None
    """Cgroups to remove, which the kernel does if no process is in them."""
    stop: fields.HogNames | None = None
    """Hogs to stop (SIGSTOP)."""
    is_continue: fields.HogNames | None = None
    """Hogs to continue (SIGCONT)."""
    kill: fields.HogNames | None = None
    """Hogs to kill (SIGKILL)."""
    start: fields.HogNames | None = None
    """Hogs to start only now; the step ends once they are filled."""
    may_fail: fields.Flag = False
    """Go on with the experiment if the kernel refuses it, or a hog has ended."""


@dataclass(frozen=True)
class CgroupExpect(Table):
    """Expected rises of the counters of one cgroup since it was made."""

    events: fields.Counts = field(default_factory=dict)
    """In memory.events, which includes the cgroups below: events.oom_kill = 1."""
    events_local: fields.Counts = field(default_factory=dict)
    """In memory.events.local, which does not: events_local.oom_kill = 0."""


@dataclass(frozen=True)
class Expect(Table):
    """The expected result of a round; a key that is not given is not checked."""

    verdict: fields.Verdicts = ()
    """Expected verdict of the round, or an array of verdicts of which one is expected."""
    victims: fields.Names | None = None
    """Hogs that must die; no other task may. An entry has a death if one of its hogs dies."""
    survivors: fields.Names = ()
    """Hogs that must live: of an entry, all."""
    collateral: fields.Natural = 0
    """Number of other tasks that may die."""
    kills: fields.Count | None = None
    """Number of deaths: 1, "1..2", "2.."."""
    returns: fields.Returned = field(default_factory=dict)
    """Number of calls for each return value: { 1 = 1, EBUSY = "0..3" }."""
    events: fields.Counts = field(default_factory=dict)
    """How far counters of the top's memory.events rise: events.oom_kill = 1."""
    cgroup: dict[fields.CgroupName, CgroupExpect] = field(default_factory=dict)
    """The same of any cgroup of the tree: [expect.cgroup."left/inner"]."""
    latency: dict[fields.MomentName, fields.Time] = field(default_factory=dict)
    """Longest time from the call to a moment: latency.exited = "2s"."""


@dataclass(frozen=True)
class File(Table):
    """A scenario of oomctl: cgroups, hogs, calls and the expected results."""

    description: fields.Text = ""
    """What it shows, in a sentence."""
    timeout: fields.Timeout = 30.0
    """Limit on filling the hogs, on one call, and on its victims' exit; each."""
    parent: fields.Existing | None = None
    """Existing cgroup to make the top in, instead of the hierarchy's root; like --parent."""
    sysctl: fields.Sysctls = field(default_factory=dict)
    """Settings of the whole machine during a round: vm.swappiness = 0."""
    cgroup: dict[fields.CgroupName, Cgroup] = field(default_factory=dict)
    """Cgroups by path: [cgroup."."] is the top, [cgroup."left/inner"] is below it."""
    hog: dict[fields.HogName, Hog] = field(default_factory=dict)
    """Hogs by name, started in this order."""
    call: tuple[Call, ...] | None = None
    """Calls in order. Left out: one call on the top. `call = []`: no call, limits kill."""
    step: tuple[Step, ...] = ()
    """What else is done during the run, each at its time."""
    expect: Expect | None = None

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls in order; one call on the top if the file has no `call`."""
        return (Call(),) if self.call is None else self.call


def _files(prefix: str, table: Table) -> Iterator[tuple[str, Any]]:
    for each in fields_of(table):  # type: ignore[arg-type]
        value = getattr(table, each.name)
        if isinstance(value, Table):
            yield from _files(f"{prefix}{each.name}.", value)
        elif value is not None:
            yield f"{prefix}{each.name}", value
