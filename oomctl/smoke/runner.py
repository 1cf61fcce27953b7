"""Where cases are tried out: one session for the whole suite, and what a case may do to it."""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import psutil

from oomctl import resources
from oomctl.bpf import btf, libbpf
from oomctl.bpf.gate import Gate, LockHold, Passage
from oomctl.cgroup.node import UnifiedNode
from oomctl.cgroup.tree import Tree
from oomctl.describe import diagnostics
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.experiment.callers import COMM
from oomctl.experiment.environment import read_environment
from oomctl.experiment.session import Session
from oomctl.experiment.setting import sysctl_changed
from oomctl.hog.hogset import RunningHog
from oomctl.oom.call import Stage
from oomctl.oom.outcome import Outcome
from oomctl.oom.plan import MAX_CALLERS, WAIT_ON_OOM_LOCK, Call, Plan, Setting, Step, Sysctl
from oomctl.oom.task import rank
from oomctl.proc import fork, procfs
from oomctl.proc.pidfd import PidfdWatch
from oomctl.smoke.facts import VARIANT, Facts, Skipped
from oomctl.smoke.spec import CaseSpec

Opens = Literal["answered", "blocked"]
"""When a lock that is held is let go: once every caller has its answer, or waits for the lock."""

_FUNCTIONS = ("bpf_preempt_disable", "bpf_local_irq_save", "bpf_lsm_file_open")
_STRUCTS = ("bpf_oom_ops",)
_HELD_SECONDS = 15.0  # of the 21 until RCU complains of a stall
_SLOT = MAX_CALLERS - 1  # of the program's answers, the last: no case has so many callers


@dataclass(frozen=True)
class CaseRun:
    """The run of a spec: its outcome, the runs through out_of_memory(), the lock if held."""

    outcome: Outcome
    passages: tuple[Passage, ...] = ()
    held: LockHold | None = None

    def passages_of(self, number: int) -> tuple[Passage, ...]:
        """Return the runs that the caller of one declaration made."""
        caller = self.outcome.calls[number].result.caller
        return tuple(passage for passage in self.passages if passage.tid == caller)


@dataclass(frozen=True)
class Loaded:
    """What came of loading a program: 0 or a positive errno, and what libbpf and verifier said."""

    errno: int
    log: str


