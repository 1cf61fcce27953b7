"""The names that scenarios, results and JSON schemas share, each with its meaning. Pure."""

from enum import StrEnum


class Via(StrEnum):
    """How the OOM killer is invoked for a call."""

    BPF = "bpf"
    """bpf_out_of_memory()."""
    LIMIT = "limit"
    """memory.max is written below the usage."""
    SYSRQ = "sysrq"
    """f is written to /proc/sysrq-trigger."""
    RECLAIM = "reclaim"
    """memory.reclaim is written; bpf_out_of_memory() if that is not enough."""
    KILL = "kill"
    """1 is written to cgroup.kill, without the OOM killer."""
    PSI = "psi"
    """A stall in memory.pressure is waited for; then bpf_out_of_memory()."""


KFUNC_VIAS = (Via.BPF, Via.RECLAIM, Via.PSI)
"""Those that return what the kfunc returns; the others return what a write does."""


class Context(StrEnum):
    """Where the BPF program of a caller calls the kfunc."""

    SYSCALL = "syscall"
    """In bpf(2), which runs the program."""
    TASK_WORK = "task_work"
    """In a callback that the kernel runs before the caller returns to user space from bpf(2)."""


class Until(StrEnum):
    """What a step waits for after each call."""

    EXITED = "exited"
    """The end of its victims."""
    FREED = "freed"
    """The memory of its victims."""
    RETURNED = "returned"
    """Nothing but the return of the call."""


class VerdictName(StrEnum):
    """What a call did, or all the calls of a round."""

    KILLED = "killed"
    GROUP_KILLED = "group-killed"
    WRONG_VICTIM = "wrong-victim"
    OVER_KILL = "over-kill"
    CLAIMED_BUT_NONE_DIED = "claimed-but-none-died"
    CALLER_KILLED = "caller-killed"
    NO_KILLABLE_TASK = "no-killable-task"
    OOM_KILLER_DISABLED = "oom-killer-disabled"
    INVALID_ARGUMENT = "invalid-argument"
    BUSY = "busy"
    INTERRUPTED = "interrupted"
    NO_ANSWER = "no-answer"
    UNEXPECTED_RETURN = "unexpected-return"
    SPARED = "spared"
    RECLAIMED = "reclaimed"
    CGROUP_KILLED = "cgroup-killed"
    REFUSED = "refused"
    NONE_DIED = "none-died"


class EvidenceSource(StrEnum):
    """What tells of kills."""

    RING_BUFFER = "ring buffer"
    """BPF tracing, checked against the kernel log."""
    KERNEL_LOG = "kernel log"
    WAIT_STATUS = "wait status"
    """How each process ended: the kernel logs nothing of cgroup.kill."""


class CountSource(StrEnum):
    """What counts kills."""

    TRACING = "bpf"
    """Processes that BPF tracing saw the OOM killer take."""
    KERNEL_LOG = "kernel log"
    """Records "Killed process"."""
    MEMORY_EVENTS = "memory.events"
    """The rise of oom_kill in the memory.events of the watched cgroups."""
    VMSTAT = "vmstat"
    """The rise of oom_kill in /proc/vmstat."""


class CountRule(StrEnum):
    """Why a source has counted more or fewer kills than the kernel."""

    REPEATED = "repeated"
    """The first victim of a group is killed again with the group: one process, counted twice."""
    SHARER = "sharer"
    """A process that shares a victim's memory is killed without a record and without a count."""
    EXITING = "exiting"
    """A process that was ending already is marked only: no signal, no record, no count."""
    LOST = "lost"
    """Events or records were overwritten before they were read."""
    SILENT = "silent"
    """Programs of the observer are attached, but did not run."""
    ELSEWHERE = "elsewhere"
    """The victim was in no watched cgroup with a memory.events of its own."""
    UNPLACED = "unplaced"
    """The victim's cgroup is not known, or was made or removed with its counter in the meantime."""


class Role(StrEnum):
    """Why the OOM killer took a process."""

    VICTIM = "victim"
    SHARER = "sharer"
    """It shares a victim's memory."""
    EXITING = "exiting"
    """It was marked only, and got no signal: it was ending already."""


