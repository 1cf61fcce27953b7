"""The outcome of an experiment: the one result tree that every renderer reads. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from oomctl.errors import OomctlError
from oomctl.oom.call import CallResult
from oomctl.oom.counts import KillCounts
from oomctl.oom.enums import EvidenceSource, Phase, VerdictName, Via
from oomctl.oom.fate import Fate
from oomctl.oom.holdings import Filled, Holdings
from oomctl.oom.kill import OomKill
from oomctl.oom.log.logrecord import Record
from oomctl.oom.plan import Action, Call
from oomctl.oom.prediction import Prediction
from oomctl.oom.task import Task
from oomctl.oom.timeline import Timeline
from oomctl.oom.verdict import Verdict


@dataclass(frozen=True)
class Environment:
    """The machine of a result; sizes in bytes, sysctls None if the kernel lacks them."""

    oomctl: str
    kernel: str
    machine: str
    cpus: int
    memory: int
    swap: int
    page_size: int
    kfunc: str
    kfunc_provider: str
    kfunc_variant: str
    libbpf: str
    oom_score_adj: int
    sysctls: Mapping[str, int | None]
    command_line: str = ""
    """The kernel's."""
    host: str = ""
    command: str = ""
    """The command line of oomctl, quoted for a shell."""
    time: str = ""
    """When that was started: ISO 8601 with the time zone."""


@dataclass(frozen=True)
class Evidence:
    """The sources that report the kills of a call, and whether they agree.

    `no_tracing_reason` says why the source is not the ring buffer. `seen` are the victims' PIDs in
    the observer's events, `logged` those in the kernel log. `agree` is None if they cannot be
    compared: there is only one source, `lost` events or log records were overwritten before they
    were read, or `silent` programs of the observer are attached but did not report what must have
    happened.
    """

    source: EvidenceSource = EvidenceSource.KERNEL_LOG
    no_tracing_reason: str = ""
    seen: frozenset[int] = frozenset()
    logged: frozenset[int] = frozenset()
    agree: bool | None = None
    lost: int = 0
    silent: tuple[str, ...] = ()


@dataclass(frozen=True)
class CallReport:
    """One call: its result, its kills, and the verdict.

    `step` is the index of the plan's step and `turn` which of its repetitions it was; calls of one
    turn were made at once. `collateral` are the PIDs that died with a victim because they shared
    its memory; `gone` those of a killed group that had ended by themselves before its turn came to
    them, such as the children that die with their parent; `pressure` is what the target's
    memory.pressure rose by, in microseconds, by "some" and "full" (empty if the kernel does not
    keep it); `disturbed` says that it is not predicted, since an action changed the choice.
    """

    call: Call
    cgroup_id: int | None
    result: CallResult
    kills: tuple[OomKill, ...]
    verdict: Verdict
    evidence: Evidence = field(default_factory=Evidence)
    timeline: Timeline = field(default_factory=Timeline)
    prediction: Prediction | None = None
    step: int = 0
    turn: int = 0
    collateral: frozenset[int] = frozenset()
    gone: frozenset[int] = frozenset()
    pressure: Mapping[str, int] = field(default_factory=dict)
    log: tuple[Record, ...] = ()
    disturbed: bool = False

    @property
    def victims(self) -> frozenset[int]:
        """The PIDs that were chosen, alone or as a group: all kills but the collateral."""
        return frozenset(kill.pid for kill in self.kills) - self.collateral

    @property
    def as_predicted(self) -> bool | None:
        """Whether exactly the predicted tasks died; None if the prediction was not tested."""
        if self.prediction is None:
            return None
        if self.victims:
            return self.prediction.agrees(self.victims | self.gone, self.may_repeat)
        return (
            not self.prediction.victims
            if self.verdict.name == VerdictName.NO_KILLABLE_TASK
            else None
        )

    @property
    def too_close(self) -> bool:
        """Whether tasks died whose scores were too close to the predicted ones to tell."""
        taken = self.victims | self.gone
        return bool(self.prediction and self.prediction.explains(taken, self.may_repeat))

    @property
    def may_repeat(self) -> bool:
        """Whether the OOM killer may choose more than once, until the usage is below the limit."""
        return self.call.via == Via.LIMIT


