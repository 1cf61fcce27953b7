"""A scenario file as pydantic reads it: tables and keys, each with what an editor says of it.

What one key needs of another is not judged here, see check.py.
"""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from oomctl.oom.enums import Until, Via
from oomctl.scenario import fields


class Table(BaseModel):
    """A table of the file; a key that it does not know is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Swap(Table):
    """The files memory.swap.*."""

    max: fields.Limit | None = None
    """memory.swap.max: swap that the tasks below may use. The top's is 0 unless given."""
    high: fields.Limit | None = None
    """memory.swap.high: swap above which they are slowed down."""


class Zswap(Table):
    """The files memory.zswap.*."""

    max: fields.Limit | None = None
    """memory.zswap.max: compressed swap in memory. The top's is 0 unless given."""


class Oom(Table):
    """The files memory.oom.*."""

    group: fields.Flag = False
    """memory.oom.group: kill all or none of the tasks below."""


class Memory(Table):
    """The memory controller's files, by the kernel's own names."""

    max: fields.Limit | None = None
    """memory.max: 256M, 50% of the limit above it (else of the machine's memory), or max."""
    high: fields.Limit | None = None
    """memory.high: usage above which tasks are slowed down and reclaimed from."""
    low: fields.Limit | None = None
    """memory.low: usage below which others are reclaimed from first. It keeps nobody from OOM."""
    min: fields.Limit | None = None
    """memory.min: usage below which nothing is reclaimed. It keeps nobody from OOM."""
    swap: Swap = Swap()
    zswap: Zswap = Zswap()
    oom: Oom = Oom()


class Pids(Table):
    """The pids controller's files."""

    max: fields.PidsMax | None = None
    """pids.max: tasks that may be below."""


class Cgroup(Table):
    """What is written into one cgroup: the kernel's own file names as nested keys."""

    memory: Memory = Memory()
    pids: Pids = Pids()

    def files(self) -> Iterator[tuple[str, Any]]:
        """Yield the interface files that were given, with their values."""
        yield from _files("", self)


class Hog(Table):
    """A memory hog, or `count` of them; the key names it."""

    size: fields.Amount
    """What it fills: 64M, or 50% of the nearest memory.max above it, else of the machine's."""
    count: fields.HogCount | None = None
    """How many: with 3 they are NAME-1 to NAME-3, and NAME means any of them."""
    kind: fields.KindName = "anon"
    """The kind of memory, or of task."""
    oom_score_adj: fields.Adj = 0
    """-1000 to 1000; a point weighs a thousandth of the target's memory.max."""
    comm: fields.Comm | None = None
    """The task's name, if not the key: 1 to 15 characters."""
    cgroup: fields.Text = "./"
    """Where it lives: `left` is that cgroup, `left/` a leaf of its own name below it."""
    thp: fields.Flag = False
    """Ask for transparent huge pages, else for 4 KiB pages."""
    rate: fields.Rate | None = None
    """Bytes a second while it fills (50M); else as fast as the kernel can."""
    working_set: fields.Part | None = None
    """How much of it is touched over and over once it is filled; a share is of `size`."""
    tasks: fields.Tasks | None = None
    """Threads of `threads`, children that `forker` keeps alive."""
    sharer: fields.Text | None = None
    """The cgroup of the process that shares the memory of `shared` (CLONE_VM)."""
    hold: fields.Time | None = None
    """How long a tracer stops `traced` on its way out: 1 second unless given."""
    path: fields.Absolute | None = None
    """The existing file that `file` reads, instead of one of its own."""
    may_fail: fields.Flag = False
    """Not to reach its size is an outcome, not the end of the experiment."""


class Recheck(Table):
    """Instead of waiting on oom_lock: try without it, and give up when it is no longer needed."""

    above: fields.Amount
    """The usage below which the caller gives up; a share is of the target's memory.max."""
    every: fields.Time = 0.001
    """The time between two tries."""


class CallExpect(Table):
    """What each call of one step should come to."""

    returns: fields.Returns = ()
    """What it may return: 1, "EBUSY", or an array of them."""
    verdict: fields.Verdicts = ()
    """What its verdict may be, or an array of them."""
    victims: fields.Names | None = None
    """The hogs that it may kill; an empty array for none."""


def _recheck(value: Any) -> Any:
    return value if isinstance(value, (dict, Recheck)) else {"above": value}