class Basis(StrEnum):
    """What the OOM killer chose a task by, or why there is no choice to explain."""

    BADNESS = "badness"
    """Its badness is the highest, or was not: `within_error` says whether that can be."""
    ALLOCATING_TASK = "allocating-task"
    """It asked for the memory, and vm.oom_kill_allocating_task is set."""
    UNKNOWN_TASK = "unknown-task"
    """It was started after the candidates were read."""
    OUTSIDE_TARGET = "outside-target"
    """It is in no cgroup at or below the target."""
    NOT_ELIGIBLE = "not-eligible"
    """It cannot be chosen."""
    NO_TASK = "no-task"
    """No task was chosen."""


class FlipKind(StrEnum):
    """What may turn the choice of the OOM killer."""

    ADJ = "oom_score_adj"
    """That of a task, in points."""
    SIZE = "rss"
    """That of a task, in bytes."""
    LIMIT = "memory.max"
    """That of the target, in bytes."""


class Constraint(StrEnum):
    """What limited the allocation; `enum oom_constraint` in include/linux/oom.h, in its order."""

    NONE = "none"
    CPUSET = "cpuset"
    MEMORY_POLICY = "memory-policy"
    MEMCG = "memcg"


class Occasion(StrEnum):
    """What an action of a plan comes after."""

    STARTED = "started"
    """The first hog is about to be started."""
    FILLED = "filled"
    """Some hogs have their size, or all that are started first."""
    MARKED = "marked"
    """The OOM killer has taken one of some hogs."""
    EXITED = "exited"
    """One of some hogs has ended."""
    RETURNED = "returned"
    """A call has returned, for the first time if it is repeated."""


class Do(StrEnum):
    """What an action of a plan does."""

    WRITE = "write"
    """Write an interface file of a cgroup."""
    REMOVE = "remove"
    """Remove a cgroup."""
    MOVE = "move"
    """Move a hog into another cgroup."""
    SYSCTL = "sysctl"
    SYSFS = "sysfs"
    STOP = "stop"
    CONTINUE = "continue"
    KILL = "kill"
    """Send a hog SIGKILL."""
    START = "start"
    """Start a hog that is not started with the others."""


class Moment(StrEnum):
    """A moment of a call, as the observer, the caller or oomctl saw it."""

    CALL = "call"
    LOCKED = "locked"
    KILLED = "killed"
    MARKED = "marked"
    UNLOCKING = "unlocking"
    REAPER_WOKEN = "reaper-woken"
    REAPING = "reaping"
    REAPED = "reaped"
    REAPING_SKIPPED = "reaping-skipped"
    EXITED = "exited"
    RETURN = "return"
    RELIEVED = "relieved"
    UNPOPULATED = "unpopulated"


class FateKind(StrEnum):
    """What became of a task."""

    SURVIVED = "survived"
    OOM_KILLED = "oom-killed"
    CGROUP_KILLED = "cgroup-killed"
    """By our write to cgroup.kill."""
    STEP_KILLED = "killed-by-step"
    """By the SIGKILL of a step of the scenario."""
    DYING = "dying"
    """The OOM killer took it, and it had not ended when oomctl stopped waiting."""
    EXITED = "exited"
    KILLED = "killed"
    """By a signal that neither the OOM killer nor oomctl sent."""
    GONE = "gone"
    """It has ended, and is not our child, so that its wait status is not known."""
    ENDED_WITH_HOG = "ended-with-hog"
    NOT_FILLED = "not-filled"


class Phase(StrEnum):
    """When a task ended."""

    FILLING = "filling"
    """Before all hogs had come to their size."""
    CALL = "call"
    """It was killed by a call of the plan."""
    BESIDE = "beside"
    """Afterwards, but not killed by a call."""


class FaultKind(StrEnum):
    """A fault that the kernel reports of itself in its log."""

    PANIC = "panic"
    OOPS = "oops"
    """A BUG, a bad access, a damaged structure."""
    LOCKDEP = "lockdep"
    KASAN = "kasan"
    """A bad access that KASAN, KMSAN, KCSAN or KFENCE found."""
    UBSAN = "ubsan"
    HANG = "hang"
    """A soft or hard lockup."""
    RCU_STALL = "rcu-stall"
    HUNG_TASK = "hung-task"
    WARN = "warn"