class CaseRunner:
    """Holds a session, and a gate to oom_lock where that can be had."""

    def __init__(
        self, root: UnifiedNode, kfunc: btf.Kfunc | None, disposable: bool = False
    ) -> None:
        self.root = root
        self._kfunc = kfunc
        self._disposable = disposable
        self._told: list[str] = []
        self._stack = ExitStack()
        self.facts = Facts()
        self.environment = read_environment(kfunc)

    def __enter__(self) -> Self:
        """Set up; on a kernel without the kfunc, or with another, only the facts are there."""
        with ExitStack() as stack:
            untraceable = "there is no kfunc to be looked at"
            if self._kfunc and self._kfunc.variant == VARIANT:
                self._session = stack.enter_context(
                    Session(self.root, self._kfunc, lambda _ranking: None)
                )
                self._empty = self._fresh("gate")
                stack.enter_context(Tree(self.root, _only(self._empty), self._session.journal))
                try:
                    self._gate = stack.enter_context(Gate())
                    untraceable = ""
                except UnsupportedError as error:
                    untraceable = error.why
            self.facts = _facts(self._kfunc, untraceable, self._disposable)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exc: object) -> None:
        """Take everything down."""
        self._stack.close()

    @contextmanager
    def round(self) -> Iterator[Callable[[], Sequence[str]]]:
        """Begin and end a round of a case; OomctlError where it left something behind."""
        self._told.clear()
        yield lambda: list(self._told)
        if left := self._leftovers():
            raise OomctlError(f"it left behind {', '.join(left)}")

    def try_out(
        self,
        spec: CaseSpec,
        ready: Callable[[Sequence[RunningHog]], object] = len,
        lock: Opens | None = None,
        after: Callable[[UnifiedNode], object] = id,
    ) -> CaseRun:
        """Carry a spec out in a tree of its own; `ready` is given its hogs once they are filled.

        `after` is given the top of the tree at the end, before that is removed. With `lock`,
        oom_lock is held by another process while the callers are let go.
        """
        plan = spec.plan(self._fresh())
        before = 0 if self.facts.untraceable else self._gate.passed()

        def begin(running_hogs: Sequence[RunningHog]) -> None:
            ready(running_hogs)
            if plan.system_wide:
                self._require_bait(running_hogs)

        def around(step: Step) -> AbstractContextManager[object]:
            return self._held(lock, step.callers) if lock else nullcontext()

        with self._session.keep_tree(plan):
            outcome = self._session.run(plan, begin, around)
            after(self.root.at(plan.top or ""))
        self._told += diagnostics.of_outcome(outcome)
        if outcome.failure:
            raise outcome.failure
        if self.facts.untraceable:
            return CaseRun(outcome)
        held = self._gate.held() if lock else None
        return CaseRun(outcome, self._gate.passages(before), held)

    @contextmanager
    def tree(self, spec: CaseSpec) -> Iterator[UnifiedNode]:
        """Make a spec's cgroups without hogs; yields the top."""
        plan = spec.plan(self._fresh())
        with Tree(self.root, plan, self._session.journal):
            yield self.root.at(plan.top or "")

    def ask(self, cgroup_id: int | None, order: int = 0, flags: int = 0) -> tuple[Stage, int]:
        """Declare in a process of its own; return how far that came, and the kfunc's answer.

        OomctlError if it does not come back: on a kernel that is at fault oom_lock may stay taken.
        """
        program = self._session.program
        with PidfdWatch() as watch:
            asking = fork.forked(
                lambda: program.run(Call(None, order, flags), cgroup_id, _SLOT), COMM
            )
            watch.add(asking.pid, reap=True)
            if not watch.wait(lambda: asking.pid in watch.deaths, _HELD_SECONDS):
                watch.kill({asking.pid})
                watch.wait(lambda: asking.pid in watch.deaths, _HELD_SECONDS)
                raise OomctlError(f"the call did not come back within {_HELD_SECONDS:g} s")
            death = watch.deaths[asking.pid]
        if death.status and not asking.error:
            raise OomctlError(f"the kernel did not run the program: {os.strerror(death.status)}")
        if death.status != 0:
            raise OomctlError(f"the process (pid {asking.pid}) that called {asking.end(death)}")
        answer = program.read(_SLOT)
        self._told.append(f"stage {Stage(answer.stage).name}, returned {answer.ret}")
        return Stage(answer.stage), int(answer.ret)

    def load(self, file: str, only: libbpf.Only) -> Loaded:
        """Load one program of an object, and unload it again."""
        try:
            with libbpf.BpfObject(resources.built(file), only=only):
                loaded = Loaded(0, libbpf.log())
        except libbpf.LoadError as error:
            loaded = Loaded(error.errno, error.detail)
        self._told += [f"verifier: {line}" for line in verifier_words(loaded.log)]
        return loaded

    def sysctl(self, name: str, value: int) -> AbstractContextManager[None]:
        """Set a sysctl for the time of the block."""
        return sysctl_changed(Sysctl(name, str(value)), self._session.journal)

    @contextmanager
    def _held(self, opens: Opens, callers: int) -> Iterator[None]:
        """Hold oom_lock; see gate.py for how.

        Whoever holds it declares on an empty cgroup, so that nobody dies of it.
        """
        program, node = self._session.program, self.root.at(self._empty)
        program.clear(callers)
        holder = Call(None, 0, WAIT_ON_OOM_LOCK)
        parent = os.getpid()
        done = {
            "answered": lambda: all(program.read(n).ended_ns for n in range(callers)),
            "blocked": lambda: _sleeping(parent) == callers,
        }[opens]
        with self._gate.shut(lambda: program.run(holder, node.id, _SLOT), done, _HELD_SECONDS):
            yield

    def _require_bait(self, running_hogs: Sequence[RunningHog]) -> None:
        """Raise Skipped unless the kernel should choose one of our hogs on the whole machine."""
        ranking = rank(procfs.all_tasks(), procfs.total_pages(), procfs.PAGE_SIZE)
        first = ranking[0][1] if ranking else None
        if first is None or first.pid not in {running_hog.pid for running_hog in running_hogs}:
            raise Skipped(f"the kernel would choose {first.comm if first else 'nobody'}, not a hog")

    def _fresh(self, name: str = "smoke") -> str:
        return f"/oomctl-{os.getpid()}-{name}-{secrets.token_hex(3)}"

    def _leftovers(self) -> list[str]:
        prefix = f"oomctl-{os.getpid()}-smoke-"
        cgroups = [
            path.name for path in self.root.directory.iterdir() if path.name.startswith(prefix)
        ]
        return cgroups + [f"pid {pid}" for pid in procfs.children(os.getpid())]


def verifier_words(log: str) -> list[str]:
    """Return what the verifier, or libbpf, gave as its reason: the last lines but the frame."""
    frame = ("processed ", "-- ", "libbpf: failed to load", "libbpf: -- ")
    lines = [line for line in log.splitlines() if not line.startswith(frame)]
    return lines[-4:]


def _sleeping(parent: int) -> int:
    """Count the callers that wait for oom_lock: killably asleep, which /proc shows as D."""
    count = 0
    for pid in procfs.children(parent):
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except FileNotFoundError:
            continue
        comm, _, rest = stat.partition(b"(")[2].rpartition(b")")
        count += comm == COMM and rest.split()[0] == b"D"
    return count


def _only(cgroup: str) -> Plan:
    settings = (Setting("/", "cgroup.subtree_control", "+memory"),)
    return Plan((cgroup,), settings, (), ())


def _facts(kfunc: btf.Kfunc | None, untraceable: str, disposable: bool) -> Facts:
    with btf.vmlinux() as vmlinux:
        functions = frozenset(name for name in _FUNCTIONS if vmlinux.function(name) is not None)
        structs = frozenset(name for name in _STRUCTS if vmlinux.struct(name))
    return Facts(
        kernel=os.uname().release,
        kfunc=kfunc,
        max_order=_max_order(),
        cpus=len(os.sched_getaffinity(0)),
        swap=psutil.swap_memory().total,
        page_size=procfs.PAGE_SIZE,
        panic_on_oom=procfs.sysctl("vm.panic_on_oom") or 0,
        functions=functions,
        structs=structs,
        untraceable=untraceable,
        disposable=disposable,
    )


def _max_order() -> int:
    """Return MAX_PAGE_ORDER: buddyinfo has a column for each (mm/vmstat.c, frag_show_print)."""
    line = Path("/proc/buddyinfo").read_text().splitlines()[0]
    return len(line.partition("zone")[2].split()) - 2