class Call(Table):
    """One step: a declaration of OOM, by how many callers, how often, and what then."""

    target: fields.Target | None = None
    """The cgroup: `.` is the top, `left` one of ours, `/existing/cgroup` any other."""
    is_global: fields.Flag = Field(default=False, alias="global")
    """The whole system (a NULL memcg): the largest task of the MACHINE dies."""
    order: fields.Order = 0
    """The allocation order that is claimed; 11 and -1 are for the kernel's -EINVAL."""
    wait: fields.Flag | None = None
    """Wait for oom_lock, or get -EBUSY. Unless given: wait for a cgroup, not for the system."""
    flags: fields.Flags | None = None
    """Raw flags instead of `wait`; any but 0 and 1 is -EINVAL."""
    via: fields.ViaName = Via.BPF
    """How: the kfunc, memory.max below usage, sysrq-f, memory.reclaim first, or cgroup.kill."""
    amount: fields.Amount | None = None
    """What is to be freed, for `limit` and `reclaim`; a share is of the target's memory.max."""
    callers: fields.Callers = 1
    """Callers at the same time, each a process of its own."""
    repeat: fields.Repeat = 1
    """How often, one after the other."""
    delay: fields.Time = 0.0
    """How long to wait before each call: seconds, or 100ms."""
    until: fields.UntilName = Until.EXITED
    """What is waited for after each call: the victims' end, their memory, or only its return."""
    recheck: (
        Annotated[
            Recheck, BeforeValidator(_recheck, json_schema_input_type=fields.Amount | Recheck)
        ]
        | None
    ) = None
    """Instead of waiting: try again while the target uses more than this (80M or 50%)."""
    expect: CallExpect = CallExpect()


class CgroupExpect(Table):
    """How far counters of one cgroup rise, from its making on."""

    events: fields.Counts = {}
    """Of memory.events, which counts what happens below as well: events.oom_kill = 1."""
    events_local: fields.Counts = {}
    """Of memory.events.local, which does not: events_local.oom_kill = 0."""


class Expect(Table):
    """What the experiment should come to; what is not given is not judged."""

    verdict: fields.Verdicts = ()
    """What the verdict of the run may be, or an array of them."""
    victims: fields.Names | None = None
    """Hogs that must die; no other task may. An entry has a death if one of its hogs dies."""
    survivors: fields.Names = ()
    """Hogs that must live: of an entry, all."""
    collateral: fields.Natural = 0
    """How many others may die."""
    kills: fields.Count | None = None
    """How many die: 1, "1..2", "2.."."""
    returns: fields.Returned = {}
    """How many calls return what: { 1 = 1, EBUSY = "0..3" }."""
    events: fields.Counts = {}
    """How far counters of the top's memory.events rise: events.oom_kill = 1."""
    cgroup: dict[fields.CgroupName, CgroupExpect] = {}
    """The same of any cgroup of the tree: [expect.cgroup."left/inner"]."""
    latency: dict[fields.MomentName, fields.Time] = {}
    """The latest that a moment may come after the call: latency.exited = "2s"."""


class File(Table):
    """A scenario of oomctl: cgroups, hogs, calls and what they should come to."""

    description: fields.Text = ""
    """What it shows, in a sentence."""
    timeout: fields.Timeout = 30.0
    """Limit on filling the hogs, on one call, and on its victims' end; each."""
    parent: fields.Existing | None = None
    """The existing cgroup to make the top in, instead of the hierarchy's root; as --parent."""
    sysctl: fields.Sysctls = {}
    """Settings of the whole machine for the time of a round: vm.swappiness = 0."""
    cgroup: dict[fields.CgroupName, Cgroup] = {}
    """Cgroups by path: [cgroup."."] is the top, [cgroup."left/inner"] is below it."""
    hog: dict[fields.HogName, Hog] = {}
    """Hogs by name, made in this order."""
    call: tuple[Call, ...] | None = None
    """The steps in order; left out it is one call on the top, `call = []` is none: limits kill."""
    expect: Expect | None = None

    @property
    def calls(self) -> tuple[Call, ...]:
        """The steps, with the one that is implied; none where the file says so."""
        return (Call(),) if self.call is None else self.call


def _files(prefix: str, table: Table) -> Iterator[tuple[str, Any]]:
    for name in type(table).model_fields:
        value = getattr(table, name)
        if isinstance(value, Table):
            yield from _files(f"{prefix}{name}.", value)
        elif name in table.model_fields_set:
            yield f"{prefix}{name}", value