@dataclass(frozen=True)
class TaskReport:
    """One task of the experiment and its end.

    `name` is None for a task that is neither a hog nor a child of one; `size`, `filled` and
    `holds` (from just before the first call) are None for all but the hog itself. `entry` is the
    scenario's name for it. `charged` is memory.current of the hog's own cgroup; for a task that
    shares its cgroup it is rss + swap + page tables. `call` is the index of the call after which it
    died, `died_after_ns` counts from that call.
    `badness` is the kernel's score in pages just before the first call, `collateral` says that it
    died only because it shared a victim's memory. `kill` is its kill by the OOM killer, with or
    without a call; `phase` is None for a task that survived.
    """

    task: Task
    name: str | None
    size: int | None
    charged: int
    fate: Fate
    call: int | None = None
    died_after_ns: int | None = None
    badness: int | None = None
    collateral: bool = False
    entry: str | None = None
    kind: str | None = None
    filled: Filled | None = None
    failed: str = ""
    phase: Phase | None = None
    kill: OomKill | None = None
    holds: Holdings | None = None


@dataclass(frozen=True)
class ActionReport:
    """One action of the plan that was made.

    It began `after_ns` after the first hog was started and took `took_ns`; `at_ns` is
    CLOCK_MONOTONIC. `failed` says why it could not be done; empty if it was.
    """

    action: Action
    at_ns: int
    after_ns: int
    took_ns: int
    failed: str = ""


@dataclass(frozen=True)
class Check:
    """A named test: `passed` is None if it could not be made; `why` says what was found."""

    name: str
    passed: bool | None
    why: str = ""


@dataclass(frozen=True)
class Sample:
    """memory.current of one cgroup at one moment: CLOCK_MONOTONIC in ns, bytes."""

    at_ns: int
    cgroup: str
    bytes: int


@dataclass(frozen=True)
class Outcome:
    """The outcome of an experiment.

    `events` are what each counter of memory.events rose by since the tree was made, by cgroup, for
    the top cgroup and all below it; `events_local` those of memory.events.local. `memory_before`
    and `memory_after` are memory.current of the top before the first call and at the end. `log` has
    the records of the kernel log that came with no call. `failure` is why the plan was not carried
    out to its end, or not everything could be cleaned up.
    `top` is the cgroup whose tasks and counters were looked at, None for the whole system. `checks`
    are the plan's expectations, held against it. `dying` is nr_dying_descendants of the hierarchy
    afterwards, `own_rss` what oomctl itself holds, in bytes; None if unknown.
    `took_ns` is the whole time, from the first mkdir to the last rmdir. `counts` are the kills of
    the round as each source counts them. `actions` are those that were made, in order.
    """

    environment: Environment
    calls: tuple[CallReport, ...]
    tasks: tuple[TaskReport, ...]
    events: Mapping[str, Mapping[str, int]]
    memory_before: int | None
    memory_after: int | None
    log_lost: int
    verdict: Verdict
    notes: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()
    top: str | None = None
    checks: tuple[Check, ...] = ()
    dying: int | None = None
    own_rss: int | None = None
    took_ns: int = 0
    events_local: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    log: tuple[Record, ...] = ()
    failure: OomctlError | None = None
    counts: KillCounts | None = None
    actions: tuple[ActionReport, ...] = ()

    @property
    def moved(self) -> dict[str, Mapping[str, int]]:
        """The `events` of the top cgroup, and of those below it in which a counter rose."""
        return {
            cgroup: rises
            for cgroup, rises in self.events.items()
            if cgroup == self.top or any(rises.values())
        }

    @property
    def as_wanted(self) -> bool:
        """Whether every expectation held; without any, whether every declaration killed."""
        if self.failure:
            return False
        if self.checks:
            return all(check.passed is not False for check in self.checks)
        return self.verdict.as_wanted
