"""Runs the experiments of cases: one session for the whole suite, and a gate to oom_lock."""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import psutil

from oomctl import resources
from oomctl.bpf import bpfobject, btf, libbpf
from oomctl.bpf.declare import TASK_WORK
from oomctl.bpf.gate import Gate, LockHold, Passage
from oomctl.cgroup.node import UnifiedNode
from oomctl.cgroup.tree import Tree
from oomctl.describe import diagnostics
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.experiment.caller import CallerEnd, SharedResult
from oomctl.experiment.callers import call_together
from oomctl.experiment.environment import read_environment
from oomctl.experiment.session import Session
from oomctl.experiment.setting import sysctl_changed
from oomctl.experiment.triggers import Declaration
from oomctl.hog.hogset import RunningHog
from oomctl.oom.call import CallResult, Stage
from oomctl.oom.faults import Fault, find_faults, judge
from oomctl.oom.outcome import CallReport, Outcome
from oomctl.oom.plan import CALLER, MAX_CALLERS, WAIT_ON_OOM_LOCK, Call, Plan, Setting, Step, Sysctl
from oomctl.oom.task import rank
from oomctl.proc import procfs
from oomctl.proc.kmsg import Kmsg, marked
from oomctl.proc.pidfd import PidfdWatch
from oomctl.smoke.facts import PSI_TRACEPOINT, VARIANT, Facts, Skipped
from oomctl.smoke.spec import CaseSpec

HoldUntil = Literal["returned", "blocked"]
"""When oom_lock is released: once every caller has returned, or once every caller waits for it."""

Prepare = Callable[[Sequence[RunningHog]], object]

_FUNCTIONS = (
    "bpf_preempt_disable",
    "bpf_local_irq_save",
    "bpf_lsm_file_open",
    TASK_WORK,
    PSI_TRACEPOINT,
)
_STRUCTS = ("bpf_oom_ops",)
_HOLD_SECONDS = 15.0  # of the 21 until RCU reports a stall
_SLOT = MAX_CALLERS - 1  # the program's last slot for a result: no case has that many callers


@dataclass(frozen=True)
class CaseRun:
    """The outcome of a case's experiment.

    `passages` are the runs through out_of_memory(); `lock_hold` is set if oom_lock was held.
    """

    outcome: Outcome
    passages: tuple[Passage, ...] = ()
    lock_hold: LockHold | None = None

    @property
    def calls(self) -> Sequence[CallReport]:
        """The reports of all calls."""
        return self.outcome.calls

    @property
    def only_call(self) -> CallReport:
        """The report of the only call."""
        (report,) = self.outcome.calls
        return report

    def passages_of(self, number: int) -> tuple[Passage, ...]:
        """Return the runs through out_of_memory() that the caller of one call made."""
        caller = self.calls[number].result.caller
        return tuple(passage for passage in self.passages if passage.tid == caller)


@dataclass(frozen=True)
class Loaded:
    """The result of loading a program: 0 or a positive errno, and libbpf's and verifier's log."""

    errno: int
    log: str


class _Raw(Declaration):
    """A call whose result is what its program left, even if it did not get to the kfunc."""

    def result(self, end: CallerEnd, shared: SharedResult) -> CallResult:
        """Return the last stage and the kfunc's result."""
        raw = self.read(end.number)
        if end.status and not end.error:
            raise OomctlError(f"the kernel did not run the program: {os.strerror(end.status)}")
        if end.cut_off and not end.timed_out:
            raise end.failure("before it returned")
        return CallResult(
            Stage(raw.stage), raw.began_ns, raw.ended_ns, raw.ret, end.timed_out, end.pid
        )