class CaseStatus(StrEnum):
    """The result of a test case."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    SKIP = "skip"


class KfuncPlace(StrEnum):
    """Where a kernel has bpf_out_of_memory()."""

    BUILT_IN = "built in"
    MODULE = "module"
    """It has not; oomctl's module can be built for it."""
    NONE = "none"
    """It has not, and there are no headers to build the module with."""
    UNKNOWN = "unknown"
    """Its image cannot be read on this machine."""


class HostPhase(StrEnum):
    """How far a host of a fleet has come."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    LOST = "lost"
    """It does not answer, and may come back."""
    DONE = "done"
    REFUSED = "refused"
    """It cannot run this oomctl, or must not run the command."""
    UNREACHABLE = "unreachable"
    """It did not answer from the start."""
    FAILED = "failed"
    KERNEL_DIED = "kernel-died"


class Oracle(StrEnum):
    """What is held against what in an experiment of `oomctl fuzz`."""

    VICTIMS = "victims"
    """The dead against the model, within the stated error of the kernel's counters."""
    RETURN = "return"
    """The return value against the kfunc's contract."""
    VERDICT = "verdict"
    """oomctl's verdict against what was seen."""
    EVIDENCE = "evidence"
    """BPF tracing and the kernel log against each other."""
    TIMELINE = "timeline"
    """The order of moments."""
    FATES = "fates"
    """What became of each task: those that no call took survive, in the target and outside."""
    COUNTERS = "counters"
    """memory.events of each cgroup against the kills."""
    COUNTS = "counts"
    """/proc/vmstat, memory.events, kernel log and BPF tracing against each other."""
    TIME = "time"
    """Calls return within the scenario's timeout."""
    CONSOLE = "console"
    """The kernel reports no fault of its own."""
    LEFT_BEHIND = "left-behind"
    """No cgroup and no process is left."""
    CARRIED_OUT = "carried-out"
    """oomctl itself gets to the end of the experiment."""


class ReproForm(StrEnum):
    """What a finding is rebuilt by, without oomctl."""

    C = "c"
    SH = "sh"


class Agreement(StrEnum):
    """How an experiment of `oomctl fuzz` compares with the model."""

    AGREED = "agreed"
    EXPLAINED = "explained"
    """Other tasks died than predicted, which the error of the kernel's counters allows."""
    DIFFERS = "differs"
    NOT_FILLED = "not-filled"
    """A hog did not reach its size, so that no call was made."""


class Rule(StrEnum):
    """A rule of the OOM killer's selection that decides, or has its part, in an experiment."""

    LARGEST = "largest"
    """The largest task has the highest badness."""
    ADJ = "adj"
    """oom_score_adj outweighs a larger task."""
    NEGATIVE = "negative"
    """The highest badness is below zero."""
    TIE = "tie"
    """Of equal badness, the last in scan order is chosen."""
    CLOSE = "close"
    """Others are within the error of the kernel's counters."""
    SMALL_LIMIT = "small-limit"
    """oom_score_adj has no weight below a limit of 1000 pages."""
    NO_LIMIT = "no-limit"
    """The target has no limit, so that a point of oom_score_adj outweighs any size."""
    SWAP = "swap"
    """Swap counts."""
    EXEMPT = "exempt"
    """A task at oom_score_adj -1000 is passed over."""
    GROUP = "group"
    """memory.oom.group takes several tasks."""
    GROUP_ABOVE = "group-above"
    """memory.oom.group above the target is ignored."""
    SHARED = "shared"
    """A task shares the victim's memory."""
    LEADER_EXITED = "leader-exited"
    """The chosen process has lost its thread group leader."""
    FROZEN = "frozen"
    """The victim's cgroup was frozen."""
    BELOW = "below"
    """The victim is in a cgroup below the target."""
    NO_TASK = "no-task"
    """No task may be chosen."""
    BAD_ARGUMENT = "bad-argument"
    """The order or the flags are refused, so that no task is chosen."""