class CaseRunner:
    """Holds a session and, if the kernel can be traced, a gate to oom_lock."""

    def __init__(
        self,
        root: UnifiedNode,
        kfunc: btf.Kfunc | None,
        disposable: bool = False,
        expected_faults: Sequence[str] = (),
    ) -> None:
        self.root = root
        self._kfunc = kfunc
        self._disposable = disposable
        self._expected_faults = expected_faults
        self._evidence: list[str] = []
        self._stack = ExitStack()
        self.facts = Facts()
        self.environment = read_environment(kfunc)

    def __enter__(self) -> Self:
        """Set up; without the kfunc, or with another variant of it, only facts are available."""
        with btf.vmlinux(), ExitStack() as stack:
            no_tracing_reason = "the kernel has no kfunc to trace"
            if self._kfunc and self._kfunc.variant == VARIANT:
                self._session = stack.enter_context(
                    Session(self.root, self._kfunc, lambda _ranking: None)
                )
                self._log = stack.enter_context(Kmsg())
                self._empty = self._new_path("gate")
                settings = (Setting("/", "cgroup.subtree_control", "+memory"),)
                empty = Plan((self._empty,), settings, (), ())
                stack.enter_context(Tree(self.root, empty, self._session.journal))
                try:
                    self._gate = stack.enter_context(Gate())
                    no_tracing_reason = ""
                except UnsupportedError as error:
                    no_tracing_reason = error.why
            self.facts = _facts(self._kfunc, no_tracing_reason, self._disposable)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exc: object) -> None:
        """Take everything down."""
        self._stack.close()

    @contextmanager
    def round(self, name: str) -> Iterator[Callable[[], Sequence[str]]]:
        """Begin and end a round of a case; yields a function that returns its evidence.

        OomctlError if the round leaves a cgroup or a process behind.
        """
        self._evidence.clear()
        with marked(name):
            yield lambda: list(self._evidence)
        prefix = f"oomctl-{os.getpid()}-smoke-"
        left = [p.name for p in self.root.directory.iterdir() if p.name.startswith(prefix)]
        left += [f"pid {pid}" for pid in procfs.children(os.getpid())]
        if left:
            raise OomctlError(f"it left behind {', '.join(left)}")

    def faults(self) -> tuple[Fault, ...]:
        """Return the faults that the kernel has reported of itself since the last call."""
        faults = find_faults(record.text for record in self._log.read().records)
        return judge(faults, self._expected_faults).unexpected

    def execute(
        self,
        spec: CaseSpec,
        prepare: Prepare | None = None,
        hold_lock_until: HoldUntil | None = None,
        after: Callable[[UnifiedNode], object] | None = None,
    ) -> CaseRun:
        """Run a case's experiment in a tree of its own.

        `prepare` is given the hogs once they are filled, `after` the top of the tree before its
        removal. With `hold_lock_until` another process holds oom_lock while the callers run.
        """
        plan = spec.plan(self._new_path())
        traced = not self.facts.no_tracing_reason
        before = self._gate.passed() if traced else 0

        def ready(running_hogs: Sequence[RunningHog]) -> None:
            if prepare:
                prepare(running_hogs)
            if plan.system_wide:
                self._require_bait(running_hogs)

        def around(step: Step) -> AbstractContextManager[object]:
            return (
                self._lock_held(hold_lock_until, step.callers) if hold_lock_until else nullcontext()
            )

        with self._session.keep_tree(plan):
            outcome = self._session.run(plan, ready, around)
            if after:
                after(self.root.at(plan.top or ""))
        self._evidence += diagnostics.of_outcome(outcome)
        if outcome.failure:
            raise outcome.failure
        if not traced:
            return CaseRun(outcome)
        lock_hold = self._gate.held() if hold_lock_until else None
        return CaseRun(outcome, self._gate.passages(before), lock_hold)

    @contextmanager
    def tree(self, spec: CaseSpec) -> Iterator[UnifiedNode]:
        """Make the cgroups of a spec without its hogs; yields the top."""
        plan = spec.plan(self._new_path())
        with Tree(self.root, plan, self._session.journal):
            yield self.root.at(plan.top or "")

    def call(self, cgroup_id: int | None, order: int = 0, flags: int = 0) -> tuple[Stage, int]:
        """Declare in a process of its own; return the program's last stage and the kfunc's result.

        OomctlError if it does not return: a faulty kernel may leave oom_lock taken.
        """
        asked = _Raw(self._session.program, Call(None, order, flags), cgroup_id)
        with PidfdWatch() as watch:
            (result,) = call_together(asked, 1, watch, _HOLD_SECONDS)
        if result.timed_out:
            raise OomctlError(f"the call did not return within {_HOLD_SECONDS:g} s")
        self._evidence.append(f"stage {result.stage.name}, returned {result.ret}")
        return result.stage, int(result.ret or 0)

    def load(self, file: str, only: bpfobject.Only) -> Loaded:
        """Load one program of an object file, and unload it again."""
        try:
            with bpfobject.BpfObject(resources.built(file), only=only):
                loaded = Loaded(0, libbpf.log())
        except bpfobject.LoadError as error:
            loaded = Loaded(error.errno, error.detail)
        self._evidence += [f"verifier: {line}" for line in verifier_reason(loaded.log)]
        return loaded

    def sysctl(self, name: str, value: int) -> AbstractContextManager[None]:
        """Set a sysctl for the time of the block."""
        return sysctl_changed(Sysctl(name, str(value)), self._session.journal)

    @contextmanager
    def _lock_held(self, until: HoldUntil, callers: int) -> Iterator[None]:
        """Hold oom_lock; bpf/gate.py says how.

        The process that holds it declares on an empty cgroup, so that no task dies of it.
        """
        program, node = self._session.program, self.root.at(self._empty)
        program.clear(callers)
        parent = os.getpid()

        def enter() -> int:
            return program.run(Call(None, 0, WAIT_ON_OOM_LOCK), node.id, _SLOT)

        release = {
            "returned": lambda: all(program.read(n).ended_ns for n in range(callers)),
            "blocked": lambda: _blocked_callers(parent) == callers,
        }[until]
        with self._gate.shut(enter, release, _HOLD_SECONDS):
            yield

    def _require_bait(self, running_hogs: Sequence[RunningHog]) -> None:
        """Raise Skipped unless the kernel should choose one of our hogs on the whole system."""
        ranking = rank(procfs.all_tasks(), procfs.total_pages(), procfs.PAGE_SIZE)
        first = ranking[0][1] if ranking else None
        if first is None or first.pid not in {running_hog.pid for running_hog in running_hogs}:
            chosen = first.comm if first else "no task"
            raise Skipped(f"the kernel would choose {chosen}, not a hog")

    def _new_path(self, name: str = "smoke") -> str:
        return f"/oomctl-{os.getpid()}-{name}-{secrets.token_hex(3)}"


def verifier_reason(log: str) -> list[str]:
    """Return the reason that the verifier, or libbpf, gave: the last lines without the frame."""
    frame = ("processed ", "-- ", "libbpf: failed to load", "libbpf: -- ")
    return [line for line in log.splitlines() if not line.startswith(frame)][-4:]


def _blocked_callers(parent: int) -> int:
    """Count the callers that wait for oom_lock: mutex_lock_killable() sleeps in state D."""
    count = 0
    for pid in procfs.children(parent):
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except FileNotFoundError:
            continue
        comm, _, rest = stat.partition(b"(")[2].rpartition(b")")
        count += comm == CALLER.encode() and rest.split()[0] == b"D"
    return count


def _facts(kfunc: btf.Kfunc | None, no_tracing_reason: str, disposable: bool) -> Facts:
    with btf.vmlinux() as vmlinux:
        functions = frozenset(name for name in _FUNCTIONS if vmlinux.function(name) is not None)
    return Facts(
        kernel=os.uname().release,
        kfunc=kfunc,
        max_order=_max_order(),
        cpus=len(os.sched_getaffinity(0)),
        swap=psutil.swap_memory().total,
        panic_on_oom=procfs.sysctl("vm.panic_on_oom") or 0,
        functions=functions,
        structs=frozenset(name for name in _STRUCTS if btf.find_members(name)),
        no_tracing_reason=no_tracing_reason,
        disposable=disposable,
    )


def _max_order() -> int:
    """Return MAX_PAGE_ORDER: buddyinfo has a column for each (mm/vmstat.c, frag_show_print)."""
    line = Path("/proc/buddyinfo").read_text().splitlines()[0]
    return len(line.partition("zone")[2].split()) - 2
